"""A tenant's question to Snowflake, in a session of its own that the account ends by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from activities.connectors.warehouse.answers import column, written
from activities.connectors.warehouse.snowflake_session import Session
from activities.ports.analytics import QueryAnswer
from activities.ports.connection import Connection
from activities.transform.analytics_sql import BoundQuery
from contracts.analytics import AnalyticsQuery

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
        with session.reading("query", bound.sql, bound.values, query.timeout_s) as cursor:
            columns = [column(one[0], _TYPES.get(one[1], "other")) for one in cursor.description]
            return written(columns, iter(lambda: cursor.fetchmany(_PAGE), []), query.max_rows, into)
    finally:
        session.close()
