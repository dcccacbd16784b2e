"""The small SQL store: what must outlive a workflow."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, Table, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from contracts.errors import Owner, Transient

metadata = MetaData()

_MIGRATIONS = Path(__file__).parent / "migrations"
_ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_SYNC_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
_DISK_FULL = "53100"


class Database:
    """SQLite by default, PostgreSQL by URL.

    Args:
        url: an SQLAlchemy URL without a driver, such as `sqlite:////data/wedsync.db`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parsed = make_url(url)
        self.backend = parsed.get_backend_name()
        # SQLite has one writer, and those who wait for its lock get it in no order: here they wait in a queue.
        few: dict[str, Any] = {"pool_size": 3, "max_overflow": 0, "pool_timeout": 60} if self._on_disk(parsed) else {}
        self.engine = create_async_engine(parsed.set(drivername=_ASYNC_DRIVERS[self.backend]), **few)
        if self.backend == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _tune_sqlite)

    def _on_disk(self, url: URL) -> bool:
        return self.backend == "sqlite" and bool(url.database)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that commits at the end.

        Raises:
            Transient: `storage_full`, nothing of the transaction stands.
        """
        try:
            async with self.engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            if _is_full(error.orig):
                raise _storage_full() from error
            raise

    def insert(self, table: Table) -> Any:
        """Return the dialect's INSERT, which knows ON CONFLICT."""
        return import_module(f"sqlalchemy.dialects.{self.backend}").insert(table)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def _is_full(error: object) -> bool:
    """Return whether a driver says that the disk took no more: SQLite by its primary code, PostgreSQL by its state."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_FULL or getattr(error, "sqlstate", None) == _DISK_FULL


def _storage_full() -> Transient:
    return Transient(
        "storage_full",
        "The disk of the SQL store is full; what was being written is not there.",
        owner=Owner.OPERATOR,
        action="Make room on the disk of WEDSYNC_DATABASE_URL; what waits for it goes on by itself.",
    )


def utc(value: datetime) -> datetime:
    """Return an instant from a row in UTC; SQLite returns instants without their zone."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def migrate(url: str) -> None:
    """Bring the store's schema to the newest version. Idempotent: yes."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    with blocking_connection(url) as connection:
        if version(connection) != newest_version():
            _upgrade(connection)


@contextmanager
def blocking_connection(url: str) -> Iterator[Connection]:
    """Yield a connection for code without an event loop, in a transaction that commits at the end."""
    parsed = make_url(url)
    engine = create_engine(parsed.set(drivername=_SYNC_DRIVERS[parsed.get_backend_name()]))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def newest_version() -> str:
    """Return the version that the newest migration leads to; a migration's file name begins with it."""
    return max(path.name for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def version(connection: Connection) -> str | None:
    """Return the version of the schema that is there, None for an empty store."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def _upgrade(connection: Connection) -> None:
    # Alembic loads every SQL dialect there is, which a process that finds its store current need not wait for.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _tune_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()
