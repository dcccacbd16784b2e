"""Which generated rows are dirty and why: an exact share at deterministic positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from emulators.wedding_draws import Draws

REASONS = (
    "missing_id",
    "bad_date",
    "negative_revenue",
    "satisfaction_out_of_range",
    "guest_count_text",
    "over_long_id",
    "duplicate_wedding_id",
)
CLEAN = -1
_MAX_RATIO = 0.4
BAD_DATE = "31/02/2027"
BAD_SCORE = 9.9
BAD_MONEY = -450.0
BAD_GUESTS = "about 80"
OVER_LONG_TAIL = "-" + "x" * 90


@dataclass(frozen=True)
class DirtPlan:
    """The dirty rows of a data set of `rows` rows: exactly round(rows * ratio), the reasons in equal shares.

    The rows are cut into as many even stretches as there are dirty rows, and each stretch holds one of them, so that
    a row's state is known without looking at any other row.
    """

    rows: int
    ratio: float
    seed: int

    def __post_init__(self) -> None:
        """Refuse a share that leaves a dirty row no clean neighbour in its stretch."""
        if not 0 <= self.ratio <= _MAX_RATIO:
            message = f"The dirty ratio is {self.ratio}; it must lie between 0 and {_MAX_RATIO}."
            raise ValueError(message)

    @property
    def count(self) -> int:
        """The number of dirty rows in the whole data set."""
        return round(self.rows * self.ratio)

    def counts(self) -> dict[str, int]:
        """Dirty rows by reason, for the whole data set."""
        full, rest = divmod(self.count, len(REASONS))
        return {reason: full + (position < rest) for position, reason in enumerate(REASONS)}

    def kinds(self, index: Any) -> tuple[Any, Any]:
        """Why each row is dirty, and whose wedding id a duplicate carries.

        Args:
            index: uint64 array of row numbers.

        Returns:
            Two int64 arrays: position in `REASONS` (or `CLEAN`), and the row number of a clean neighbour.
        """
        rows = pc.cast(index, pa.int64())
        if not self.count:
            return pa.array([CLEAN] * len(index), pa.int64()), rows
        stretch = pc.divide(pc.multiply(rows, self.count), self.rows)
        start = self._start(stretch)
        size = pc.subtract(self._start(pc.add(stretch, 1)), start)
        offset = Draws(self.seed, "dirt", pc.cast(stretch, pa.uint64())).below("offset", size)
        dirty = pc.equal(rows, pc.add(start, offset))
        reason = pc.subtract(stretch, pc.multiply(pc.divide(stretch, len(REASONS)), len(REASONS)))
        neighbour = pc.if_else(pc.equal(offset, 0), pc.add(rows, 1), pc.subtract(rows, 1))
        return pc.if_else(dirty, reason, CLEAN), neighbour

    def _start(self, stretch: Any) -> Any:
        return pc.divide(pc.add(pc.multiply(stretch, self.rows), self.count - 1), self.count)

    def reason(self, row: int) -> str | None:
        """Why one row is dirty, or None."""
        kind = self.kinds(pa.array([row], pa.uint64()))[0][0].as_py()
        return None if kind == CLEAN else REASONS[kind]
