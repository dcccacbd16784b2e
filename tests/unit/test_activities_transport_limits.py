"""How a connection stands with its vendor: window, pause, circuit and ramp, on the test's own clock."""

from __future__ import annotations

import heapq
import random
from collections import deque
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.ports.manifest import RateLimit
from activities.transport.limits import (
    FAILURES_TO_OPEN,
    FIRST_OPEN_S,
    LONGEST_OPEN_S,
    LONGEST_PAUSE_S,
    PROBE_S,
    RAMP_S,
    CircuitState,
    Reason,
    Refusal,
    Standing,
    share,
)

START = 1_800_000_000.0
HUBSPOT = RateLimit(190, 10.0)
PER_SECOND = RateLimit(20, 1.0)


def taken(standing: Standing, limit: RateLimit, now: float, calls: int = 1, *, urgent: bool = False) -> Standing:
    decided = standing.admitted(limit, now, calls, urgent=urgent)
    assert isinstance(decided, Standing)
    return decided


def refused(standing: Standing, limit: RateLimit, now: float, calls: int = 1, *, urgent: bool = False) -> Refusal:
    decided = standing.admitted(limit, now, calls, urgent=urgent)
    assert isinstance(decided, Refusal)
    return decided


def opened(now: float = START) -> Standing:
    standing = Standing()
    for _ in range(FAILURES_TO_OPEN):
        standing = standing.failed(now)
    return standing


def most_in_any_window(times: list[float], window_s: float) -> int:
    inside: deque[float] = deque()
    most = 0
    for instant in sorted(times):
        inside.append(instant)
        while inside[0] <= instant - window_s:
            inside.popleft()
        most = max(most, len(inside))
    return most


@given(
    requests=st.integers(1, 300),
    per_s=st.sampled_from([0.5, 1.0, 10.0, 60.0]),
    steps=st.lists(st.tuples(st.floats(0, 0.3), st.integers(1, 12), st.booleans()), max_size=150),
)
def test_no_window_ever_holds_more_calls_than_the_limit(
    requests: int, per_s: float, steps: list[tuple[float, int, bool]]
) -> None:
    limit, standing, now = RateLimit(requests, per_s), Standing(), START
    times: list[float] = []
    for pause, calls, urgent in steps:
        now += pause * per_s
        decided = standing.admitted(limit, now, min(calls, share(limit, urgent=urgent)), urgent=urgent)
        if isinstance(decided, Standing):
            standing = Standing.loaded(decided.dumped())
            times += [now] * min(calls, share(limit, urgent=urgent))
    assert most_in_any_window(times, per_s) <= requests


@given(requests=st.integers(1, 300), per_s=st.sampled_from([0.5, 1.0, 10.0]), used=st.integers(1, 300))
def test_who_comes_back_after_the_wait_is_admitted(requests: int, per_s: float, used: int) -> None:
    limit = RateLimit(requests, per_s)
    standing = taken(Standing(), limit, START, min(used, share(limit, urgent=False)))
    decided = standing.admitted(limit, START, share(limit, urgent=False), urgent=False)
    assert isinstance(decided, Refusal)
    taken(standing, limit, START + decided.wait_s + 1e-6, share(limit, urgent=False))


@pytest.mark.parametrize("limit", [HUBSPOT, PER_SECOND, RateLimit(600, 60.0)])
def test_a_steady_run_uses_85_percent_of_the_limit(limit: RateLimit) -> None:
    standing, now, admitted = Standing(), START, 0
    step = limit.per_s / limit.requests / 10
    while now < START + 20 * limit.per_s:
        decided = standing.admitted(limit, now, 1, urgent=False)
        if isinstance(decided, Standing):
            standing, admitted = decided, admitted + 1
        now += step
    assert admitted >= 0.85 * 20 * limit.requests


def test_an_emergency_uses_what_others_leave() -> None:
    standing = taken(Standing(), HUBSPOT, START, share(HUBSPOT, urgent=False))
    assert refused(standing, HUBSPOT, START).reason is Reason.LIMIT
    taken(standing, HUBSPOT, START, HUBSPOT.requests - share(HUBSPOT, urgent=False), urgent=True)


def test_an_emergency_that_found_no_room_goes_before_the_others() -> None:
    limit = RateLimit(1, 1.0)
    standing = taken(Standing(), limit, START)
    waiting = refused(standing, limit, START, urgent=True)
    standing = standing.claimed(START + waiting.wait_s)
    later = START + waiting.wait_s + 0.01
    assert refused(standing, limit, later).reason is Reason.LIMIT
    taken(standing, limit, later, urgent=True)


def test_a_clock_that_is_set_back_does_not_close_the_window_for_good() -> None:
    standing = taken(Standing(), PER_SECOND, START + 600, share(PER_SECOND, urgent=False))
    taken(standing, PER_SECOND, START)


def test_given_back_calls_may_be_made_by_others() -> None:
    standing = taken(Standing(), PER_SECOND, START, share(PER_SECOND, urgent=False)).given_back(3)
    taken(standing, PER_SECOND, START, 3)


def test_more_calls_than_ever_fit_are_admitted_into_an_empty_window_and_counted() -> None:
    standing = taken(Standing(), PER_SECOND, START, 50)
    assert standing.used(PER_SECOND, START) == 50


