"""What recipients want, and what their organisation asks for all of them: sealed, by opaque contact."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, LargeBinary, String, Table, select

from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import Database, metadata
from activities.storage.master_keys import refuse_retired
from contracts.base import Contract
from contracts.preferences import ContactPreferences, NotificationPolicy

preferences = Table(
    "preferences",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("contact", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
EARLIER = "preferences"
"""The purpose under which records without a key id would have been sealed."""
_EVERYBODY = "everybody"
"""Stands in the place of a contact for the organisation's own policy; no contact id reads like it."""


@dataclass(frozen=True)
class Wishes:
    """What counts for a message: the organisation's policy, and its recipients' preferences by contact."""

    policy: NotificationPolicy
    contacts: Mapping[str, ContactPreferences]

    def of(self, contact: str) -> ContactPreferences:
        """Return a recipient's preferences, none for one who never said anything."""
        return self.contacts.get(contact, ContactPreferences())


class PreferenceStore:
    """Preferences and policies, each sealed under a key of its own."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)

    async def wishes(self, organization_id: str, contacts: Collection[str] = ()) -> Wishes:
        """Return the policy of an organisation and the preferences of these contacts, by one query."""
        statement = select(preferences.c.contact, preferences.c.sealed).where(
            preferences.c.organization_id == organization_id, preferences.c.contact.in_([_EVERYBODY, *contacts])
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
        plain = {row.contact: self._opened(organization_id, row.contact, row.sealed) for row in rows}
        policy = plain.pop(_EVERYBODY, None)
        return Wishes(
            policy=NotificationPolicy.model_validate_json(policy)
            if policy
            else NotificationPolicy(organization_id=organization_id),
            contacts={contact: ContactPreferences.model_validate_json(text) for contact, text in plain.items()},
        )

    async def put(self, organization_id: str, contact: str, wanted: ContactPreferences) -> None:
        """Replace a recipient's preferences. Idempotent: yes."""
        await self._put(organization_id, contact, wanted)

    async def put_policy(self, policy: NotificationPolicy) -> None:
        """Replace an organisation's policy. Idempotent: yes."""
        await self._put(policy.organization_id, _EVERYBODY, policy)

    async def _put(self, organization_id: str, contact: str, content: Contract) -> None:
        plain = content.model_dump_json(exclude_unset=True).encode()
        sealed = self._sealer.seal(organization_id, plain, place_of(organization_id, contact))
        row = {"sealed": sealed, "changed_at": datetime.now(UTC)}
        statement = self._database.insert(preferences).values(organization_id=organization_id, contact=contact, **row)
        statement = statement.on_conflict_do_update(index_elements=["organization_id", "contact"], set_=row)
        async with self._database.begin() as connection:
            await connection.execute(statement)
            await refuse_retired(self._database, connection, sealed)

    def _opened(self, organization_id: str, contact: str, sealed: bytes) -> bytes:
        return self._sealer.open(organization_id, sealed, place_of(organization_id, contact))


def place_of(organization_id: str, contact: str) -> str:
    """Return what sealed preferences are bound to: they open nowhere else."""
    return f"preferences|{organization_id}|{contact}"
