"""Realistic weddings at any size: each row is a pure function of (seed, row number, version).

Columns are computed for many rows at once and only when asked for; a single row is the same computation over one row
number, so that pages, streams and files can never disagree.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from emulators import wedding_pools as pools
from emulators.wedding_draws import Draws

FIRST_NUMBER = 1001
"""Row 0 is the wedding `wed-1001`, the one that the project's example inputs speak of."""
BLOCK = 1000
SUPPLIERS_PER_BLOCK, VENUES_PER_BLOCK, PHOTOGRAPHERS_PER_BLOCK = 100, 50, 10

FIELDS: tuple[str, ...] = (
    *("id", "weddingId", "clientId", "clientName", "clientEmail", "weddingStyle", "budgetRange", "guestCountRange"),
    *("locationPreference", "referralSource", "weddingDate", "bookingDate", "venueId", "venueName", "venueCity"),
    *("venueRegion", "venueType", "guestCount", "totalBudget", "totalRevenue", "serviceCount", "status"),
    *("completionStatus", "satisfactionScore", "supplierId", "supplierName", "supplierCategory", "businessType"),
    *("locationCity", "locationRegion", "subscriptionTier", "joinedDate", "isActive", "serviceType", "season"),
    *("photographerId", "photoCount", "createdAt", "updatedAt", "version"),
)
"""The fields of a wedding record, in order."""

