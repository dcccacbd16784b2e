"""Whether the store's schema is the newest one."""

from __future__ import annotations

from sqlalchemy import inspect

import activities.storage.api_keys
import activities.storage.connections
import activities.storage.credentials
import activities.storage.database as storage
import activities.storage.idempotency
import activities.storage.ledger
import activities.storage.master_keys
import activities.storage.receipts
import activities.storage.root_keys  # noqa: F401 - each module brings its tables


def schema_is_current(url: str) -> bool:
    """Return whether the store at `url` has every migration and every table.

    Args:
        url: an SQLAlchemy URL without a driver.
    """
    with storage.blocking_connection(url) as connection:
        tables = set(inspect(connection).get_table_names())
        return storage.version(connection) == storage.newest_version() and storage.metadata.tables.keys() <= tables
