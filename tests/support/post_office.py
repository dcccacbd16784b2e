"""The real activities of notifications, over a store of their own and an emulated mail server."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from activities.access import Access
from activities.digests import Digests
from activities.notify import Notify
from activities.planning import Planner
from activities.security.envelope import MasterKey
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, metadata
from activities.storage.ledger import EffectLedger
from activities.storage.paces import PaceStore
from activities.storage.preferences import PreferenceStore
from activities.storage.templates import TemplateStore
from activities.transform.contacts import contact_of
from contracts.integration import IntegrationConfiguration, IntegrationState
from contracts.notification import CrossSystemRouting
from contracts.preferences import ContactPreferences, NotificationPolicy
from tests.support.emulators import Emulators
from tests.support.loopback import IN_DEVELOPMENT

ORGANIZATION, OTHER = "lumen-studios", "harbour-weddings"
KEY = MasterKey(bytes(32))
ANNA, BEN = "anna@fisher.example", "ben@fisher.example"
QUEUE = "system.email"


def planner(database: Database, access: Access) -> Planner:
    """Return a planner on a store."""
    return Planner(
        access,
        PreferenceStore(database, KEY),
        TemplateStore(database, KEY),
        PaceStore(database),
        KEY.derive("contacts"),
    )


def contact(address: str, organization_id: str = ORGANIZATION) -> str:
    """Return what stands for an address."""
    return contact_of(KEY.derive("contacts"), organization_id, address)


class PostOffice:
    """Notifications by e-mail.

    Args:
        emulated: with the mail server.
        folder: for the store.
    """

    def __init__(self, emulated: Emulators, folder: Path) -> None:
        self.emulators = emulated
        self.database = Database(f"sqlite:///{folder}/store.db")
        self.connections = ConnectionStore(self.database, KEY)
        self._secrets = SealedSecretStore(self.database, KEY)
        self.access = Access(self.connections, self._secrets, self._endpoint, IN_DEVELOPMENT)
        self.preferences = PreferenceStore(self.database, KEY)
        self.templates = TemplateStore(self.database, KEY)
        self.paces = PaceStore(self.database)
        self.notify = Notify(
            self.access, self.connections, EffectLedger(self.database), planner(self.database, self.access)
        )

    async def _endpoint(self, _platform: str) -> str:
        place = self.emulators.details("smtp")
        return f"smtp://{place['host']}:{place['port']}"

    async def open(self) -> None:
        """Make the store, and connect the mail server for both organisations."""
        async with self.database.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        for organization_id in (ORGANIZATION, OTHER):
            reference = await self._secrets.put(
                organization_id, "mail", {"user": "sandbox", "password": "sandbox-smtp-password"}
            )
            given = {
                "integrationId": "mail",
                "organizationId": organization_id,
                "platform": "email",
                "connectionConfig": {
                    "credentialRef": reference.model_dump(by_alias=True),
                    "fromAddress": f"post@{organization_id}.example",
                },
            }
            await self.connections.put(IntegrationConfiguration.model_validate(given), IntegrationState.ACTIVE)

    async def aclose(self) -> None:
        """Close everything."""
        await self.access.aclose()
        await self.database.aclose()

    def activities(self) -> list[Any]:
        """Return the verbs."""
        digests = Digests()
        return [
            *(self.notify.plan, self.notify.plan_action, self.notify.apply_effect, self.notify.give_back),
            *(digests.collect, digests.compose),
        ]

    async def prefer(self, address: str, organization_id: str = ORGANIZATION, **wishes: Any) -> None:
        """Set a recipient's preferences, by wire names."""
        wanted = ContactPreferences.model_validate(wishes)
        await self.preferences.put(organization_id, contact(address, organization_id), wanted)

    async def policy(self, organization_id: str = ORGANIZATION, **policy: Any) -> None:
        """Set an organisation's policy, by wire names."""
        wanted = NotificationPolicy.model_validate({"organizationId": organization_id, **policy})
        await self.preferences.put_policy(wanted)

    def mails(self) -> list[dict[str, Any]]:
        """Return the mails that arrived, in the order they came."""
        return self.emulators.objects("smtp", "messages")

    def arrivals(self) -> list[tuple[str, datetime]]:
        """Return to whom mails were sent and as of when, on the clock of the run."""
        return [(mail["to"][0], sent_at(mail)) for mail in self.mails()]


def sent_at(mail: dict[str, Any]) -> datetime:
    """Return the instant a mail was planned for."""
    return parsedate_to_datetime(mail["headers"]["Date"]).astimezone(UTC)


def routing(*recipients: str, organization_id: str = ORGANIZATION, **changes: Any) -> CrossSystemRouting:
    """Return the routing of a notification to recipients by mail; `changes` are wire fields of the notification."""
    number = changes.pop("number", 1)
    rest = changes.pop("rest", {})
    return CrossSystemRouting.model_validate(
        {
            "routingId": f"route-{number}",
            "organizationId": organization_id,
            "sourceNotification": {
                "notificationId": f"notification-{number}",
                "type": "reminder",
                "title": "The tasting",
                "message": "It is on Friday.",
                "weddingContext": {"weddingId": "wedding-1"},
                **changes,
            },
            "targetSystems": [
                {"systemId": "mail", "systemType": "email", "integrationId": "mail", "recipients": list(recipients)}
            ],
            **rest,
        }
    )
