"""A read-only question to a data warehouse, and its answer (WS-333, executeAnalyticsQuery)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints

from contracts.base import Contract, OpaqueId, ShortText
from contracts.dataset import DatasetRef
from contracts.integration import IntegrationInstance, Platform
from contracts.sync import SyncPriority

MAX_INLINE_ROWS = 1_000
"""More rows than this travel as a reference."""

ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
ParameterValue = bool | int | float | ShortText | None


class AnalyticsQuery(Contract):
    """One SELECT over the marts and the analytics tables of an integration; values are bound, never written into it."""

    query_id: OpaqueId
    organization_id: OpaqueId
    target_integration: IntegrationInstance
    statement: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
    """SQL in the warehouse's dialect; parameters stand as `:name`."""
    parameters: Annotated[dict[ParameterName, ParameterValue], Field(max_length=50)] = {}
    max_rows: int = Field(default=MAX_INLINE_ROWS, ge=1, le=100_000)
    timeout_s: int = Field(default=60, ge=1, le=600)
    """How long the warehouse may work on it."""
    priority: SyncPriority = SyncPriority.HIGH


class QueryTarget(Contract):
    """Output of `analytics.check`: which platform the integration is."""

    platform: Platform


class QueryColumn(Contract):
    """A column of the answer."""

    name: Annotated[str, StringConstraints(max_length=255)]
    type: ShortText
    """text, number, boolean, date, timestamp or other."""


class QueryResult(Contract):
    """The answer: rows in the order of `columns`, or the reference of a sealed NDJSON file of such rows."""

    query_id: OpaqueId
    columns: Annotated[list[QueryColumn], Field(max_length=1_000)] = []
    rows: Annotated[list[list[JsonValue]], Field(max_length=MAX_INLINE_ROWS)] = []
    rows_ref: DatasetRef | None = None
    row_count: int = Field(default=0, ge=0)
    truncated: bool = False
    """Whether the warehouse had more rows than `max_rows`."""
