"""Whether the store's schema is the newest one."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url

import activities.storage.api_keys
import activities.storage.connections
import activities.storage.credentials
import activities.storage.database as storage
import activities.storage.idempotency
import activities.storage.ledger
import activities.storage.receipts  # noqa: F401 - each module brings its tables

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}


def schema_is_current(url: str) -> bool:
    """Return whether the store at `url` has every migration and every table.

    Args:
        url: an SQLAlchemy URL without a driver.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(storage.__file__).parent / "migrations"))
    parsed = make_url(url)
    wanted = set(ScriptDirectory.from_config(config).get_heads())
    engine = create_engine(parsed.set(drivername=_DRIVERS[parsed.get_backend_name()]))
    try:
        with engine.connect() as connection:
            found = set(MigrationContext.configure(connection).get_current_heads())
            tables = set(inspect(connection).get_table_names())
    finally:
        engine.dispose()
    return found == wanted and storage.metadata.tables.keys() <= tables
