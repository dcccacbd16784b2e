"""The common ground of every emulated vendor: durable state, the effect ledger and the request log."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from emulators.control import build_app
from emulators.fault_book import Fault, FaultBook
from emulators.faults import paths_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    Routes = list[BaseRoute]

__all__ = ["Bodies", "Emulator", "Fault", "State", "build_app", "now_iso"]

Bodies = list[dict[str, Any]]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, system TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
  UNIQUE (system, type, id));
CREATE INDEX IF NOT EXISTS objects_in_order ON objects (system, type, seq);
CREATE TABLE IF NOT EXISTS effects (
  system TEXT NOT NULL, seq INTEGER NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL, object_type TEXT NOT NULL,
  object_id TEXT NOT NULL, idempotency_key TEXT, body TEXT NOT NULL, PRIMARY KEY (system, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
  system TEXT NOT NULL, seq INTEGER NOT NULL, at TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
  query TEXT NOT NULL, status INTEGER, operation TEXT, PRIMARY KEY (system, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (
  system TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (system, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS faults (
  id INTEGER PRIMARY KEY AUTOINCREMENT, system TEXT NOT NULL, rule TEXT NOT NULL, fired INTEGER NOT NULL DEFAULT 0,
  draws INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS windows (system TEXT PRIMARY KEY, closes_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seeded (system TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_TABLES = ("objects", "effects", "requests", "counters", "faults", "windows", "seeded")
_KEPT = ("objects", "counters", "seeded")
_FIRST_ID = 10_000
_SECRET = re.compile(r"\b(token|access_token|refresh_token|client_secret|code|code_verifier)=[^&]*")
_FIELD = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


def now_iso() -> str:
    """The current time as vendors print it: UTC, milliseconds, a trailing Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class State:
    """Everything the emulated vendors remember, in one SQLite file (or in memory when `path` is None).

    One connection, used from one event loop. `settings` carries what the command line says about this process
    (for example the SMTP port) and is not stored.
    """

    def __init__(self, path: Path | None = None, settings: dict[str, Any] | None = None) -> None:
        """Open or create the database file at `path`."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self.settings: dict[str, Any] = settings or {}
        self.connection = sqlite3.connect(
            str(path) if path is not None else ":memory:",
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        self.connection.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing without fsync; only a power cut could, and that is outside an emulator's job.
        self.connection.execute("PRAGMA synchronous=OFF")
        self.connection.executescript(_SCHEMA)
        self._depth = 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside become visible together or not at all; never await inside."""
        if self._depth == 0:
            self.connection.execute("BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self.connection.execute("ROLLBACK")
            raise
        self._depth -= 1
        if self._depth == 0:
            self.connection.execute("COMMIT")

    def counter(self, system: str, name: str, start: int = 0) -> int:
        """Add one to a persistent counter and return it; the first value is `start` + 1."""
        row = self.connection.execute(
            "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT (system, name) DO UPDATE SET value = value + 1 "
            "RETURNING value",
            (system, name, start + 1),
        ).fetchone()
        return int(row[0])

    def forget(self, system: str) -> None:
        """Delete everything one system remembers."""
        for table in _TABLES:
            self.connection.execute(f"DELETE FROM {table} WHERE system = ?", (system,))

    def close(self) -> None:
        """Close the database."""
        self.connection.close()


def _default_error(status: int, _fault: Fault | None) -> Response:
    return JSONResponse(
        {
            "error": {
                "status": status,
                "message": "The service could not answer this request.",
            }
        },
        status,
    )


class Emulator:
    """One emulated vendor: its objects, its ledger of applied effects, its request log and its faults."""

    def __init__(
        self,
        system: str,
        state: State,
        *,
        routes: Callable[[Emulator], Routes],
        seed: Callable[[Emulator], None],
        base_path: str = "",
        render_error: Callable[[int, Fault | None], Response] = _default_error,
        details: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """Attach a vendor to the state, seeding it the first time.

        Args:
            system: Name of the system, also its mount path.
            state: The shared state.
            routes: Builds the vendor's routes, relative to the mount.
            seed: Writes the objects the vendor holds from the start; runs once, and again after a reset.
            base_path: What clients append to `/{system}` to get the vendor's base URL, for example `/api/v2`.
            render_error: The vendor's own body for a status that a fault asks for (429 included).
            details: Further facts for `GET /_emulators`, for example a port.
        """
        self.system = system
        self.state = state
        self.base_path = base_path
        self.render_error = render_error
        self.details = details
        self.faults = FaultBook(system, state)
        self.startup: list[Callable[[], Awaitable[None]]] = []
        self.shutdown: list[Callable[[], Awaitable[None]]] = []
        self.on_reset: list[Callable[[], None]] = []
        self.control_routes: Routes = []
        self._seed = seed
        self._db = state.connection
        self._indexed: set[tuple[str, str]] = set()
        self._snapshot: dict[str, list[tuple[Any, ...]]] = {}
        self._plant()
        self.routes = routes(self)

    def _plant(self) -> None:
        with self.transaction():
            if self._db.execute("INSERT OR IGNORE INTO seeded VALUES (?)", (self.system,)).rowcount:
                self._seed(self)

    def reset(self) -> None:
        """Forget everything, faults included, and seed again."""
        self._begin_anew(self._plant)

    def snapshot(self) -> None:
        """Remember in memory what the vendor holds now."""
        self._snapshot = {
            table: self._db.execute(f"SELECT * FROM {table} WHERE system = ?", (self.system,)).fetchall()
            for table in _KEPT
        }

    def restore(self) -> bool:
        """Forget everything, faults included, and hold what the snapshot remembers; False when there is none."""
        if self._snapshot:
            self._begin_anew(self._replant)
        return bool(self._snapshot)

    def _replant(self) -> None:
        for table, rows in self._snapshot.items():
            if rows:
                self._db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def _begin_anew(self, plant: Callable[[], None]) -> None:
        with self.transaction():
            self.state.forget(self.system)
            plant()
        self.faults.load()
        for callback in self.on_reset:
            callback()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Object changes and ledger entries inside are stored together; never await inside."""
        return self.state.transaction()

    def get(self, object_type: str, object_id: str) -> dict[str, Any] | None:
        """The object's body, or None."""
        row = self._db.execute(
            "SELECT body FROM objects WHERE system = ? AND type = ? AND id = ?",
            (self.system, object_type, object_id),
        ).fetchone()
        return None if row is None else _load(row[0])

    def put(self, object_type: str, object_id: str, body: dict[str, Any]) -> None:
        """Create or replace an object; its place in insertion order is kept."""
        self._db.execute(
            "INSERT INTO objects (system, type, id, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (system, type, id) DO UPDATE SET body = excluded.body",
            (self.system, object_type, object_id, _dump(body)),
        )

    def delete(self, object_type: str, object_id: str) -> None:
        """Remove an object; removing an absent one is not an error."""
        self._db.execute(
            "DELETE FROM objects WHERE system = ? AND type = ? AND id = ?",
            (self.system, object_type, object_id),
        )

    def list(self, object_type: str, *, limit: int = -1, offset: int = 0) -> Bodies:
        """Bodies of all objects of a type in insertion order; `limit` -1 means all."""
        rows = self._db.execute(
            "SELECT body FROM objects WHERE system = ? AND type = ? ORDER BY seq LIMIT ? OFFSET ?",
            (self.system, object_type, limit, offset),
        )
        return [_load(row[0]) for row in rows]

    def count(self, object_type: str) -> int:
        """How many objects of a type exist."""
        row = self._db.execute(
            "SELECT count(*) FROM objects WHERE system = ? AND type = ?",
            (self.system, object_type),
        ).fetchone()
        return int(row[0])

    def find(self, object_type: str, field: str, value: str) -> dict[str, Any] | None:
        """The first object whose dotted `field` (for example `properties.email`) equals `value`, by index."""
        found = self.find_all(object_type, field, value, limit=1)
        return found[0] if found else None

    def find_all(
        self,
        object_type: str,
        field: str,
        value: str,
        *,
        newest_first: bool = False,
        limit: int = -1,
        offset: int = 0,
    ) -> Bodies:
        """All objects whose dotted `field` equals `value`, in insertion order or newest first, by index."""
        where, expression = self._index(object_type, field)
        order = "DESC" if newest_first else "ASC"
        rows = self._db.execute(
            f"SELECT body FROM objects WHERE {where} AND {expression} = ? ORDER BY seq {order} LIMIT ? OFFSET ?",
            (value, limit, offset),
        )
        return [_load(row[0]) for row in rows]

    def _index(self, object_type: str, field: str) -> tuple[str, str]:
        if not _FIELD.fullmatch(field):
            message = f"The field {field!r} is not a dotted path of plain names."
            raise ValueError(message)
        path = "$." + ".".join(f'"{part}"' for part in field.split("."))
        expression = f"CAST(json_extract(body, '{path}') AS TEXT)"
        where = f"system = {_quote(self.system)} AND type = {_quote(object_type)}"
        if (object_type, field) not in self._indexed:
            name = "by_" + hashlib.sha256(f"{self.system}/{object_type}/{field}".encode()).hexdigest()[:20]
            self._db.execute(f"CREATE INDEX IF NOT EXISTS {name} ON objects ({expression}, seq) WHERE {where}")
            self._indexed.add((object_type, field))
        return where, expression

    def next_id(self, object_type: str) -> str:
        """A numeric id that this object type has never used."""
        while True:
            candidate = str(self.state.counter(self.system, f"id/{object_type}", _FIRST_ID))
            if self.get(object_type, candidate) is None:
                return candidate

    def effect(
        self,
        kind: str,
        object_type: str,
        object_id: str,
        body: dict[str, Any],
        idempotency_key: str | None = None,
    ) -> None:
        """Enter an applied effect in the ledger; a write that changed nothing must not be entered."""
        self._db.execute(
            "INSERT INTO effects VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.system,
                self.state.counter(self.system, "effects"),
                now_iso(),
                kind,
                object_type,
                object_id,
                idempotency_key,
                _dump(body),
            ),
        )

    def effects(self, since: int = 0, limit: int = -1) -> Bodies:
        """Ledger entries with a sequence number greater than `since`, oldest first."""
        rows = self._db.execute(
            "SELECT seq, at, kind, object_type, object_id, idempotency_key, body FROM effects "
            "WHERE system = ? AND seq > ? ORDER BY seq LIMIT ?",
            (self.system, since, limit),
        )
        names = ("seq", "at", "kind", "objectType", "objectId", "idempotencyKey")
        return [{**dict(zip(names, row[:6], strict=True)), "body": _load(row[6])} for row in rows]

    def open_request(self, method: str, path: str, query: str) -> int:
        """Log a request on arrival (its status is still unknown) and return its number; secrets are left out."""
        with self.transaction():
            seq = self.state.counter(self.system, "requests")
            self._db.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)",
                (self.system, seq, now_iso(), method, path, _SECRET.sub(r"\1=-", query)),
            )
        return seq

    def close_request(self, seq: int, status: int, operation: str | None) -> None:
        """Log how a request ended; status 0 means the connection ended without an answer."""
        self._db.execute(
            "UPDATE requests SET status = ?, operation = ? WHERE system = ? AND seq = ?",
            (status, operation, self.system, seq),
        )

    def requests(self, since: int = 0, limit: int = -1) -> Bodies:
        """Logged requests with a sequence number greater than `since`, oldest first."""
        rows = self._db.execute(
            "SELECT seq, at, method, path, query, status, operation FROM requests "
            "WHERE system = ? AND seq > ? ORDER BY seq LIMIT ?",
            (self.system, since, limit),
        )
        names = ("seq", "at", "method", "path", "query", "status", "operation")
        return [
            {name: value for name, value in zip(names, row, strict=True) if name != "operation" or value is not None}
            for row in rows
        ]

    def fault_active(self, kind: str, request: Request) -> Fault | None:
        """The fault of a vendor-specific kind that applies to this request, using up one of its counts."""
        return self.faults.draw((kind,), request.method, paths_of(request.scope))

    def name_operation(self, request: Request, operation: str) -> None:
        """Say which vendor operation a request is, for the request log."""
        request.scope["emulator.operation"] = operation


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _dump(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def _load(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text)
    return loaded
