"""A tenant's question to Redshift, in a session of its own and a transaction that cannot write."""

from __future__ import annotations

from pathlib import Path

from activities.connectors.warehouse.answers import column, written
from activities.connectors.warehouse.redshift_session import Session
from activities.ports.analytics import QueryAnswer
from activities.ports.connection import Connection
from activities.transform.analytics_sql import BoundQuery
from contracts.analytics import AnalyticsQuery

_TYPES = {16: "boolean", 1082: "date"} | {
    **dict.fromkeys((20, 21, 23, 26, 700, 701, 1700), "number"),
    **dict.fromkeys((25, 1042, 1043), "text"),
    **dict.fromkeys((1114, 1184), "timestamp"),
}
"""The kinds of a column by its type's object id in PostgreSQL, which are Redshift's too."""


def ask(connection: Connection, query: AnalyticsQuery, bound: BoundQuery, into: Path) -> QueryAnswer:
    """Run a judged query and write its rows, one JSON array per line; blocks.

    Raises:
        WedSyncError: classified by the driver's error class and the SQLSTATE.
    """
    session = Session(connection, f"wedsync:query:{query.query_id}")
    try:
        description, rows = session.read("query", bound.sql, bound.values, query.timeout_s)
    finally:
        session.close()
    columns = [column(one[0], _TYPES.get(one[1], "other")) for one in description]
    return written(columns, [rows], query.max_rows, into)
