"""Standings in the store: one row, many workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.ports.manifest import RateLimit
from activities.storage.database import Database, migrate
from activities.storage.limits import LimitStore, Place
from activities.transport.limits import FAILURES_TO_OPEN, FIRST_OPEN_S, Reason, share

LIMIT = RateLimit(40, 10.0)
PLACE = Place("org-1", "crm", "here", LIMIT)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stores(tmp_path: Path, clock: Clock) -> AsyncIterator[list[LimitStore]]:
    """The store as two worker processes have it: two engines on one file."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    migrate(url)
    databases = [Database(url), Database(url)]
    yield [LimitStore(database, clock) for database in databases]
    for database in databases:
        await database.aclose()


async def admitted(store: LimitStore, place: Place = PLACE, calls: int = 1, *, urgent: bool = False) -> bool:
    return (await store.admit(place, calls, urgent=urgent)).refusal is None


async def test_two_processes_at_once_admit_together_what_one_may(stores: list[LimitStore]) -> None:
    asked = [admitted(stores[number % 2]) for number in range(100)]
    assert sum(await asyncio.gather(*asked)) == share(LIMIT, urgent=False)


async def test_a_place_has_a_window_of_its_own(stores: list[LimitStore]) -> None:
    await stores[0].admit(PLACE, 38, urgent=False)
    assert not await admitted(stores[0])
    assert await admitted(stores[0], Place("org-2", "crm", "here", LIMIT))


async def test_an_account_s_own_limit_counts_at_once(stores: list[LimitStore], clock: Clock) -> None:
    await stores[0].set_own(PLACE, RateLimit(5, 10.0))
    assert not await admitted(stores[1])
    clock.now += 11
    assert [await admitted(stores[1]) for _ in range(6)] == [True] * 5 + [False]


async def test_the_connector_s_limit_comes_back(stores: list[LimitStore], clock: Clock) -> None:
    await stores[0].set_own(PLACE, RateLimit(5, 10.0))
    await stores[0].set_own(PLACE, None)
    clock.now += 11
    assert await admitted(stores[1], calls=30)


async def test_another_address_begins_with_a_clean_standing(stores: list[LimitStore]) -> None:
    for _ in range(FAILURES_TO_OPEN):
        await stores[0].failed(PLACE)
    assert not await admitted(stores[0])
    assert await admitted(stores[0], Place("org-1", "crm", "elsewhere", LIMIT))


async def test_one_of_many_workers_probes(stores: list[LimitStore], clock: Clock) -> None:
    for _ in range(FAILURES_TO_OPEN):
        await stores[0].failed(PLACE)
    clock.now += FIRST_OPEN_S
    asked = [admitted(stores[number % 2]) for number in range(40)]
    assert sum(await asyncio.gather(*asked)) == 1


async def test_an_answer_closes_the_circuit_for_every_worker(stores: list[LimitStore], clock: Clock) -> None:
    for _ in range(FAILURES_TO_OPEN):
        await stores[0].failed(PLACE)
    clock.now += FIRST_OPEN_S
    assert (await stores[0].admit(PLACE, 1, urgent=False)).troubled
    await stores[0].answered(PLACE)
    clock.now += 60
    assert await admitted(stores[1], calls=30)


async def test_f18_a_pause_holds_every_worker(stores: list[LimitStore], clock: Clock) -> None:
    await stores[0].limited(PLACE, 30.0)
    clock.now += 29
    refusal = (await stores[1].admit(PLACE, 1, urgent=True)).refusal
    assert refusal is not None
    assert (refusal.reason, refusal.wait_s) == (Reason.PAUSE, pytest.approx(1.0))


async def test_given_back_calls_are_there_for_others(stores: list[LimitStore]) -> None:
    await stores[0].admit(PLACE, 38, urgent=False)
    await stores[0].give_back(PLACE, 8)
    assert await admitted(stores[1], calls=8)


async def test_what_is_shown_changes_nothing(stores: list[LimitStore]) -> None:
    await stores[0].admit(PLACE, 7, urgent=False)
    for _ in range(2):
        known = await stores[1].known(PLACE)
        assert known.standing.used(LIMIT, known.now) == 7
