"""Deliveries over the real store, ledger and connectors, of an organisation that has the emulated vendors connected."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from activities.access import Access, AdmissionOf, unlimited
from activities.notify import Notify
from activities.ports.delivery import DeliveryConnector
from activities.recall import Recall
from activities.security.envelope import MasterKey
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, metadata
from activities.storage.ledger import EffectLedger
from contracts.effects import Delivery, EffectStep, StandingEffect
from contracts.integration import ConnectionConfiguration, IntegrationConfiguration, IntegrationState
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.post_office import planner

ORGANIZATION = "lumen-studios"
CREDENTIALS: Mapping[str, dict[str, str]] = {
    "email": {"user": "sandbox", "password": "sandbox-smtp-password"},
    "hubspot": {"accessToken": "sandbox-hubspot-token"},
    "pagerduty": {"routingKey": "sandboxpagerdutyroutingkey000001"},
    "salesforce": {"accessToken": "sandbox-salesforce-token"},
    "slack": {"botToken": "sandbox-slack-token"},
    "tave": {"apiKey": "sandbox-tave-key"},
}
_SETTINGS: Mapping[str, dict[str, Any]] = {"email": {"fromAddress": "studio@lumen.example"}}
_LEASE = timedelta(minutes=2)


@dataclass(frozen=True)
class Desk:
    """The activities of delivery, and the stores they write to."""

    connections: ConnectionStore
    secrets: SealedSecretStore
    access: Access
    ledger: EffectLedger
    notify: Notify
    recall: Recall

    async def connect(self, system: str, state: IntegrationState = IntegrationState.ACTIVE) -> None:
        """Give the organisation its integration `<system>-main`."""
        ref = await self.secrets.put(ORGANIZATION, f"{system}-main", CREDENTIALS[system])
        connected = ConnectionConfiguration.model_validate({"credentialRef": ref, **_SETTINGS.get(system, {})})
        configuration = IntegrationConfiguration(
            integration_id=f"{system}-main",
            organization_id=ORGANIZATION,
            platform=system,
            connection_config=connected,
        )
        await self.connections.put(configuration, state)

    async def connector(self, system: str) -> DeliveryConnector:
        """Return the open connector of the organisation's integration."""
        return await self.access.connector(ORGANIZATION, f"{system}-main", DeliveryConnector)

    async def planned(self, given: Delivery) -> list[EffectStep]:
        """Return the steps of a delivery as its connector plans them."""
        return (await self.connector(given.target.system_type)).plan(given)

    async def stands(self, step: EffectStep) -> StandingEffect:
        """Make an effect stand, in the ledger and at the vendor, and return it as the ledger knows it."""
        await self.ledger.claim(step, "route-notification/lumen-studios/route-0001/run-1", _LEASE)
        outcome = await (await self.connector(step.system)).apply(step)
        await self.ledger.receipt(step, outcome.remote_id)
        return await self.standing(step)

    async def standing(self, step: EffectStep) -> StandingEffect:
        """Return what the ledger knows of an effect that stands."""
        entry = await self.ledger.entry(step.organization_id, step.effect_id)
        assert entry is not None
        assert entry.standing is not None
        return entry.standing


@asynccontextmanager
async def open_desk(
    folder: Path, base_url: Callable[[str], str], admission_of: AdmissionOf = unlimited
) -> AsyncIterator[Desk]:
    """Yield a desk over an empty store.

    Args:
        folder: where the store's file lies.
        base_url: system -> where its stand-in is.
        admission_of: gives every connection its limits.
    """
    database = Database(f"sqlite:///{folder}/desk.db")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    key = MasterKey(bytes(32))
    connections, secrets = ConnectionStore(database, key), SealedSecretStore(database, key)

    async def at(system: str) -> str | None:
        return base_url(system)

    access, ledger = Access(connections, secrets, at, IN_DEVELOPMENT, admission_of), EffectLedger(database)
    yield Desk(
        connections,
        secrets,
        access,
        ledger,
        Notify(access, connections, ledger, planner(database, access)),
        Recall(access, ledger),
    )
    await access.aclose()
    await database.aclose()
