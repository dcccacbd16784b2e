"""The small SQL store: what must outlive a workflow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

metadata = MetaData()

_ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_SYNC_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


class Database:
    """SQLite by default, PostgreSQL by URL.

    Args:
        url: an SQLAlchemy URL without a driver, such as `sqlite:////data/wedsync.db`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parsed = make_url(url)
        self.backend = parsed.get_backend_name()
        self.engine = create_async_engine(parsed.set(drivername=_ASYNC_DRIVERS[self.backend]))
        if self.backend == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _tune_sqlite)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that commits at the end."""
        async with self.engine.begin() as connection:
            yield connection

    def insert(self, table: Table) -> Any:
        """Return the dialect's INSERT, which knows ON CONFLICT."""
        return sqlite.insert(table) if self.backend == "sqlite" else postgresql.insert(table)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def migrate(url: str) -> None:
    """Bring the store's schema to the newest version. Idempotent: yes."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = create_engine(parsed.set(drivername=_SYNC_DRIVERS[backend]))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def _tune_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()
