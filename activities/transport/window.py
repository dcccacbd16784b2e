"""The calls of a sliding window, counted in slots: small enough for one column, never more than the limit allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor

from activities.ports.manifest import RateLimit

SLOTS = 128
MARGIN = 0.04
"""Share of the window added to it, because two requests may travel for different times."""


@dataclass(frozen=True)
class Window:
    """Calls per slot of 1/128 of the window, from `first` on; a call counts until its whole slot has left."""

    first: int = 0
    counts: tuple[int, ...] = ()

    @property
    def calls(self) -> int:
        """How many calls are counted."""
        return sum(self.counts)

    def at(self, limit: RateLimit, now: float) -> Window:
        """Return this without slots that have left the window, or that a clock set back has put into the future."""
        current = _slot(limit, now)
        counted = {
            slot: count
            for slot, count in enumerate(self.counts, self.first)
            if count and slot <= current and _leaves(slot, limit) > now
        }
        first = min(counted, default=current)
        return Window(first, tuple(counted.get(slot, 0) for slot in range(first, max(counted, default=first - 1) + 1)))

    def plus(self, limit: RateLimit, now: float, calls: int) -> Window:
        """Return this with `calls` more now; call it on what `at` returned for the same instant."""
        place = _slot(limit, now) - self.first
        counts = [*self.counts, *(0 for _ in range(place + 1 - len(self.counts)))]
        counts[place] += calls
        return replace(self, counts=tuple(counts))

    def minus(self, calls: int) -> Window:
        """Return this with `calls` fewer in its newest slots."""
        counts = list(self.counts)
        for place in reversed(range(len(counts))):
            taken = min(counts[place], calls)
            counts[place] -= taken
            calls -= taken
        return replace(self, counts=tuple(counts))

    def wait_s(self, limit: RateLimit, now: float, calls: int, room: int) -> float:
        """Return the seconds until `calls` fit into `room`, 0 when they fit now."""
        excess = self.calls + calls - room
        if excess <= 0:
            return 0.0
        for slot, count in enumerate(self.counts, self.first):
            excess -= count
            if excess <= 0:
                return _leaves(slot, limit) - now
        return limit.per_s


def _slot(limit: RateLimit, now: float) -> int:
    return floor(now * SLOTS / limit.per_s)


def _leaves(slot: int, limit: RateLimit) -> float:
    """Return when the calls of a slot stop counting."""
    return (slot + 1) * limit.per_s / SLOTS + limit.per_s * (1 + MARGIN)
