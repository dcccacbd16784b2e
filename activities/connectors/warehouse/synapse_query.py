"""A tenant's question to Synapse, in a session of its own and under a login that can only read where there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from activities.connectors.warehouse.answers import column, written
from activities.connectors.warehouse.synapse_session import Session
from activities.ports.analytics import QueryAnswer
from activities.ports.connection import Connection
from activities.transform.analytics_sql import BoundQuery
from contracts.analytics import AnalyticsQuery

QUERY_LOGIN = ("queryUser", "queryPassword")
"""The parts of the credential that name a login which can only read."""
_TYPES = {40: "date"} | {
    **dict.fromkeys((50, 104), "boolean"),
    **dict.fromkeys((38, 48, 52, 56, 59, 60, 62, 106, 108, 109, 110, 122, 127), "number"),
    **dict.fromkeys((35, 99, 167, 175, 231, 239), "text"),
    **dict.fromkeys((42, 43, 58, 61, 111), "timestamp"),
}
"""The kinds of a column by its type in TDS: [MS-TDS], section 2.2.5.4."""


def ask(connection: Connection, query: AnalyticsQuery, bound: BoundQuery, into: Path) -> QueryAnswer:
    """Run a judged query and write its rows, one JSON array per line; blocks.

    Raises:
        WedSyncError: classified by the number of SQL Server's error.
    """
    session = Session(reader_of(connection), answer_timeout_s=query.timeout_s)
    try:
        description, rows = session.read("query", bound.sql, bound.values)
    finally:
        session.close()
    columns = [column(one[0], _TYPES.get(one[1], "other")) for one in description]
    return written(columns, [rows], query.max_rows, into)


def reader_of(connection: Connection) -> Connection:
    """Return the connection as the login for questions, where the credential has one."""
    if not all(name in connection.credential for name in QUERY_LOGIN):
        return connection
    user, password = (connection.credential[name] for name in QUERY_LOGIN)
    return replace(connection, credential={**connection.credential, "user": user, "password": password})
