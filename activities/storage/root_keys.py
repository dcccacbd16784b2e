"""Root keys: random secrets in the store, sealed under the master key, from which lasting purposes derive theirs.

Payloads stand in histories for years and fingerprints in receipts for ever, so neither may depend on a master key that
is to be destroyed. The first root is what the master key of that day derives everything from, so that all from before
root keys opens and matches; every rotation adds a random one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from threading import Lock
from typing import Any

from sqlalchemy import Column, Connection, DateTime, Integer, LargeBinary, Row, String, Table, select
from sqlalchemy.exc import SQLAlchemyError

from activities.security.envelope import KEY_BYTES, DerivingKey, unreadable
from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import blocking_connection, metadata
from activities.storage.master_keys import registered
from contracts.errors import Owner, Transient

root_keys = Table(
    "root_keys",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("key_id", String(16), nullable=False, unique=True),
    Column("made_under", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

EARLIER = "root-keys"
OWNER = "-"
"""Root keys belong to no organisation."""


class StoredRootKeys:
    """The root keys of one store; asked for once, and again when a rotation shows.

    Args:
        url: an SQLAlchemy URL without a driver.
        masters: the master keys.
    """

    def __init__(self, url: str, masters: MasterKeys) -> None:
        self._url = url
        self._masters = masters
        self._sealer = Sealer(masters, EARLIER)
        self._lock = Lock()
        self._keys: Mapping[str, DerivingKey] = {}
        self._loaded_under = ""

    def held(self, key_id: str | None = None) -> DerivingKey | None:
        """Return the key with this id, the newest when absent, None where the store has to be asked."""
        if key_id is not None:
            return self._keys.get(key_id)
        if self._loaded_under != self._masters.fetch().key_id():
            return None
        return list(self._keys.values())[-1]

    def fetch(self, key_id: str | None = None) -> DerivingKey:
        """Return the key with this id, the newest when absent; the store is read, blocking, where that is needed.

        Raises:
            Permanent: the store has no such key.
            Transient: the store does not answer.
        """
        with self._lock:
            found = self.held(key_id)
            if found is None:
                self._load()
                found = self.held(key_id)
        if found is None:
            raise unreadable()
        return found

    def eldest(self) -> DerivingKey:
        """Return the first key; the store is read, blocking, the first time."""
        self.fetch()
        return next(iter(self._keys.values()))

    def renew(self) -> str:
        """Make sure that there is a key that was made under the newest master key; return the newest key's id.

        Idempotent: yes, by the newest master key.
        """
        with blocking_connection(self._url) as connection:
            rows = _rows(connection)
            if not any(row.made_under == self._masters.fetch().key_id() for row in rows):
                self._add(connection, DerivingKey(secrets.token_bytes(KEY_BYTES)), after=rows)
        self._loaded_under = ""
        return self.fetch().key_id()

    def _load(self) -> None:
        under = self._masters.fetch()
        try:
            with blocking_connection(self._url) as connection:
                connection.execute(registered(_insert(connection), under.key_id()))
                rows = _rows(connection)
                if not rows:
                    self._add(connection, DerivingKey(under.secret), after=rows)
                    rows = _rows(connection)
        except SQLAlchemyError as error:
            raise _away() from error
        self._keys = {row.key_id: self._opened(row) for row in rows}
        self._loaded_under = under.key_id()

    def _add(self, connection: Connection, key: DerivingKey, *, after: Sequence[Row[tuple[object, ...]]]) -> None:
        generation = len(after) + 1
        row = {
            "generation": generation,
            "key_id": key.key_id(),
            "made_under": self._masters.fetch().key_id(),
            "sealed": self._sealer.seal(OWNER, key.secret, place_of(generation)),
            "created_at": datetime.now(UTC),
        }
        connection.execute(_insert(connection)(root_keys).values(row).on_conflict_do_nothing())

    def _opened(self, row: Row[tuple[object, ...]]) -> DerivingKey:
        found = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for a row's mapping
        return DerivingKey(self._sealer.open(OWNER, found["sealed"], place_of(found["generation"])))


def place_of(generation: int) -> str:
    """Return what a sealed root key is bound to."""
    return f"root-key|{generation}"


def _rows(connection: Connection) -> Sequence[Row[tuple[object, ...]]]:
    return connection.execute(select(root_keys).order_by(root_keys.c.generation)).all()


def _insert(connection: Connection) -> Callable[[Table], Any]:
    insert: Callable[[Table], Any] = import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert
    return insert


def _away() -> Transient:
    return Transient(
        "store_not_ready",
        "The SQL store does not answer, or has no tables yet.",
        owner=Owner.OPERATOR,
        action="Run `wedsync up`, or set WEDSYNC_DATABASE_URL to the store that the workers use.",
    )
