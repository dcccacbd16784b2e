"""A tenant's question to Databricks: one statement with named values, looked after until its time is up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import JsonValue

from activities.connectors.warehouse.answers import column, overdue, written
from activities.connectors.warehouse.databricks_failures import failure, refusal
from activities.connectors.warehouse.databricks_session import ENDED_WELL, RUNNING, STATEMENTS, state_of, workspace
from activities.connectors.warehouse.dialect import name_of, word
from activities.ports.analytics import QueryAnswer
from activities.ports.connection import Connection
from activities.transform.analytics_sql import BoundQuery
from activities.transport.client import JsonClient
from contracts.analytics import AnalyticsQuery, ParameterValue
from contracts.errors import WedSyncError

_SYSTEM = "databricks"
_MOST_BYTES = 8 << 20
"""Of one result, half of what is read of one answer: the warehouse counts them before they are written as JSON."""
_WAITS_S = range(5, 51)
"""How long one request may wait for a statement, besides not at all."""
_LOOKS = 20
"""How often a statement is looked at, at most."""
CALLS = _LOOKS + 10
"""The most requests of one question: these, its start, its end, and the parts of its answer."""
_LOOK_EVERY_S = 2.0
_NUMBERS: dict[str, Callable[[str], JsonValue]] = {
    **dict.fromkeys(("BYTE", "SHORT", "INT", "LONG"), int),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), float),
}
_READ: dict[str, Callable[[str], JsonValue]] = {**_NUMBERS, "BOOLEAN": lambda text: text == "true"}
_KINDS = {
    **dict.fromkeys(_NUMBERS, "number"),
    "BOOLEAN": "boolean",
    "DATE": "date",
    **dict.fromkeys(("CHAR", "STRING"), "text"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_NTZ"), "timestamp"),
}


async def ask(connection: Connection, query: AnalyticsQuery, bound: BoundQuery, into: Path) -> QueryAnswer:
    """Run a judged query and write its rows, one JSON array per line.

    Source: Statement Execution API 2.0 (parameters, row_limit, byte_limit, cancel) as databricks-sdk 0.156 has it.

    Raises:
        WedSyncError: classified by HTTP status, error code and SQL state.
    """
    http = workspace(connection, admit=connection.admit)
    try:
        answer = await _ended(http, query, _statement(connection, query, bound))
        rows = await _rows(http, answer)
    except WedSyncError as error:
        raise refusal(error) from None
    finally:
        await http.aclose()
    manifest = answer.get("manifest") or {}
    types = [(str(one["name"]), str(one["type_name"])) for one in (manifest.get("schema") or {}).get("columns") or []]
    columns = [column(name, _KINDS.get(kind, "other")) for name, kind in types]
    readers = [_READ.get(kind, str) for _, kind in types]
    page = [_row(readers, row) for row in rows]
    told = await asyncio.to_thread(written, columns, [page], query.max_rows, into)
    return replace(told, truncated=told.truncated or bool(manifest.get("truncated")))


def _statement(connection: Connection, query: AnalyticsQuery, bound: BoundQuery) -> dict[str, JsonValue]:
    wait_s = min(query.timeout_s, _WAITS_S[-1])
    return {
        "statement": bound.sql,
        "warehouse_id": word(connection.setting("warehouseId")),
        "catalog": name_of(connection.setting("catalog")),
        "wait_timeout": f"{wait_s if wait_s in _WAITS_S else 0}s",
        "on_wait_timeout": "CONTINUE",
        "parameters": [_parameter(f"p{at}", value) for at, value in enumerate(bound.values)],
        "row_limit": query.max_rows + 1,
        "byte_limit": _MOST_BYTES,
        "query_tags": [{"key": "wedsync", "value": f"wedsync:query:{query.query_id}"}],
    }


def _parameter(name: str, value: ParameterValue) -> JsonValue:
    kind = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"}.get(type(value), "STRING")
    return {"name": name, "type": kind, "value": str(value).lower() if isinstance(value, bool) else str(value)}


async def _ended(http: JsonClient, query: AnalyticsQuery, body: dict[str, JsonValue]) -> dict[str, Any]:
    """Run the statement to its end, or cancel it when its time is up or nobody waits any more."""
    until = time.monotonic() + query.timeout_s
    answer = await _asked(http, "POST", STATEMENTS, body)
    path = f"{STATEMENTS}/{quote(str(answer.get('statement_id')))}"
    try:
        while state_of(answer) in RUNNING:
            left = until - time.monotonic()
            if left <= 0:
                raise overdue(_SYSTEM, "Databricks", query.timeout_s)
            await _looked_later(min(left, max(_LOOK_EVERY_S, query.timeout_s / _LOOKS)))
            answer = await _asked(http, "GET", path)
    except (WedSyncError, asyncio.CancelledError):
        with suppress(WedSyncError):
            await asyncio.shield(_asked(http, "POST", f"{path}/cancel", {}))
        raise
    if state_of(answer) not in ENDED_WELL:
        raise failure(answer, "query")
    return answer


async def _looked_later(seconds: float) -> None:
    """Let time pass between two looks at a statement, because the service tells nobody that one has ended."""
    await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=seconds)


async def _rows(http: JsonClient, answer: dict[str, Any]) -> list[Sequence[str | None]]:
    chunk = answer.get("result") or {}
    rows = list(chunk.get("data_array") or [])
    while (following := chunk.get("next_chunk_index")) is not None:
        path = f"{STATEMENTS}/{quote(str(answer['statement_id']))}/result/chunks/{int(following)}"
        chunk = await _asked(http, "GET", path)
        rows += chunk.get("data_array") or []
    return rows


async def _asked(http: JsonClient, method: str, path: str, body: dict[str, JsonValue] | None = None) -> dict[str, Any]:
    answer = await http.request_json(method, path, operation="query", json=body, writes=False)
    return answer if isinstance(answer, dict) else {}


def _row(readers: Sequence[Callable[[str], JsonValue]], row: Sequence[str | None]) -> list[JsonValue]:
    return [None if text is None else read(text) for read, text in zip(readers, row, strict=True)]