def test_f18_a_pause_holds_every_call_until_it_ends() -> None:
    standing = Standing().limited(START, 7.0)
    assert refused(standing, HUBSPOT, START + 6.9, urgent=True) == Refusal(Reason.PAUSE, pytest.approx(0.1))
    taken(standing, HUBSPOT, START + 7.0)


def test_f19_repeated_pauses_of_no_length_grow() -> None:
    standing, now, asked = Standing(), START, 0
    while now < START + 60:
        decided = standing.admitted(HUBSPOT, now, 1, urgent=False)
        if isinstance(decided, Refusal):
            now += decided.wait_s
            continue
        asked += 1
        standing = decided.limited(now, 0.0)
    assert asked <= 8


def test_f19_a_pause_of_years_is_an_hour() -> None:
    assert refused(Standing().limited(START, 3e8), HUBSPOT, START).wait_s == LONGEST_PAUSE_S


def test_the_circuit_opens_after_failures_in_a_row_only() -> None:
    standing = Standing()
    for _ in range(3 * FAILURES_TO_OPEN):
        standing = standing.failed(START).answered(START)
    assert standing.circuit(START + RAMP_S) is CircuitState.CLOSED
    assert opened().circuit(START) is CircuitState.OPEN


def test_an_open_circuit_lets_one_probe_through_at_a_time() -> None:
    standing = opened()
    assert refused(standing, HUBSPOT, START).wait_s == FIRST_OPEN_S
    probing = taken(standing, HUBSPOT, START + FIRST_OPEN_S)
    assert refused(probing, HUBSPOT, START + FIRST_OPEN_S).reason is Reason.CIRCUIT
    taken(probing, HUBSPOT, START + FIRST_OPEN_S + PROBE_S)


def test_an_emergency_probes_at_once() -> None:
    taken(opened(), HUBSPOT, START + 0.1, urgent=True)


def test_a_failed_probe_doubles_the_pause_up_to_five_minutes() -> None:
    standing, now, pauses = opened(), START, []
    for _ in range(9):
        pauses.append(standing.open_for_s)
        now = standing.open_until
        standing = taken(standing, HUBSPOT, now).failed(now)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert standing.open_for_s == LONGEST_OPEN_S


def test_a_closed_circuit_gives_the_limit_back_little_by_little() -> None:
    standing = opened().answered(START)
    room = share(HUBSPOT, urgent=False)
    half = START + RAMP_S / 2
    assert refused(taken(standing, HUBSPOT, START, room // 10), HUBSPOT, START).reason is Reason.LIMIT
    assert refused(taken(standing, HUBSPOT, half, room // 2), HUBSPOT, half).reason is Reason.LIMIT
    taken(standing, HUBSPOT, START + RAMP_S, room)


def test_what_is_stored_is_what_was_decided() -> None:
    standing = taken(opened().answered(START).limited(START - 60, 5), HUBSPOT, START, 2).failed(START)
    assert Standing.loaded(standing.dumped()) == standing


class Vendor:
    """A vendor that is away for a while, and items that wait for one call each, handed out at the vendor's rate."""

    def __init__(self, items: int, limit: RateLimit, away: tuple[float, float]) -> None:
        self.limit, self.away = limit, away
        self.calls: list[float] = []
        self.done = 0
        self._chance = random.Random(7)
        order = count()
        self._queue = [(START + self._chance.uniform(0, 1), next(order)) for _ in range(items)]
        heapq.heapify(self._queue)
        self._standing = Standing()

    def run(self) -> float:
        """Return when the last item was done."""
        now = START
        while self._queue:
            due, item = heapq.heappop(self._queue)
            now = max(due, now + self.limit.per_s / self.limit.requests)
            decided = self._standing.admitted(self.limit, now, 1, urgent=False)
            if isinstance(decided, Refusal):
                again = now + decided.wait_s + self._chance.uniform(0, self.limit.per_s / 4)
                heapq.heappush(self._queue, (again, item))
                continue
            self.calls.append(now)
            if self.away[0] <= now < self.away[1]:
                self._standing = decided.failed(now)
                heapq.heappush(self._queue, (now + 0.5, item))
            else:
                self.done += 1
                self._standing = decided.answered(now) if decided.troubled else decided
        return now


def test_f36_after_an_outage_the_backlog_drains_at_the_vendor_s_limit() -> None:
    limit, outage = RateLimit(190, 1.0), 36.0
    vendor = Vendor(10_000, limit, (START, START + outage))
    finished = vendor.run()
    during = [call for call in vendor.calls if call < START + outage]
    assert vendor.done == 10_000
    assert len(during) <= FAILURES_TO_OPEN + 4
    assert most_in_any_window(vendor.calls, limit.per_s) <= limit.requests
    late = FIRST_OPEN_S * 2**3 + RAMP_S
    assert finished - (START + outage) <= late + 10_000 / (0.85 * limit.requests)


def test_f20_a_burst_of_failures_costs_at_most_a_fifth_more_requests() -> None:
    vendor = Vendor(100, HUBSPOT, (START, START + 60))
    vendor.run()
    assert len(vendor.calls) <= 120
