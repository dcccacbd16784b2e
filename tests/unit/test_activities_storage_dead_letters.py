"""Dead letters in the SQL store: counted once per run, tried again ever later, settled by what stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from activities.security.envelope import MasterKey
from activities.security.keyring import KeyRing
from activities.storage.database import Database, migrate
from activities.storage.dead_letters import DeadLetters, DueLetter, Outbox, Undelivered, next_attempt
from activities.storage.receipts import Scope
from contracts.sync import RecordStatus

OUTBOX = Outbox(Scope("lumen", "crm", "weddings"), "weddings")
OTHER_REPORT = Outbox(OUTBOX.scope, "revenue")
NOW = datetime(2027, 1, 1, tzinfo=UTC)
ATTEMPTS = range(1, 13)


def refused(number: int, *, final: bool = False) -> Undelivered:
    return Undelivered(f"wed-{number}", f"wed-{number}", RecordStatus.REJECTED, "why", "{}", final)


@pytest.fixture
async def letters(tmp_path: Path) -> AsyncIterator[DeadLetters]:
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(url)
    database = Database(url)
    yield DeadLetters(database, KeyRing(given=[MasterKey(b"k" * 32)]))
    await database.aclose()


async def test_a_run_that_says_it_twice_is_one_attempt(letters: DeadLetters) -> None:
    for run_id in ("run-1", "run-1", "run-2"):
        await letters.keep(OUTBOX, run_id, [refused(1)], NOW)
    [letter] = (await letters.listed("lumen"))[0]
    assert (letter.attempts, letter.run_id, letter.first_at) == (2, "run-2", NOW)


async def test_a_letter_is_due_when_its_pause_is_over(letters: DeadLetters) -> None:
    await letters.keep(OUTBOX, "run-1", [refused(1)], NOW)
    assert await letters.due(OUTBOX, NOW + timedelta(minutes=4)) == []
    assert await letters.due(OUTBOX, NOW + timedelta(minutes=5)) == [DueLetter("wed-1", "{}")]
    assert await letters.due(OTHER_REPORT, NOW + timedelta(minutes=5)) == []


def test_pauses_grow_to_a_day_and_end() -> None:
    pauses = [due - NOW for attempts in ATTEMPTS if (due := next_attempt(NOW, attempts)) is not None]
    assert all(shorter <= longer for shorter, longer in pairwise(pauses))
    assert (pauses[0], pauses[-1], len(pauses)) == (timedelta(minutes=5), timedelta(days=1), len(ATTEMPTS) - 1)


async def test_what_only_the_source_can_mend_is_never_tried_again(letters: DeadLetters) -> None:
    await letters.keep(OUTBOX, "run-1", [refused(1, final=True)], NOW)
    assert await letters.hasten("lumen", None, [], NOW) == []
    assert await letters.due(OUTBOX, NOW + timedelta(days=9)) == []


async def test_a_run_over_the_whole_report_leaves_its_own_letters_only(letters: DeadLetters) -> None:
    await letters.keep(OUTBOX, "run-1", [refused(1), refused(2)], NOW)
    await letters.keep(OTHER_REPORT, "run-1", [refused(1)], NOW)
    await letters.keep(OUTBOX, "run-2", [refused(2)], NOW)
    await letters.settle_all_but(OUTBOX, "run-2")
    left = {(letter.report_id, letter.record_id) for letter in (await letters.listed("lumen"))[0]}
    assert left == {("weddings", "wed-2"), ("revenue", "wed-1")}


async def test_a_record_that_stands_keeps_the_letter_about_its_double(letters: DeadLetters) -> None:
    double = Undelivered("digest", "wed-1", RecordStatus.REJECTED, "duplicate", "{}", final=True)
    await letters.keep(OUTBOX, "run-1", [refused(1), double], NOW)
    await letters.settle(OUTBOX, ["wed-1"])
    assert [letter.reason for letter in (await letters.listed("lumen"))[0]] == ["duplicate"]
