"""How a connection stands with its vendor: calls in the window, pause, circuit. Decisions only, no I/O."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from math import floor

from activities.ports.manifest import RateLimit
from activities.transport.window import Window

RESERVED_SHARE = 0.05
"""Share of every limit that only emergencies may use."""

FAILURES_TO_OPEN = 5
FIRST_OPEN_S = 5.0
LONGEST_OPEN_S = 300.0
PROBE_S = 60.0
"""How long one probe keeps the others waiting for its answer."""

RAMP_S = 30.0
RAMP_FROM = 0.1
LONGEST_PAUSE_S = 3_600.0
_SHORTEST_PAUSE_S = 1.0
_LONGEST_STRIKE_S = 300.0
_CLAIM_S = 1.0
_BEHIND_PROBE_S = 2.0
_NO_CALLS = Window()


class CircuitState(StrEnum):
    """Whether the vendor is called: always, not at all, by one probe at a time, or by a growing share."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"
    RAMPING = "ramping"


class Reason(StrEnum):
    """Why a call is not admitted."""

    LIMIT = "at_the_limit"
    PAUSE = "connection_paused"
    CIRCUIT = "circuit_open"


@dataclass(frozen=True)
class Refusal:
    """A call that has to wait `wait_s` seconds before it asks again."""

    reason: Reason
    wait_s: float


@dataclass(frozen=True)
class Standing:
    """What is remembered about a connection; instants are seconds of the store's clock."""

    window: Window = _NO_CALLS
    paused_until: float = 0.0
    strikes: int = 0
    """Refusals by the vendor since it last answered."""
    failures: int = 0
    """Failures of the vendor since it last answered."""
    open_for_s: float = 0.0
    """Length of the present opening of the circuit; 0 while it is closed."""
    open_until: float = 0.0
    probe_until: float = 0.0
    closed_at: float = 0.0
    claimed_until: float = 0.0
    """Until then an emergency that found no room goes first."""

    @property
    def troubled(self) -> bool:
        """Whether a success would change anything."""
        return bool(self.failures or self.strikes or self.open_for_s)

    def dumped(self) -> str:
        """Return this as JSON, without what is as in the beginning."""
        given = {name: value for name, value in asdict(self).items() if value}
        return json.dumps({**given, "window": [self.window.first, *self.window.counts]}, separators=(",", ":"))

    @classmethod
    def loaded(cls, text: str) -> Standing:
        """Return what `dumped` wrote; names of another version are ignored."""
        known = {item.name for item in fields(cls)}
        given = {name: value for name, value in json.loads(text).items() if name in known}
        first, *counts = given.get("window") or [0]
        return cls(**{**given, "window": Window(first, tuple(counts))})

    def circuit(self, now: float) -> CircuitState:
        """Return the state of the circuit."""
        if self.open_for_s:
            return CircuitState.OPEN if now < self.open_until else CircuitState.PROBING
        return CircuitState.RAMPING if now < self.closed_at + RAMP_S else CircuitState.CLOSED

    def used(self, limit: RateLimit, now: float) -> int:
        """Return how many calls the window holds."""
        return self.window.at(limit, now).calls

    def admitted(self, limit: RateLimit, now: float, calls: int, *, urgent: bool) -> Standing | Refusal:
        """Return the standing with `calls` more, or why and how long they wait.

        Args:
            limit: the vendor's.
            now: seconds of the store's clock.
            calls: requests about to be made; more than ever fit are admitted into an empty window.
            urgent: whether an emergency asks, which may use the reserved share and may probe at once.
        """
        if now < self.paused_until:
            return Refusal(Reason.PAUSE, self.paused_until - now)
        if self.open_for_s:
            return self._probing(limit, now, calls, urgent=urgent)
        if now < self.claimed_until and not urgent:
            return Refusal(Reason.LIMIT, self.claimed_until - now)
        room = share(limit, urgent=urgent)
        if self.circuit(now) is CircuitState.RAMPING:
            room = max(1, floor(room * max(RAMP_FROM, (now - self.closed_at) / RAMP_S)))
        current = self.window.at(limit, now)
        wait = current.wait_s(limit, now, min(calls, room), room)
        if wait > 0:
            return Refusal(Reason.LIMIT, wait)
        claimed_until = 0.0 if urgent else self.claimed_until
        return replace(self, window=current.plus(limit, now, calls), claimed_until=claimed_until)

    def claimed(self, until: float) -> Standing:
        """Return the standing in which others wait for an emergency that found no room."""
        return replace(self, claimed_until=until + _CLAIM_S)

    def given_back(self, calls: int) -> Standing:
        """Return the standing with `calls` fewer in its newest slots."""
        return replace(self, window=self.window.minus(calls))

    def limited(self, now: float, told_s: float) -> Standing:
        """Return the standing after the vendor asked to wait; repeated asking lengthens the pause."""
        asked = min(max(told_s, _SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
        pause = max(asked, min(2.0**self.strikes, _LONGEST_STRIKE_S))
        # A vendor that asks for a pause answers.
        answering = self.answered(now)
        return replace(answering, strikes=self.strikes + 1, paused_until=max(self.paused_until, now + pause))

    def failed(self, now: float) -> Standing:
        """Return the standing after a failure of the vendor: enough in a row open the circuit."""
        failures = self.failures + 1
        if self.open_for_s:
            if now < self.open_until:
                return replace(self, failures=failures, probe_until=0.0)
            longer = min(self.open_for_s * 2, LONGEST_OPEN_S)
            return replace(self, failures=failures, open_for_s=longer, open_until=now + longer, probe_until=0.0)
        if failures < FAILURES_TO_OPEN:
            return replace(self, failures=failures)
        return replace(self, failures=failures, open_for_s=FIRST_OPEN_S, open_until=now + FIRST_OPEN_S)

    def answered(self, now: float) -> Standing:
        """Return the standing after the vendor answered: the circuit closes and the share of the limit grows anew."""
        closed_at = now if self.open_for_s else self.closed_at
        return replace(
            self, strikes=0, failures=0, open_for_s=0.0, open_until=0.0, probe_until=0.0, closed_at=closed_at
        )

    def _probing(self, limit: RateLimit, now: float, calls: int, *, urgent: bool) -> Standing | Refusal:
        if now < self.open_until and not urgent:
            return Refusal(Reason.CIRCUIT, self.open_until - now)
        if now < self.probe_until:
            return Refusal(Reason.CIRCUIT, min(self.probe_until - now, _BEHIND_PROBE_S))
        window = self.window.at(limit, now).plus(limit, now, calls)
        return replace(self, window=window, probe_until=now + PROBE_S)


def share(limit: RateLimit, *, urgent: bool) -> int:
    """Return how many calls of a window may be used, at least one."""
    return limit.requests if urgent else max(1, limit.requests - floor(limit.requests * RESERVED_SHARE))
