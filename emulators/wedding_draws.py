"""Random draws that depend only on (seed, index, name), computed for whole columns at once."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_U64 = pa.uint64()


def _scalar(value: int) -> Any:
    return pa.scalar(value & _WORD, _U64)


_S27, _S30, _S31, _S32, _S48 = (_scalar(bits) for bits in (27, 30, 31, 32, 48))
_MIX1, _MIX2 = _scalar(0xBF58476D1CE4E5B9), _scalar(0x94D049BB133111EB)
_LOW16 = _scalar(0xFFFF)


def mix(values: Any) -> Any:
    """The finaliser of SplitMix64 over a uint64 array: neighbours in, unrelated numbers out."""
    values = pc.multiply(pc.bit_wise_xor(values, pc.shift_right(values, _S30)), _MIX1)
    values = pc.multiply(pc.bit_wise_xor(values, pc.shift_right(values, _S27)), _MIX2)
    return pc.bit_wise_xor(values, pc.shift_right(values, _S31))


class Draws:
    """Named random columns for a set of row numbers; the same number always draws the same values."""

    def __init__(self, seed: int, scope: str, index: Any) -> None:
        """Prepare the draws.

        Args:
            seed: Seed of the data set.
            scope: What the rows are (wedding, supplier ...), so that equal numbers of different kinds differ.
            index: uint64 array of row numbers.
        """
        start = _scalar(seed * _GOLDEN + zlib.crc32(scope.encode()))
        self._keys = mix(pc.add(pc.multiply(index, _scalar(_GOLDEN)), start))

    def _bits(self, name: str) -> Any:
        return mix(pc.bit_wise_xor(self._keys, _scalar(zlib.crc32(name.encode()) * _GOLDEN)))

    def below(self, name: str, bound: Any) -> Any:
        """Whole numbers in [0, bound) as int64; `bound` is an int below 2**32 or an int array."""
        limit = _scalar(bound) if isinstance(bound, int) else pc.cast(bound, _U64)
        return pc.cast(pc.shift_right(pc.multiply(pc.shift_right(self._bits(name), _S32), limit), _S32), pa.int64())

    def skewed(self, name: str, bound: int) -> Any:
        """Whole numbers in [0, bound) as int64, low ones more often than high ones (the square of a uniform draw)."""
        unit = pc.shift_right(self._bits(name), _S48)
        return pc.cast(pc.shift_right(pc.multiply(pc.multiply(unit, unit), _scalar(bound)), _S32), pa.int64())

    def bell(self, name: str, mean: int, spread: int) -> Any:
        """Whole numbers as int64 around `mean` with a standard deviation near `spread` (sum of four draws)."""
        bits = self._bits(name)
        total = pc.bit_wise_and(bits, _LOW16)
        for shift in (16, 32, 48):
            total = pc.add(total, pc.bit_wise_and(pc.shift_right(bits, _scalar(shift)), _LOW16))
        centred = pc.subtract(pc.cast(total, pa.int64()), 131_070)
        return pc.add(pc.divide(pc.multiply(centred, spread), 37_837), mean)

    def pick(self, name: str, pool: Sequence[str], weights: Sequence[int] | None = None) -> Any:
        """Strings from a pool, evenly or by whole-number weights."""
        return pa.array(pool).take(self.choice(name, weights or (1,) * len(pool)))

    def choice(self, name: str, weights: Sequence[int]) -> Any:
        """Positions 0..len(weights)-1 as int64, by whole-number weights."""
        slots = [position for position, weight in enumerate(weights) for _ in range(weight)]
        return pa.array(slots, pa.int64()).take(self.below(name, len(slots)))
