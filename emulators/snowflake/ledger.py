"""Keeps the effects, the requests and the faults of the stand-in in one SQLite file."""

import json
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS effects (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT NOT NULL,
  object_type TEXT NOT NULL, object_id TEXT NOT NULL, idempotency_key TEXT, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS requests (seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, method TEXT NOT NULL,
  path TEXT NOT NULL, status INTEGER NOT NULL, operation TEXT);
"""


class Ledger:
    """Append-only record of what was asked and what really changed; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def effects(self, entries: list["Effect"]) -> None:
        """Append `entries` in one transaction."""
        if not entries:
            return
        now = _now()
        rows = [(now, e.kind, e.object_type, e.object_id, e.idempotency_key, json.dumps(e.body)) for e in entries]
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT INTO effects (at, kind, object_type, object_id, idempotency_key, body) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            self._connection.execute("COMMIT")

    def request(self, method: str, path: str, status: int, operation: str | None) -> None:
        """Append one request; `status` 0 means the connection was closed without an answer."""
        with self._lock:
            self._connection.execute(
                "INSERT INTO requests (at, method, path, status, operation) VALUES (?, ?, ?, ?, ?)",
                (_now(), method, path, status, operation),
            )

    def list_effects(self, since: int) -> list[dict[str, Any]]:
        """Effects with a sequence number above `since`, oldest first."""
        return [
            {
                "seq": row["seq"],
                "at": row["at"],
                "kind": row["kind"],
                "objectType": row["object_type"],
                "objectId": row["object_id"],
                "idempotencyKey": row["idempotency_key"],
                "body": json.loads(row["body"]),
            }
            for row in self._rows("SELECT * FROM effects WHERE seq > ? ORDER BY seq", since)
        ]

    def list_requests(self, since: int) -> list[dict[str, Any]]:
        """Requests with a sequence number above `since`, oldest first."""
        return [dict(row) for row in self._rows("SELECT * FROM requests WHERE seq > ? ORDER BY seq", since)]

    def clear(self) -> None:
        """Forget everything; sequence numbers start again at 1."""
        with self._lock:
            self._connection.executescript("DELETE FROM effects; DELETE FROM requests; DELETE FROM sqlite_sequence;")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _rows(self, sql: str, since: int) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(sql, (since,)).fetchall()


class Effect:
    """One change the warehouse applied; `body` holds the number of rows and the statement without its literals."""

    def __init__(
        self, kind: str, object_type: str, object_id: str, body: dict[str, Any], idempotency_key: str | None = None
    ) -> None:
        self.kind = kind
        self.object_type = object_type
        self.object_id = object_id
        self.body = body
        self.idempotency_key = idempotency_key


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
