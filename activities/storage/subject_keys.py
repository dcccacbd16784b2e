"""Keys of subjects: what is sealed under one opens for nobody once the key is destroyed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, LargeBinary, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.security.envelope import KEY_BYTES
from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import Database, metadata
from activities.storage.master_keys import refuse_retired

subject_keys = Table(
    "subject_keys",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("sealed", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("destroyed_at", DateTime(timezone=True)),
)
EARLIER = "subject-keys"
"""The purpose under which records without a key id would have been sealed."""
_ROWS = 500
"""Rows per statement: SQLite and PostgreSQL bound the parameters of one."""


class SubjectKeys:
    """Random keys by organisation and subject, each sealed under a key of its own.

    Args:
        database: the store.
        keys: the master keys.
    """

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)

    async def of(self, organization_id: str, subjects: Sequence[str]) -> Mapping[str, bytes | None]:
        """Return the key of each subject, made where there is none; None for one whose key is destroyed.

        Idempotent: yes.

        Args:
            organization_id: whose subjects they are.
            subjects: opaque names of at most 64 characters, which the store shows in the clear.
        """
        found: dict[str, bytes | None] = {}
        for start in range(0, len(subjects), _ROWS):
            page = subjects[start : start + _ROWS]
            async with self._database.begin() as connection:
                held = await self._held(connection, organization_id, page)
                missing = [subject for subject in page if subject not in held]
                if missing:
                    await self._add(connection, organization_id, missing)
                    held |= await self._held(connection, organization_id, missing)
            found |= {subject: self._opened(organization_id, subject, sealed) for subject, sealed in held.items()}
        return found

    async def destroy(self, organization_id: str, subject: str) -> None:
        """Destroy a subject's key; none is ever made again. Idempotent: yes."""
        now = datetime.now(UTC)
        gone = {"sealed": None, "destroyed_at": now}
        statement = self._database.insert(subject_keys).values(
            organization_id=organization_id, subject=subject, created_at=now, **gone
        )
        statement = statement.on_conflict_do_update(index_elements=["organization_id", "subject"], set_=gone)
        async with self._database.begin() as connection:
            await connection.execute(statement)

    async def _held(
        self, connection: AsyncConnection, organization_id: str, subjects: Sequence[str]
    ) -> dict[str, bytes | None]:
        statement = select(subject_keys.c.subject, subject_keys.c.sealed).where(
            subject_keys.c.organization_id == organization_id, subject_keys.c.subject.in_(subjects)
        )
        return {row.subject: row.sealed for row in await connection.execute(statement)}

    async def _add(self, connection: AsyncConnection, organization_id: str, subjects: Sequence[str]) -> None:
        now = datetime.now(UTC)
        rows: list[dict[str, object]] = []
        for subject in subjects:
            place = place_of(organization_id, subject)
            sealed = self._sealer.seal(organization_id, secrets.token_bytes(KEY_BYTES), place)
            row = {"organization_id": organization_id, "subject": subject, "sealed": sealed, "created_at": now}
            rows.append(row)
        await connection.execute(self._database.insert(subject_keys).on_conflict_do_nothing(), rows)
        await refuse_retired(self._database, connection, sealed)

    def _opened(self, organization_id: str, subject: str, sealed: bytes | None) -> bytes | None:
        if sealed is None:
            return None
        return self._sealer.open(organization_id, sealed, place_of(organization_id, subject))


def place_of(organization_id: str, subject: str) -> str:
    """Return what a sealed key is bound to: it opens nowhere else."""
    return f"subject-key|{organization_id}|{subject}"
