"""Weddings as records for the wire and as tables for files, dirty rows included."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from emulators.wedding_dirt import (
    BAD_DATE,
    BAD_GUESTS,
    BAD_MONEY,
    BAD_SCORE,
    OVER_LONG_TAIL,
    REASONS,
    DirtPlan,
)
from emulators.weddings import FIELDS, Weddings, wedding_ids

_BAD_VALUES: dict[str, tuple[str, Any]] = {
    "weddingDate": ("bad_date", BAD_DATE),
    "totalRevenue": ("negative_revenue", BAD_MONEY),
    "price": ("negative_revenue", BAD_MONEY),
    "satisfactionScore": ("satisfaction_out_of_range", BAD_SCORE),
    "guestCount": ("guest_count_text", BAD_GUESTS),
    "adults": ("guest_count_text", BAD_GUESTS),
}
_SNAKE = re.compile(r"(?<=[a-z])(?=[A-Z])")
RAW_COLUMNS: dict[str, str] = {
    "wedding_id": "weddingId",
    "event_day": "weddingDate",
    "adults": "adults",
    "children": "children",
    "price": "price",
    "nights": "nights",
    **{
        _SNAKE.sub("_", field).lower(): field
        for field in FIELDS
        if field not in {"id", "weddingId", "weddingDate", "guestCount", "totalRevenue"}
    },
}
"""Column of the raw layout -> field it holds; guest count and revenue are left for the mapping to compute."""


@dataclass(frozen=True)
class DataSet:
    """An organisation's weddings: how many, from which seed, and which share of them is dirty."""

    rows: int
    seed: int
    dirty_ratio: float = 0.0

    @property
    def dirt(self) -> DirtPlan:
        """Which rows are dirty."""
        return DirtPlan(self.rows, self.dirty_ratio, self.seed)

    def weddings(
        self,
        index: Sequence[int] | Any,
        versions: Mapping[int, int] | None = None,
        touched: Mapping[int, int] | None = None,
    ) -> Weddings:
        """The clean columns of these rows."""
        return Weddings(self.seed, index, versions, touched)


def records(data: DataSet, weddings: Weddings, fields: Sequence[str] = FIELDS) -> list[dict[str, Any]]:
    """JSON-ready records of the given rows: dates and instants as ISO 8601 text, dirty values in place."""
    kinds, neighbour = data.dirt.kinds(weddings.index)
    arrays = [_for_wire(_identified(weddings, field, kinds, neighbour)) for field in fields]
    rows: list[dict[str, Any]] = pa.RecordBatch.from_arrays(arrays, names=list(fields)).to_pylist()
    for field in set(fields) & _BAD_VALUES.keys():
        reason, value = _BAD_VALUES[field]
        for position in pc.indices_nonzero(pc.equal(kinds, REASONS.index(reason))).to_pylist():
            rows[position][field] = value
    return rows


def table(data: DataSet, weddings: Weddings, columns: Mapping[str, str]) -> pa.RecordBatch:
    """The given rows as Arrow columns (column name -> field).

    Where the data set has dirty rows, the columns that can hold text for a number or an impossible date are text.
    """
    kinds, neighbour = data.dirt.kinds(weddings.index)
    arrays = []
    for field in columns.values():
        values = _identified(weddings, field, kinds, neighbour)
        if data.dirt.count and field in _BAD_VALUES:
            reason, value = _BAD_VALUES[field]
            values = pc.cast(values, pa.string()) if isinstance(value, str) else values
            bad = pc.equal(kinds, REASONS.index(reason))
            values = pc.if_else(bad, pa.scalar(value, values.type), values)
        arrays.append(values)
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _identified(weddings: Weddings, field: str, kinds: Any, neighbour: Any) -> Any:
    values = weddings.column(field)
    if field not in {"id", "weddingId"}:
        return values
    over_long = pc.binary_join_element_wise(values, OVER_LONG_TAIL, "")
    values = pc.if_else(pc.equal(kinds, REASONS.index("over_long_id")), over_long, values)
    values = pc.if_else(pc.equal(kinds, REASONS.index("duplicate_wedding_id")), wedding_ids(neighbour), values)
    return pc.if_else(pc.equal(kinds, REASONS.index("missing_id")), pa.scalar(None, pa.string()), values)


def _for_wire(values: Any) -> Any:
    if pa.types.is_date(values.type):
        return pc.cast(values, pa.string())
    if pa.types.is_timestamp(values.type):
        text = pc.replace_substring(pc.cast(values, pa.string()), " ", "T")
        return pc.binary_join_element_wise(text, "Z", "")
    return values
