"""Which rows of a report a reader asked for: conditions, time windows and stable cursors."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pyarrow as pa
import pyarrow.compute as pc

from emulators.weddings import LAST_GENERATED_MS

if TYPE_CHECKING:
    from emulators.weddings import Weddings
    from emulators.wedsync_store import Holding

_SCAN = 20_000
_LONG_AGO, _FAR_AHEAD = -(1 << 62), 1 << 62


class BadQueryError(ValueError):
    """A request that the reporting API refuses; `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the code beside the message."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Condition:
    """Keep rows whose field compares so with the value."""

    field: str
    operator: str
    value: Any

    def mask(self, weddings: Weddings) -> Any:
        """Boolean array: which rows fulfil it.

        Raises:
            BadQueryError: The value's type does not fit the field.
        """
        values = weddings.column(self.field)
        try:
            if self.operator == "is_null":
                return pc.is_null(values) if self.value is not False else pc.is_valid(values)
            return pc.fill_null(_OPERATORS[self.operator](values, self.value), fill_value=False)
        except (pa.ArrowException, TypeError, ValueError) as error:
            message = f"The filter on {self.field} has a value that does not fit the field."
            raise BadQueryError("invalid_filter", message) from error


def _typed(values: Any, value: Any) -> Any:
    if isinstance(value, str) and (pa.types.is_date(values.type) or pa.types.is_timestamp(values.type)):
        moment = datetime.fromisoformat(value)
        return pa.scalar(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment).cast(values.type)
    if isinstance(value, list):
        return pa.array([_typed(values, item).as_py() for item in value], values.type)
    return pa.scalar(value).cast(values.type) if isinstance(value, str | bool) else pa.scalar(value)


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": lambda column, value: pc.equal(column, _typed(column, value)),
    "ne": lambda column, value: pc.not_equal(column, _typed(column, value)),
    "gt": lambda column, value: pc.greater(column, _typed(column, value)),
    "gte": lambda column, value: pc.greater_equal(column, _typed(column, value)),
    "lt": lambda column, value: pc.less(column, _typed(column, value)),
    "lte": lambda column, value: pc.less_equal(column, _typed(column, value)),
    "in": lambda column, value: pc.is_in(column, _typed(column, list(value))),
    "not_in": lambda column, value: pc.invert(pc.is_in(column, _typed(column, list(value)))),
    "contains": lambda column, value: pc.match_substring(column, str(value)),
}
OPERATORS = (*_OPERATORS, "is_null")


@dataclass(frozen=True)
class Query:
    """Which rows are asked for: all conditions hold, and `since` <= updatedAt < `until` (epoch milliseconds)."""

    conditions: tuple[Condition, ...] = ()
    since: int = _LONG_AGO
    until: int = _FAR_AHEAD

    @property
    def everything(self) -> bool:
        """Whether no row is left out."""
        return not self.conditions and self.since == _LONG_AGO and self.until == _FAR_AHEAD

    @property
    def key(self) -> str:
        """A text that is equal for equal queries."""
        return repr(self)

    def select(self, holding: Holding, after: int, limit: int | None) -> list[int]:
        """Row numbers greater than `after` that match, in order; at most `limit`."""
        if self.everything:
            rows = holding.data.rows
            return list(range(after + 1, rows if limit is None else min(rows, after + 1 + limit)))
        found: list[int] = []
        for stretch in self._stretches(holding, after + 1):
            found.extend(self._matches(holding, stretch).to_pylist())
            if limit is not None and len(found) >= limit:
                break
        return found[:limit]

    def count(self, holding: Holding) -> int:
        """How many rows match; remembered until the data changes."""
        if self.everything:
            return holding.data.rows
        remembered = holding.counts
        if self.key not in remembered:
            parts = (self._matches(holding, stretch) for stretch in self._stretches(holding, 0))
            remembered[self.key] = sum(len(part) for part in parts)
        return remembered[self.key]

    def _stretches(self, holding: Holding, start: int) -> Iterator[Sequence[int]]:
        # Only rows changed later can lie beyond the generator's own last updatedAt: no need to look at the others.
        if self.since >= LAST_GENERATED_MS:
            yield [row for row in sorted(holding.touched) if row >= start]
            return
        for first in range(start, holding.data.rows, _SCAN):
            yield range(first, min(holding.data.rows, first + _SCAN))

    def _matches(self, holding: Holding, stretch: Sequence[int]) -> Any:
        weddings = holding.weddings(stretch)
        mask = pa.array([True] * len(weddings), pa.bool_())
        if self.since != _LONG_AGO or self.until != _FAR_AHEAD:
            updated = pc.cast(weddings.column("updatedAt"), pa.int64())
            mask = pc.and_(pc.greater_equal(updated, self.since), pc.less(updated, self.until))
        for condition in self.conditions:
            mask = pc.and_(mask, condition.mask(weddings))
        return weddings.index.filter(mask)


@dataclass(frozen=True)
class Cursor:
    """Where a reader stands: after which row number, and when its first page was cut.

    Rows are ordered by their number, which never changes, so records that change between two pages are neither
    repeated nor skipped; what changed behind the reader has an updatedAt at or after `as_of`.
    """

    after: int
    as_of: str
    query: int

    def encode(self) -> str:
        """As an opaque text."""
        return base64.urlsafe_b64encode(json.dumps([self.after, self.as_of, self.query]).encode()).decode()

    @classmethod
    def decode(cls, text: str, query: Query) -> Cursor:
        """Read an opaque text.

        Raises:
            BadQueryError: Not one of our cursors, or made for another query.
        """
        try:
            after, as_of, digest = json.loads(base64.urlsafe_b64decode(text.encode()))
            cursor = cls(int(after), str(as_of), int(digest))
        except (binascii.Error, ValueError, TypeError) as error:
            raise BadQueryError("invalid_cursor", "The cursor is not one that this API gave out.") from error
        if cursor.query != crc32(query.key.encode()):
            raise BadQueryError("invalid_cursor", "The cursor belongs to a request with other filters.")
        return cursor
