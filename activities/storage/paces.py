"""How often every recipient is written to, one row each, changed by one worker at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, String, Table, Text, bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.storage.database import Database, metadata
from activities.transform.pace import Claim, Pace, Word
from contracts.preferences import NotificationPolicy

paces = Table(
    "recipient_paces",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("contact", String(64), primary_key=True),
    Column("sent", Text, nullable=False),
)


class PaceStore:
    """What recipients were sent lately; opaque words only.

    Args:
        database: the store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(
        self, organization_id: str, claims: Sequence[tuple[str, Claim]], policy: NotificationPolicy
    ) -> list[list[Word]]:
        """Count each message that fits for its contact, and return what the stages say, in the order of the claims.

        All in one transaction, by two statements. Idempotent: yes, by the claim.
        """
        async with self._database.begin() as connection:
            known = await self._locked(connection, organization_id, {contact for contact, _ in claims})
            changed = dict(known)
            said = []
            for contact, claim in claims:
                changed[contact], words = changed[contact].taken(claim, policy)
                said.append(words)
            await self._write(connection, organization_id, known, changed)
        return said

    async def give_back(self, organization_id: str, contacts: Sequence[str], claims: Sequence[str]) -> None:
        """Uncount messages that never reached their recipients. Idempotent: yes."""
        async with self._database.begin() as connection:
            known = await self._locked(connection, organization_id, set(contacts))
            changed = {contact: pace.given_back(claims) for contact, pace in known.items()}
            await self._write(connection, organization_id, known, changed)

    async def _locked(self, connection: AsyncConnection, organization_id: str, contacts: set[str]) -> dict[str, Pace]:
        """Return what the contacts were sent; nobody else changes it until the transaction ends."""
        # In one order, so that two workers never wait for each other.
        rows = [{"organization_id": organization_id, "contact": contact, "sent": "[]"} for contact in sorted(contacts)]
        claim = self._database.insert(paces).values(rows)
        # Writing first takes the lock on every database; the columns are returned as the write found them.
        claim = claim.on_conflict_do_update(index_elements=["organization_id", "contact"], set_={"sent": paces.c.sent})
        found = await connection.execute(claim.returning(paces.c.contact, paces.c.sent))
        return {row.contact: Pace.loaded(row.sent) for row in found}

    @staticmethod
    async def _write(
        connection: AsyncConnection, organization_id: str, known: Mapping[str, Pace], changed: Mapping[str, Pace]
    ) -> None:
        rows: list[dict[str, Any]] = [
            {"whose": contact, "now": pace.dumped()} for contact, pace in changed.items() if pace != known[contact]
        ]
        if not rows:
            return
        statement = (
            update(paces)
            .where(paces.c.organization_id == organization_id, paces.c.contact == bindparam("whose"))
            .values(sent=bindparam("now"))
        )
        await connection.execute(statement, rows)
