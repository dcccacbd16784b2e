"""The rows of a data set in the columns of a SAP Analytics Cloud model, each told apart by its dimensions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from activities.ports.datasets import PublishRequest
from activities.transform.parquet import batches
from contracts.base import JsonObject
from contracts.errors import InvalidInput

VERSION = "Version"
"""The dimension that every planning model has; its value is the same in all rows of a publication."""

_PART_ROWS = 10_000
_PERIODS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d"}
"""Length of a date dimension's member -> its form."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """The columns a model takes facts in: name -> whether it is text and how long; and those that make the key."""

    lengths: Mapping[str, int | None]
    texts: frozenset[str]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, described: JsonObject, request: PublishRequest) -> Columns:
        """Return the columns of a model's metadata.

        Raises:
            InvalidInput: `columns_unknown`, the data set has columns that the model lacks, or lacks key columns.
        """
        listed = described.get("columns")
        columns = {
            str(one["columnName"]): one
            for one in (listed if isinstance(listed, list) else [])
            if isinstance(one, dict) and "columnName" in one
        }
        keys = tuple(name for name, one in columns.items() if one.get("isKey") and name != VERSION)
        given = {column.name for column in request.columns}
        unknown, missing = sorted(given - columns.keys()), sorted(set(keys) - given)
        if unknown or missing or not keys:
            raise InvalidInput(
                "columns_unknown",
                f"The data set does not fit the model {request.name!r}: it has {_list(unknown)} beside its columns "
                f"and lacks {_list(missing)} of its dimensions.",
                action="Map the report's fields to the model's columns in dataMapping.",
                system="sap_analytics_cloud",
            )
        lengths: dict[str, int | None] = {}
        for name, one in columns.items():
            length = one.get("maxLength")
            lengths[name] = length if isinstance(length, int) else None
        texts = frozenset(name for name, one in columns.items() if one.get("columnDataType") == "string")
        return cls(lengths, texts, keys)

    def key(self, row: Mapping[str, Any]) -> Key:
        """Return what tells a row apart from the others, also as SAP shows it again."""
        return tuple(str(row.get(name)) for name in self.keys)

    def value(self, name: str, value: Any) -> Any:
        """Return a value in the form of its column."""
        if isinstance(value, date) and not isinstance(value, datetime):
            length = self.lengths[name]
            return value.strftime(_PERIODS[length]) if length in _PERIODS else value.isoformat()
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if value is not None and name in self.texts else value


@dataclass
class Sent:
    """The rows that go to SAP: the number of each by its key, and why the others do not."""

    numbers: dict[Key, int] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)

    @property
    def taken(self) -> int:
        """How many of the rows sent SAP has not refused."""
        return sum(number not in self.refused for number in self.numbers.values())

    def refuse(self, key: Key, reason: str) -> bool:
        """Note why SAP refuses the row of that key, and return whether there is one."""
        if key in self.numbers:
            self.refused[self.numbers[key]] = reason
        return key in self.numbers


def bodies(request: PublishRequest, columns: Columns, version: str, sent: Sent) -> Iterator[tuple[int, bytes]]:
    """Yield the number of rows and the body of each upload, of at most 10,000 rows.

    Args:
        request: its files hold the rows.
        columns: of the model.
        version: of the model, which takes the rows.
        sent: filled on the way; a row without a value in a dimension, or with the dimensions of an earlier one, is
            not sent, since the model would have one fact of the two.
    """
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(_rows(request, columns)):
        key = columns.key(row)
        empty = [name for name in columns.keys if row[name] in {None, ""}]
        endless = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
        if empty or endless:
            sent.refused[number] = f"no value for: {_list(empty or endless)}"
        elif key in sent.numbers:
            sent.refused[number] = f"an earlier record has the same {_list(columns.keys)}"
        else:
            sent.numbers[key] = number
            rows.append(row)
        if len(rows) == _PART_ROWS:
            yield len(rows), _body(rows, version)
            rows = []
    if rows:
        yield len(rows), _body(rows, version)


def _body(rows: Sequence[Mapping[str, Any]], version: str) -> bytes:
    given = {"DefaultValues": {VERSION: version}, "Data": rows}
    return json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode()


def _rows(request: PublishRequest, columns: Columns) -> Iterator[dict[str, Any]]:
    names = [column.name for column in request.columns]
    for path in request.files:
        for batch in batches(path, _PART_ROWS, names):
            for row in batch.to_pylist():
                yield {name: columns.value(name, row[name]) for name in names}


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
