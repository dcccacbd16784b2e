"""A tenant's question to Snowflake, in a session of its own that the account ends by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from activities.connectors.warehouse.snowflake_session import Session
from activities.ports.analytics import QueryAnswer
from activities.ports.connection import Connection
from activities.transform.analytics_sql import BoundQuery
from activities.transform.records import json_value
from contracts.analytics import AnalyticsQuery, QueryColumn

QUERY_ROLE = "queryRole"
"""The setting that names a role which can only read."""
_PAGE = 1_000
_TYPES = {0: "number", 1: "number", 2: "text", 3: "date", 13: "boolean"} | dict.fromkeys((4, 6, 7, 8), "timestamp")


def ask(connection: Connection, query: AnalyticsQuery, bound: BoundQuery, into: Path) -> QueryAnswer:
    """Run a judged query and write its rows, one JSON array per line; blocks.

    Source: docs.snowflake.com, parameters (STATEMENT_TIMEOUT_IN_SECONDS) and the driver's API (type codes).

    Raises:
        WedSyncError: classified by the driver's error class, number and SQL state.
    """
    role = connection.setting(QUERY_ROLE)
    if role:
        connection = replace(connection, settings={**connection.settings, "role": role})
    session = Session(connection, f"wedsync:query:{query.query_id}", {"STATEMENT_TIMEOUT_IN_SECONDS": query.timeout_s})
    try:
        with session.reading("query", bound.sql, bound.values) as cursor, into.open("w", encoding="utf-8") as file:
            columns = [QueryColumn(name=one[0][:255], type=_TYPES.get(one[1], "other")) for one in cursor.description]
            written, found = 0, 0
            while page := cursor.fetchmany(_PAGE):
                found += len(page)
                kept = page[: query.max_rows - written]
                _write(file, kept)
                written += len(kept)
    finally:
        session.close()
    return QueryAnswer(columns, written, truncated=found > written)


def _write(file: Any, rows: Sequence[Sequence[Any]]) -> None:
    for row in rows:
        file.write(json.dumps([json_value(value) for value in row], ensure_ascii=False) + "\n")
