"""Which master keys the store has seen, and which of them seal nothing any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, DateTime, Executable, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.security.records import key_id_of
from activities.storage.database import Database, metadata
from contracts.errors import Transient

master_keys = Table(
    "master_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("retired_at", DateTime(timezone=True)),
)


@dataclass(frozen=True)
class KnownKey:
    """A master key, the moment when it first was some process's newest, and whether it is retired."""

    key_id: str
    since: datetime
    retired: bool


async def known_keys(connection: AsyncConnection) -> dict[str, KnownKey]:
    """Return every master key that was some process's newest, by its id."""
    rows = (await connection.execute(select(master_keys))).all()
    return {row.key_id: KnownKey(row.key_id, row.since, row.retired_at is not None) for row in rows}


def registered(insert: Callable[[Table], Any], key_id: str) -> Executable:
    """Return the statement that notes a process's newest master key. Idempotent: yes, the first note stays.

    Args:
        insert: the dialect's INSERT, which knows ON CONFLICT.
        key_id: the key's id.
    """
    statement: Executable = insert(master_keys).values(key_id=key_id, since=datetime.now(UTC)).on_conflict_do_nothing()
    return statement


async def refuse_retired(database: Database, connection: AsyncConnection, sealed: bytes) -> None:
    """Refuse to commit a record sealed under a master key that was retired while the record was being written.

    To be called in the transaction that wrote the record, after the write. The shared lock makes a retirement wait for
    this transaction, so that its count of what is left sees the record; SQLite has one writer at a time anyway.

    Raises:
        Transient: the key is retired; sealed again, the record goes under the newest one.
    """
    key_id = key_id_of(sealed)
    statement = select(master_keys).where(master_keys.c.key_id == key_id).with_for_update(read=True)
    found = (await connection.execute(statement)).first()
    if found is None:
        await connection.execute(registered(database.insert, str(key_id)))
        found = (await connection.execute(statement)).first()
    if found is not None and found.retired_at is not None:
        raise Transient(
            "master_key_retired",
            "The master key was rotated while a record was being written; nothing was stored.",
            action="Repeat it; the record is sealed under the newest key then.",
        )


async def retire(database: Database, connection: AsyncConnection, key_id: str) -> None:
    """Let nobody commit a record under this master key again. Idempotent: yes."""
    now = datetime.now(UTC)
    statement = database.insert(master_keys).values(key_id=key_id, since=now, retired_at=now)
    statement = statement.on_conflict_do_update(index_elements=["key_id"], set_={"retired_at": now})
    await connection.execute(statement)