_EPOCH = date(1970, 1, 1)
_TODAY = (date.fromisoformat(pools.REFERENCE_DATE) - _EPOCH).days
_MONTHS = [
    (date(pools.FIRST_YEAR + position // 12, position % 12 + 1, 1) - _EPOCH).days
    for position in range(12 * len(pools.YEAR_WEIGHTS))
]
_MONTH_STARTS = pa.array(_MONTHS, pa.int64())
_MONTH_WEEKDAYS = pa.array([(_EPOCH + timedelta(days=day)).weekday() for day in _MONTHS], pa.int64())
_DAY_MS = 86_400_000
LAST_GENERATED_MS = _TODAY * _DAY_MS
"""No generated row was updated at or after this instant; only later changes are."""


class Weddings:
    """The columns of some rows of an organisation's weddings.

    Args of the constructor: `seed`; `index`, the row numbers; `versions` and `touched`, for each row number that was
    changed after it was first generated, its version (2 and up) and the time of the change in epoch milliseconds.
    """

    def __init__(
        self,
        seed: int,
        index: Sequence[int] | Any,
        versions: Mapping[int, int] | None = None,
        touched: Mapping[int, int] | None = None,
    ) -> None:
        """Prepare the rows; nothing is computed yet."""
        self.index = pa.array(index, pa.uint64())
        self.rows = pc.cast(self.index, pa.int64())
        self._seed = seed
        self._draws = Draws(seed, "wedding", self.index)
        self._block = pc.divide(self.rows, BLOCK)
        self._versions = self._overlay(versions, 1)
        self._touched = self._overlay(touched, None)
        self._columns: dict[str, Any] = {}

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.index)

    def _overlay(self, changes: Mapping[int, int] | None, default: int | None) -> Any:
        if not changes or not len(self):
            return pa.array([default] * len(self), pa.int64())
        return pa.array([changes.get(row, default) for row in self.index.to_pylist()], pa.int64())

    def column(self, field: str) -> Any:
        """One column as an Arrow array; besides `FIELDS` also adults, children, price and nights.

        Raises:
            KeyError: There is no such field.
        """
        if field not in self._columns:
            self._columns.update(_GROUPS[field](self))
        return self._columns[field]

    def _identity(self) -> dict[str, Any]:
        wedding_id = wedding_ids(self.rows)
        client_id = _join("cl-", pc.add(self.rows, FIRST_NUMBER))
        return {"id": wedding_id, "weddingId": wedding_id, "clientId": client_id, "version": self._versions}

    def _client(self) -> dict[str, Any]:
        draws = self._draws
        first = draws.pick("first", pools.FIRST_NAMES)
        second = draws.pick("second", pools.FIRST_NAMES)
        last = draws.pick("last", pools.LAST_NAMES)
        email = _join("couple.", pc.add(self.rows, FIRST_NUMBER), "@example.com")
        return {
            "clientName": self._pinned(_join(first, " and ", second, " ", last), "Anna and Ben Fisher"),
            "clientEmail": self._pinned(email, "anna.fisher@example.com"),
            "weddingStyle": draws.pick("style", pools.STYLES, pools.STYLE_WEIGHTS),
            "locationPreference": draws.pick("location", pools.LOCATION_PREFERENCES),
            "referralSource": draws.pick("referral", pools.REFERRALS, pools.REFERRAL_WEIGHTS),
        }

    def _dates(self) -> dict[str, Any]:
        draws = self._draws
        month = draws.choice("month", pools.MONTH_WEIGHTS)
        position = pc.add(pc.multiply(draws.choice("year", pools.YEAR_WEIGHTS), 12), month)
        weekday = draws.choice("weekday", pools.WEEKDAY_WEIGHTS)
        gap = pc.subtract(weekday, _MONTH_WEEKDAYS.take(position))
        gap = pc.if_else(pc.less(gap, 0), pc.add(gap, 7), gap)
        day = pc.add(pc.add(_MONTH_STARTS.take(position), gap), pc.multiply(draws.below("week", 4), 7))
        day = self._pinned(day, (date(2027, 6, 12) - _EPOCH).days)
        month = self._pinned(month, 5)
        booked = pc.subtract(day, pc.add(60, draws.skewed("lead", 480)))
        booked = pc.min_element_wise(booked, pc.subtract(_TODAY - 1, draws.below("recent", 60)))
        created = pc.add(pc.multiply(booked, _DAY_MS), pc.add(8 * 3_600_000, draws.below("time", 10 * 3_600_000)))
        latest = pc.if_else(pc.less(day, _TODAY), day, booked)
        wait = pc.add(pc.subtract(latest, booked), draws.below("updated", pc.subtract(_TODAY, latest)))
        updated = pc.add(created, pc.multiply(wait, _DAY_MS))
        return {
            "weddingDate": _days(day),
            "bookingDate": _days(booked),
            "season": pa.array(pools.SEASONS).take(month),
            "createdAt": _instants(created),
            "updatedAt": _instants(pc.coalesce(self._touched, updated)),
        }

    def _progress(self) -> dict[str, Any]:
        draws = self._draws
        day = pc.cast(pc.cast(self.column("weddingDate"), pa.int32()), pa.int64())
        dice = draws.below("status", 100)
        ahead = pc.if_else(pc.less(dice, 25), "inquiry", "booked")
        ahead = pc.if_else(pc.less_equal(day, _TODAY + 14), "in_progress", ahead)
        status = pc.if_else(pc.less(day, _TODAY), "completed", ahead)
        status = pc.if_else(pc.less(dice, 5), "cancelled", status)
        status = self._pinned(status, "booked")
        completed = pc.equal(status, "completed")
        final = pc.is_in(status, pa.array(["completed", "cancelled", "in_progress"]))
        lost = pc.if_else(pc.less(draws.below("unhappy", 10), 1), draws.below("lost", 200), 0)
        score = pc.divide(pc.cast(pc.subtract(pc.subtract(500, draws.skewed("score", 180)), lost), pa.float64()), 100.0)
        return {
            "status": status,
            "completionStatus": pc.if_else(final, status, "pending"),
            "satisfactionScore": pc.if_else(completed, score, pa.scalar(None, pa.float64())),
            "photoCount": pc.if_else(completed, pc.add(280, draws.skewed("photos", 2200)), 0),
        }

    def _venue(self) -> dict[str, Any]:
        number = pc.add(pc.multiply(self._block, VENUES_PER_BLOCK), self._draws.skewed("venue", VENUES_PER_BLOCK))
        draws = Draws(self._seed, "venue", pc.cast(number, pa.uint64()))
        kind, place = _evenly(draws, "kind", pools.VENUE_NOUNS), _evenly(draws, "place", pools.PLACES)
        name = _join(draws.pick("word", pools.VENUE_WORDS), " ", pa.array(pools.VENUE_NOUNS).take(kind))
        return {
            "venueId": _join("ven-", pc.add(number, 1)),
            "venueName": self._pinned(name, "Hartwell House"),
            "venueCity": self._pinned(pa.array([city for city, _ in pools.PLACES]).take(place), "Aylesbury"),
            "venueRegion": self._pinned(pa.array([region for _, region in pools.PLACES]).take(place), "South East"),
            "venueType": self._pinned(pa.array(pools.VENUE_TYPES).take(kind), "country_house"),
        }

    def _size(self) -> dict[str, Any]:
        draws = self._draws
        changes = pc.subtract(self._versions, 1)
        adults = pc.min_element_wise(pc.max_element_wise(draws.bell("adults", 82, 34), 8), 280)
        adults = pc.add(adults, pc.multiply(changes, 2))
        children = draws.below("children", pc.add(pc.divide(adults, 7), 1))
        guests = pc.add(adults, children)
        cents = pc.add(pc.multiply(guests, pc.add(4_500, draws.skewed("perHead", 16_000))), draws.below("base", 90_000))
        cents = pc.add(cents, pc.multiply(changes, 12_500))
        nights = draws.choice("nights", (0, 82, 14, 4))
        total = pc.multiply(cents, nights)
        budget = pc.multiply(pc.divide(pc.multiply(total, pc.add(90, draws.below("budget", 60))), 1_000_000), 100)
        return {
            "adults": adults,
            "children": children,
            "guestCount": guests,
            "guestCountRange": _band(guests, pools.GUEST_BANDS, pools.GUEST_TOP),
            "price": pc.divide(pc.cast(cents, pa.float64()), 100.0),
            "nights": nights,
            "totalRevenue": pc.divide(pc.cast(total, pa.float64()), 100.0),
            "totalBudget": pc.cast(budget, pa.float64()),
            "budgetRange": _band(budget, pools.BUDGET_BANDS, pools.BUDGET_TOP),
            "serviceCount": pc.add(1, draws.skewed("services", 8)),
        }

    def _supplier(self) -> dict[str, Any]:
        chosen = self._draws.skewed("supplier", SUPPLIERS_PER_BLOCK)
        number = pc.add(pc.multiply(self._block, SUPPLIERS_PER_BLOCK), chosen)
        draws = Draws(self._seed, "supplier", pc.cast(number, pa.uint64()))
        category, place = draws.choice("category", pools.CATEGORY_WEIGHTS), _evenly(draws, "place", pools.PLACES)
        noun = pa.array(pools.CATEGORY_NOUNS).take(category)
        services = pa.array([service for group in pools.CATEGORY_SERVICES for service in group])
        service = pc.add(pc.multiply(category, 3), self._draws.below("service", 3))
        joined = pc.subtract(_MONTHS[0], draws.below("joined", 2_000))
        return {
            "supplierId": _join("sup-", pc.add(number, 1)),
            "supplierName": _join(draws.pick("word", pools.SUPPLIER_WORDS), " ", noun),
            "supplierCategory": pa.array(pools.CATEGORIES).take(category),
            "businessType": draws.pick("business", pools.BUSINESS_TYPES, pools.BUSINESS_WEIGHTS),
            "locationCity": pa.array([city for city, _ in pools.PLACES]).take(place),
            "locationRegion": pa.array([region for _, region in pools.PLACES]).take(place),
            "subscriptionTier": draws.pick("tier", pools.TIERS, pools.TIER_WEIGHTS),
            "joinedDate": _days(joined),
            "isActive": pc.less(draws.below("active", 100), 93),
            "serviceType": services.take(service),
        }

    def _photographer(self) -> dict[str, Any]:
        chosen = self._draws.skewed("photographer", PHOTOGRAPHERS_PER_BLOCK)
        number = pc.add(pc.multiply(self._block, PHOTOGRAPHERS_PER_BLOCK), pc.add(chosen, 1))
        return {"photographerId": _join("ph-", self._pinned(number, 9))}

    def _pinned(self, values: Any, value: Any) -> Any:
        return pc.if_else(pc.equal(self.rows, 0), pa.scalar(value, values.type), values)


def wedding_ids(rows: Any) -> Any:
    """The ids of clean weddings for an int64 array of row numbers."""
    return _join("wed-", pc.add(rows, FIRST_NUMBER))


def _join(*parts: Any) -> Any:
    texts = [
        part if isinstance(part, str) or part.type == pa.string() else pc.cast(part, pa.string()) for part in parts
    ]
    return pc.binary_join_element_wise(*texts, "")


def _evenly(draws: Draws, name: str, pool: Sequence[Any]) -> Any:
    return draws.below(name, len(pool))


def _band(values: Any, bands: Sequence[tuple[int, str]], top: str) -> Any:
    result: Any = pa.scalar(top)
    for limit, label in reversed(bands):
        result = pc.if_else(pc.less(values, limit), label, result)
    return result


def _days(values: Any) -> Any:
    return pc.cast(pc.cast(values, pa.int32()), pa.date32())


def _instants(values: Any) -> Any:
    return pc.cast(values, pa.timestamp("ms"))


_GROUPS: dict[str, Callable[[Weddings], dict[str, Any]]] = {
    field: group
    for group, fields in {
        Weddings._identity: "id weddingId clientId version",  # noqa: SLF001
        Weddings._client: "clientName clientEmail weddingStyle locationPreference referralSource",  # noqa: SLF001
        Weddings._dates: "weddingDate bookingDate season createdAt updatedAt",  # noqa: SLF001
        Weddings._progress: "status completionStatus satisfactionScore photoCount",  # noqa: SLF001
        Weddings._venue: "venueId venueName venueCity venueRegion venueType",  # noqa: SLF001
        Weddings._size: "adults children guestCount guestCountRange price nights totalRevenue totalBudget budgetRange "  # noqa: SLF001
        "serviceCount",
        Weddings._supplier: "supplierId supplierName supplierCategory businessType locationCity locationRegion "  # noqa: SLF001
        "subscriptionTier joinedDate isActive serviceType",
        Weddings._photographer: "photographerId",  # noqa: SLF001
    }.items()
    for field in fields.split()
}

if __name__ == "__main__":
    from emulators.wedding_files import main

    sys.exit(main())
