"""Statements at a Databricks SQL warehouse, one request each: what they answer, how they end, where files are staged.

There are no sessions and no transactions over several statements; the loader sends statements that can be repeated.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import JsonValue

from activities.connectors.warehouse.databricks_failures import error_word, failure, refusal, unended
from activities.connectors.warehouse.dialect import name_of, path_part, word
from activities.connectors.warehouse.model import RAW, Table
from activities.ports.connection import Connection
from activities.transport.client import JsonClient, open_client
from contracts.errors import AuthExpired, WedSyncError

T = TypeVar("T")

STATEMENT_TIMEOUT_S = 1_500
_SYSTEM = "databricks"
STATEMENTS = "/api/2.0/sql/statements"
_VOLUME = f"{RAW}.ETL_FILES"
_WAIT_S = 50
"""The longest that one request may wait for a statement."""
_REQUEST_TIMEOUT_S = 120.0
_LOOK_EVERY_S = 2.0
RUNNING = frozenset({"PENDING", "RUNNING"})
ENDED_WELL = frozenset({"SUCCEEDED", "CLOSED"})


class Session:
    """A client of one warehouse, used by one step at a time and closed by `close`.

    Args:
        connection: the workspace, credential and settings.
        query_tag: kept with every statement in the query history.

    Raises:
        AuthExpired: the credential holds no token.
        InvalidInput: a name in the settings is not one.

    Source: Statement Execution API 2.0 and Files API as the description in databricks-sdk 0.156 has them.
    """

    def __init__(self, connection: Connection, query_tag: str) -> None:
        self._warehouse_id = word(connection.setting("warehouseId"))
        self._catalog = name_of(connection.setting("catalog"))
        self._tag = query_tag
        self._closed = threading.Event()
        # The step runs in a thread of its own, and its requests on a loop of its own.
        self._runner = asyncio.Runner()
        self._http = workspace(connection)

    def tag(self, query_tag: str) -> None:
        """Keep another tag with the statements from here on."""
        self._tag = query_tag

    def close(self) -> None:
        """Close the sockets; a statement that is running goes on without being looked at."""
        self._closed.set()
        with suppress(RuntimeError):
            self._runner.run(self._http.aclose())
        self._runner.close()

    def run(self, operation: str, sql: str, *, writes: bool = True) -> list[tuple[Any, ...]]:
        """Execute one statement to its end and return its rows, every value as text; DML answers with its counts.

        Raises:
            Transient: the statement failed for another writer, or was cancelled; nothing of it was done.
            OutcomeUnknown: the answer to a write was lost.
            WedSyncError: otherwise classified by HTTP status, error code and SQL state.
        """
        answer = self._execute(operation, sql, writes=writes)
        if state_of(answer) not in ENDED_WELL:
            raise failure(answer, operation)
        return self._rows(operation, answer)

    @contextmanager
    def transaction(self, operation: str) -> Iterator[None]:
        """Do no more than the block: each of its statements is atomic and can be repeated."""
        del operation
        yield

    def stage(self, operation: str, directory: str, files: Sequence[Path]) -> None:
        """Put the files into a volume, which is made when it is not there yet."""
        self.run(operation, f"CREATE VOLUME IF NOT EXISTS {_VOLUME}")
        for path in files:
            self._file("PUT", operation, directory, path.name, path.read_bytes())

    def append(self, operation: str, table: Table, batch_id: str, directory: str, names: Sequence[str]) -> None:
        """Replace the batch's rows by those of the files, in one statement.

        COPY INTO would skip a path whose file has changed since it was loaded.
        """
        columns = ", ".join(table.names)
        files = [f"SELECT {columns} FROM parquet.`{self._path(directory, name)}`" for name in names]
        self.run(
            operation,
            f"INSERT INTO {table.name} BY NAME REPLACE WHERE BATCH_ID = '{word(batch_id)}' {' UNION ALL '.join(files)}",
        )

    def unstage(self, operation: str, directory: str, names: Sequence[str]) -> None:
        """Delete the staged files."""
        for name in names:
            self._file("DELETE", operation, directory, name, None)

    def _path(self, directory: str, name: str) -> str:
        parts = [path_part(part) for part in (*directory.split("/"), name)]
        return f"/Volumes/{self._catalog.lower()}/{_VOLUME.lower().replace('.', '/')}/{'/'.join(parts)}"

    def _file(self, method: str, operation: str, directory: str, name: str, content: bytes | None) -> None:
        overwrite = "?overwrite=true" if method == "PUT" else ""
        path = f"/api/2.0/fs/files{quote(self._path(directory, name))}{overwrite}"
        headers = {"Content-Type": "application/octet-stream"}
        self._wait_for(
            self._http.request(method, path, operation=operation, content=content, headers=headers, writes=True)
        )

    def _execute(self, operation: str, sql: str, *, writes: bool) -> dict[str, Any]:
        body: dict[str, JsonValue] = {
            "statement": sql,
            "warehouse_id": self._warehouse_id,
            "catalog": self._catalog,
            "wait_timeout": f"{_WAIT_S}s",
            "on_wait_timeout": "CONTINUE",
            "query_tags": [{"key": "wedsync", "value": self._tag}],
        }
        answer = self._ask("POST", STATEMENTS, operation, body, writes=writes)
        until = time.monotonic() + STATEMENT_TIMEOUT_S
        while state_of(answer) in RUNNING:
            path = f"{STATEMENTS}/{quote(str(answer['statement_id']))}"
            if time.monotonic() >= until:
                with suppress(WedSyncError):
                    self._ask("POST", f"{path}/cancel", operation, {}, writes=True)
                raise unended(operation, STATEMENT_TIMEOUT_S)
            # The service tells nobody that a statement has ended.
            self._closed.wait(_LOOK_EVERY_S)
            answer = self._ask("GET", path, operation)
        return answer

    def _rows(self, operation: str, answer: dict[str, Any]) -> list[tuple[Any, ...]]:
        chunk = answer.get("result") or {}
        rows = [tuple(row) for row in chunk.get("data_array") or []]
        while (following := chunk.get("next_chunk_index")) is not None:
            path = f"{STATEMENTS}/{quote(str(answer['statement_id']))}/result/chunks/{int(following)}"
            chunk = self._ask("GET", path, operation)
            rows += [tuple(row) for row in chunk.get("data_array") or []]
        return rows

    def _ask(
        self, method: str, path: str, operation: str, body: dict[str, JsonValue] | None = None, *, writes: bool = False
    ) -> dict[str, Any]:
        request = self._http.request_json(method, path, operation=operation, json=body, writes=writes)
        answer = self._wait_for(request)
        return answer if isinstance(answer, dict) else {}

    def _wait_for(self, request: Coroutine[Any, Any, T]) -> T:
        try:
            return self._runner.run(request)
        except WedSyncError as error:
            raise refusal(error) from None


async def admitted() -> None:
    """Let a request of a step pass that has been admitted as a whole."""


def workspace(connection: Connection, admit: Callable[[], Awaitable[None]] = admitted) -> JsonClient:
    """Return a client of the workspace.

    Args:
        connection: the workspace and its credential.
        admit: asked before every request; a step is admitted as a whole.

    Raises:
        AuthExpired: the credential holds no token.
    """
    headers = {"Authorization": f"Bearer {_token(connection)}"}
    client = open_client(connection, headers=headers, timeout_s=_REQUEST_TIMEOUT_S)
    return JsonClient(_SYSTEM, client, timeout_s=_REQUEST_TIMEOUT_S, error_word=error_word, admit=admit)


def _token(connection: Connection) -> str:
    if "accessToken" not in connection.credential:
        raise AuthExpired(
            "credential_missing",
            "The Databricks credential has no accessToken.",
            action="Connect the integration again with a personal access token or a service principal.",
            system=_SYSTEM,
        )
    return connection.secret("accessToken")


def state_of(answer: dict[str, Any]) -> str:
    """Return the state of a statement, as its answer says it."""
    return str((answer.get("status") or {}).get("state"))
