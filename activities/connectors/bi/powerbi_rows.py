"""The rows of a data set as the bodies of Power BI's POST rows, each marked so that it is found again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow.parquet as pq

from activities.ports.datasets import DatasetColumn, PublishRequest
from activities.transform.parquet import batches
from contracts.base import JsonObject
from contracts.errors import InvalidInput

MARK = "wedsync_part"
"""The hidden column that says which part of which publication a row came with."""

MOST_ROWS = 1_000_000
"""Rows a push model takes in an hour."""
_MOST_COLUMNS = 75
_LONGEST_TEXT = 4_000
_PART_ROWS = 10_000
_PART_BYTES = 4 * 1024 * 1024
_TYPES = {
    "text": "String",
    "integer": "Int64",
    "decimal": "Double",
    "boolean": "Boolean",
    "date": "DateTime",
    "timestamp": "DateTime",
}


@dataclass(frozen=True)
class Part:
    """The rows of one request: its mark, how many there are, and the body."""

    mark: str
    rows: int
    body: bytes


def check_size(request: PublishRequest) -> None:
    """Refuse what a push model cannot take.

    Raises:
        InvalidInput: `data_set_too_large`; it names the route that takes it.

    Source: https://learn.microsoft.com/power-bi/developer/embedded/push-datasets-limitations.
    """
    rows = sum(pq.read_metadata(path).num_rows for path in request.files)
    if rows <= MOST_ROWS and len(request.columns) < _MOST_COLUMNS:
        return
    raise InvalidInput(
        "data_set_too_large",
        f"{rows} rows of {len(request.columns)} columns are more than a Power BI push model takes: "
        f"{MOST_ROWS} an hour, of {_MOST_COLUMNS - 1} columns.",
        action="Load the report into a warehouse, base a model on it, and connect with the setting route: refresh.",
        system="powerbi",
    )


def table_of(name: str, columns: Sequence[DatasetColumn]) -> JsonObject:
    """Return a push model's table with typed columns and the hidden mark."""
    shown: list[Any] = [{"name": column.name, "dataType": _TYPES[column.type]} for column in columns]
    return {"name": name, "columns": [*shown, {"name": MARK, "dataType": "String", "isHidden": True}]}


def parts_of(request: PublishRequest, refused: dict[int, str]) -> Iterator[Part]:
    """Yield the parts of a publication, of at most 10,000 rows and about 4 MB each; the same ones at every call.

    Args:
        request: its id and its rows decide the marks.
        refused: filled with the rows that Power BI would refuse, by their number.
    """
    some: list[str] = []
    size, number = 0, 0
    for row_number, row in enumerate(_rows(request)):
        if faulty := [name for name, value in row.items() if not _is_taken(value)]:
            refused[row_number] = f"no number, or longer than {_LONGEST_TEXT} characters: {', '.join(faulty)}"
            continue
        some.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
        size += len(some[-1])
        if len(some) == _PART_ROWS or size >= _PART_BYTES:
            yield _part(request.request_id, number, some)
            some, size, number = [], 0, number + 1
    if some:
        yield _part(request.request_id, number, some)


def _part(request_id: str, number: int, rows: list[str]) -> Part:
    content = hashlib.sha256("\n".join([request_id, str(number), *rows]).encode())
    mark = content.hexdigest()[:32]
    marked = ",".join(f'{row[:-1]},"{MARK}":"{mark}"}}' for row in rows)
    return Part(mark, len(rows), f'{{"rows":[{marked}]}}'.encode())


def _rows(request: PublishRequest) -> Iterator[dict[str, Any]]:
    names = [column.name for column in request.columns]
    for path in request.files:
        for batch in batches(path, _PART_ROWS, names):
            for row in batch.to_pylist():
                yield {name: _value(row[name]) for name in names}


def _is_taken(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    return not isinstance(value, float) or math.isfinite(value)


def _value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value
