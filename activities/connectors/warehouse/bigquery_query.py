"""A tenant's question to BigQuery: a job that is planned first, bounded in bytes and time, and cancelled when late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.cloud import bigquery

from activities.connectors.warehouse.answers import column, overdue, written
from activities.connectors.warehouse.bigquery_failures import classify, not_a_select, too_expensive
from activities.connectors.warehouse.bigquery_session import FAILURES, Session
from activities.ports.analytics import QueryAnswer
from activities.ports.connection import Connection
from activities.transform.analytics_sql import BoundQuery
from contracts.analytics import AnalyticsQuery, ParameterValue
from contracts.errors import InvalidInput

MOST_BYTES = "maximumBytesBilled"
"""The setting that says how many bytes one question may be billed for."""
PAGE_ROWS = 5_000
_SYSTEM = "bigquery"
_BYTES = 10 << 30
_GRACE_S = 5
"""How much later than BigQuery itself we end a job."""
_ENDED = frozenset({"stopped", "timeout"})
_BILLED = frozenset({"bytesBilledLimitExceeded"})
_TYPES = {"BOOL": "boolean", "BOOLEAN": "boolean", "STRING": "text", "DATE": "date"} | {
    **dict.fromkeys(("INT64", "INTEGER", "FLOAT64", "FLOAT", "NUMERIC", "BIGNUMERIC"), "number"),
    **dict.fromkeys(("DATETIME", "TIMESTAMP"), "timestamp"),
}


def ask(connection: Connection, query: AnalyticsQuery, bound: BoundQuery, into: Path) -> QueryAnswer:
    """Run a judged query and write its rows, one JSON array per line; blocks.

    BigQuery plans it first, which costs nothing, and says what kind of statement it is.

    Source: cloud.google.com/bigquery/docs/reference/rest/v2/Job (dryRun, statementType, maximumBytesBilled,
    jobTimeoutMs) and jobs.cancel. That a limit on bytes is refused as `bytesBilledLimitExceeded`, and a job that took
    too long ends as `stopped` or `timeout`, no document confirmed.

    Raises:
        WedSyncError: classified by status and reason.
    """
    limits: dict[str, Any] = {
        "query_parameters": [_parameter(f"p{at}", value) for at, value in enumerate(bound.values)],
        "maximum_bytes_billed": _most_bytes(connection),
    }
    session = Session(connection, f"wedsync:query:{query.query_id}")
    try:
        plan = session.start("query.plan", bound.sql, writes=False, dry_run=True, **limits)
        if plan.statement_type != "SELECT":
            raise not_a_select()
        job = session.start("query", bound.sql, writes=False, job_timeout_ms=1_000 * query.timeout_s, **limits)
        try:
            return _answer(job, query, into)
        except TimeoutError:
            job.cancel(retry=None, timeout=query.timeout_s)
            raise overdue(_SYSTEM, "BigQuery", query.timeout_s) from None
    except FAILURES as error:
        problem = classify(error, "query", writes=False)
        word = problem.detail.evidence.get("vendorCode")
        if word in _ENDED:
            raise overdue(_SYSTEM, "BigQuery", query.timeout_s) from None
        raise too_expensive() if word in _BILLED else problem from None
    finally:
        session.close()


def _answer(job: Any, query: AnalyticsQuery, into: Path) -> QueryAnswer:
    rows = job.result(retry=None, job_retry=None, timeout=query.timeout_s + _GRACE_S, page_size=PAGE_ROWS)
    columns = [column(field.name, _TYPES.get(field.field_type, "other")) for field in rows.schema]
    return written(columns, ([row.values() for row in page] for page in rows.pages), query.max_rows, into)


def _parameter(name: str, value: ParameterValue) -> Any:
    kind = {bool: "BOOL", int: "INT64", float: "FLOAT64"}.get(type(value), "STRING")
    return bigquery.ScalarQueryParameter(name, kind, value)


def _most_bytes(connection: Connection) -> int:
    found = connection.setting(MOST_BYTES, str(_BYTES))
    if not found.isdigit():
        raise InvalidInput(
            "setting_invalid",
            f"The setting {MOST_BYTES} of the integration is no whole number of bytes.",
            action="Correct it, or leave it out for 10 GiB.",
        )
    return int(found)
