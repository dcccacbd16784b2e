"""Which master keys the store has seen, and which of them seal nothing any more."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, String, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.security.records import key_id_of
from activities.storage.database import Database, metadata
from contracts.errors import Transient

master_keys = Table(
    "master_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("retired_at", DateTime(timezone=True)),
)


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
        await connection.execute(database.insert(master_keys).values(key_id=key_id).on_conflict_do_nothing())
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
    statement = database.insert(master_keys).values(key_id=key_id, retired_at=now)
    statement = statement.on_conflict_do_update(index_elements=["key_id"], set_={"retired_at": now})
    await connection.execute(statement)
