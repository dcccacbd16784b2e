"""What the emulated WedSync holds for each organisation: its data set and the changes made to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pyarrow as pa

from emulators.wedding_rows import DataSet
from emulators.weddings import FIELDS, wedding_ids
from emulators.wedsync_query import BadQueryError

if TYPE_CHECKING:
    from emulators.core import Emulator
    from emulators.weddings import Weddings

DEFAULT_ROWS = 2000
MAX_ROWS = 10_000_000

_VENDOR_KEYS = ("id", "weddingId", "createdAt", "updatedAt", "version")
REPORTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "weddings": ("Weddings", FIELDS),
    "revenue": (
        "Wedding revenue",
        (
            *_VENDOR_KEYS,
            *("weddingDate", "bookingDate", "season", "status", "supplierId", "supplierName", "supplierCategory"),
            *("serviceType", "locationRegion", "guestCount", "serviceCount", "totalBudget", "totalRevenue"),
        ),
    ),
    "satisfaction": (
        "Client satisfaction",
        (
            *_VENDOR_KEYS,
            *("weddingDate", "status", "completionStatus", "supplierId", "supplierName", "supplierCategory"),
            *("photographerId", "guestCount", "satisfactionScore"),
        ),
    ),
    "seasonality": (
        "Seasonal booking patterns",
        (
            *_VENDOR_KEYS,
            *("weddingDate", "bookingDate", "season", "status", "weddingStyle", "venueType", "venueRegion"),
            *("supplierCategory", "guestCount", "totalRevenue"),
        ),
    ),
    "vendors": (
        "Vendor performance",
        (
            *_VENDOR_KEYS,
            *("supplierId", "supplierName", "supplierCategory", "businessType", "locationCity", "locationRegion"),
            *("subscriptionTier", "joinedDate", "isActive", "serviceType", "weddingDate", "status"),
            *("totalRevenue", "satisfactionScore"),
        ),
    ),
}
"""Report id -> title and fields; all are views of the same weddings."""


@dataclass
class Holding:
    """One organisation's data: the data set, its revision, and the rows changed since it was set."""

    data: DataSet
    revision: int
    touches: int = 0
    versions: dict[int, int] = field(default_factory=dict)
    touched: dict[int, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def weddings(self, index: Sequence[int] | Any) -> Weddings:
        """Current columns of these rows."""
        return self.data.weddings(index, self.versions, self.touched)


class Store:
    """All organisations' holdings, kept in the emulator's state; the changed rows are cached in memory."""

    def __init__(self, emulator: Emulator) -> None:
        """Read lazily from the emulator's state and forget the cache on a reset."""
        self._emulator = emulator
        self._cache: dict[str, Holding] = {}
        emulator.on_reset.append(self._cache.clear)

    def holding(self, organization: str) -> Holding:
        """The organisation's data; one never spoken of before holds the default data set."""
        if organization not in self._cache:
            stored = self._emulator.get("scenarios", organization) or {}
            seed = stored.get("seed", crc32(organization.encode()))
            data = DataSet(stored.get("rows", DEFAULT_ROWS), seed, stored.get("dirtyRatio", 0.0))
            holding = Holding(data, stored.get("revision", 0))
            for touch in self._emulator.find_all("touches", "organizationId", organization):
                _apply(holding, touch)
            self._cache[organization] = holding
        return self._cache[organization]

    def set_scenario(self, organization: str, rows: int, dirty_ratio: float, seed: int | None) -> Holding:
        """Replace an organisation's data set; earlier changes are gone with it.

        Raises:
            BadQueryError: A number out of range.
        """
        if not 0 <= rows <= MAX_ROWS:
            raise BadQueryError("invalid_scenario", f"rows must lie between 0 and {MAX_ROWS}.")
        chosen = crc32(organization.encode()) if seed is None else seed
        try:
            _ = DataSet(rows, chosen, dirty_ratio).dirt
        except ValueError as error:
            raise BadQueryError("invalid_scenario", str(error)) from error
        body = {
            "organizationId": organization,
            "rows": rows,
            "dirtyRatio": dirty_ratio,
            "seed": chosen,
            "revision": self.holding(organization).revision + 1,
        }
        with self._emulator.transaction():
            for touch in self._emulator.find_all("touches", "organizationId", organization):
                self._emulator.delete("touches", f"{organization}/{touch['number']}")
            self._emulator.put("scenarios", organization, body)
        self._cache.pop(organization, None)
        return self.holding(organization)

    def touch(self, organization: str, count: int, at: int) -> list[str]:
        """Change `count` clean records: each gets the next version, other numbers and `at` as its updatedAt.

        Which records those are depends only on the data set and on how many touches came before.

        Raises:
            BadQueryError: There are not that many clean records.
        """
        holding = self.holding(organization)
        if not 0 <= count <= holding.data.rows - holding.data.dirt.count:
            raise BadQueryError("invalid_count", "count must not exceed the number of clean records.")
        rows = sorted(_spread(holding, count))
        number = holding.touches + 1
        touch = {"organizationId": organization, "number": number, "rows": rows, "at": at}
        changed: list[str] = wedding_ids(pa.array(rows, pa.int64())).to_pylist()
        with self._emulator.transaction():
            self._emulator.put("touches", f"{organization}/{number}", touch)
            self._emulator.effect("records.changed", "touches", f"{organization}/{number}", {"weddingIds": changed})
        _apply(holding, touch)
        return changed


def _apply(holding: Holding, touch: Mapping[str, Any]) -> None:
    # New dictionaries instead of changed ones: a reader in another thread keeps a consistent view of the old ones.
    versions = {row: holding.versions.get(row, 1) + 1 for row in touch["rows"]}
    holding.touches = touch["number"]
    holding.versions = {**holding.versions, **versions}
    holding.touched = {**holding.touched, **dict.fromkeys(touch["rows"], touch["at"])}
    holding.counts = {}


def _spread(holding: Holding, count: int) -> Iterator[int]:
    total, dirt = holding.data.rows, holding.data.dirt
    start = crc32(f"{holding.data.seed}/{holding.touches}".encode())
    step = max(1, int(total * 0.618))
    while math.gcd(step, max(total, 1)) != 1:
        step += 1
    taken = 0
    for turn in range(total):
        if taken == count:
            return
        row = (start + turn * step) % total
        if dirt.count and dirt.reason(row) is not None:
            continue
        taken += 1
        yield row
