"""The owner of a day: two bookings never have the same hour, in whatever order they ask."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.notification import Slot
from contracts.resource_day import (
    BusySpan,
    HoldStatus,
    ResourceDayState,
    SlotAnswer,
    SlotCommand,
    SlotCommandKind,
    day_of,
    resource_day,
)
from workflows.slot_book import SlotBook, overlap

DAY = resource_day("o", "i", "ph-9", date(2027, 6, 12), "Europe/London")
NOW = datetime(2027, 6, 1, tzinfo=UTC)
OPEN = DAY.opens_at


def slot(hour: float, hours: float = 2) -> Slot:
    start = OPEN + timedelta(hours=hour)
    return Slot(resource_id="ph-9", starts_at=start, ends_at=start + timedelta(hours=hours))


def command(kind: str, hold_id: str, *bookings: str, hour: float = 8, hours: float = 2, lasts: int | None = None):
    return SlotCommand(
        kind=SlotCommandKind(kind),
        hold_id=hold_id,
        booking_ids=list(bookings),
        slot=slot(hour, hours),
        expires_at=None if lasts is None else NOW + timedelta(minutes=lasts),
    )


@pytest.fixture
def book() -> SlotBook:
    return SlotBook(DAY, ResourceDayState())


def ask(book: SlotBook, *args: str, at: datetime = NOW, **options: float) -> SlotAnswer:
    return book.act(command(*args, **options), at)  # type: ignore[arg-type]


commands = st.builds(
    lambda kind, number, pair, hour, hours, lasts: (kind, number, pair, hour, hours, lasts),
    st.sampled_from(["hold", "confirm", "contest", "settle", "release"]),
    st.integers(0, 5),
    st.permutations(["a", "b", "c"]),
    st.integers(0, 10),
    st.integers(1, 6),
    st.none() | st.integers(1, 20),
)


@given(st.lists(commands, max_size=40))
def test_no_two_live_holds_of_strangers_ever_overlap(asked):
    book = SlotBook(DAY, ResourceDayState())
    for minute, (kind, number, pair, hour, hours, lasts) in enumerate(asked):
        two = kind in {"contest", "settle"}
        now = NOW + timedelta(minutes=minute)
        expiry = None if lasts is None else minute + lasts
        book.act(
            command(kind, f"{kind[0]}{number}", *pair[: 2 if two else 1], hour=hour, hours=hours, lasts=expiry), now
        )
        for one, other in combinations(book.live(now), 2):
            assert not overlap(one.slot, other.slot) or set(one.booking_ids) & set(other.booking_ids)
        confirmed = [hold for hold in book.live(now) if hold.status is HoldStatus.CONFIRMED]
        assert len({hold.hold_id for hold in confirmed}) == len(confirmed)


def test_f46_ten_thousand_races_of_two_to_eight_leave_one_winner_each():
    dice = random.Random(46)
    for race in range(10_000):
        book = SlotBook(DAY, ResourceDayState())
        runners = [f"b{number}" for number in range(dice.randint(2, 8))]
        answers: dict[str, list[bool]] = {name: [] for name in runners}
        for name in dice.sample(runners * 2, 2 * len(runners)):
            answer = ask(book, "confirm", f"h-{name}", name, hour=8 + dice.random())
            answers[name].append(answer.accepted)
        winners = [name for name, found in answers.items() if any(found)]
        assert len(winners) == 1, race
        assert answers[winners[0]] == [True, True]
        assert [hold.booking_ids for hold in book.live(NOW)] == [winners]


def test_a_refused_booking_is_told_who_has_the_slot(book):
    ask(book, "confirm", "h-a", "a")
    refused = ask(book, "confirm", "h-b", "b", hour=9)
    assert (refused.accepted, refused.reason, refused.held_by) == (False, "held", ["a"])


def test_slots_that_touch_are_both_free(book):
    assert ask(book, "confirm", "h-a", "a", hour=8).accepted
    assert ask(book, "confirm", "h-b", "b", hour=10).accepted


def test_what_another_system_knows_to_be_taken_is_not_given_away(book):
    busy = [BusySpan(slot=slot(9), booking_id="elsewhere")]
    refused = book.act(command("confirm", "h-a", "a"), NOW, busy)
    assert (refused.reason, refused.held_by) == ("busy", ["elsewhere"])
    assert book.act(command("confirm", "h-e", "elsewhere", hour=9), NOW, busy).accepted


def test_an_unconfirmed_session_takes_no_precedence(book):
    busy = [BusySpan(slot=slot(8), booking_id="elsewhere", confirmed=False)]
    assert book.act(command("confirm", "h-a", "a"), NOW, busy).accepted


def test_an_expired_hold_keeps_nothing_and_is_released_once(book):
    ask(book, "hold", "h-a", "a", lasts=10)
    later = NOW + timedelta(minutes=10)
    assert ask(book, "confirm", "h-b", "b", at=later).accepted
    assert [hold.hold_id for hold in book.expire(later)] == ["h-a"]
    assert book.expire(later) == []
    assert ask(book, "hold", "h-a", "a", at=later).reason == "released"


def test_neither_side_of_a_contest_can_confirm_past_the_decision(book):
    ask(book, "contest", "c-1", "a", "b", lasts=60)
    assert ask(book, "confirm", "h-a", "a").reason == "undecided"
    assert ask(book, "confirm", "h-c", "c").reason == "held"


def test_a_decision_is_final_for_the_conflict_and_for_the_pair(book):
    ask(book, "contest", "c-1", "a", "b", lasts=60)
    first = ask(book, "settle", "c-1", "b", "a").settlement
    assert first.winning_booking_id == "b"
    assert ask(book, "settle", "c-1", "a", "b").settlement == first
    assert ask(book, "settle", "c-2", "a", "b", hour=9).settlement == first
    assert [hold.booking_ids for hold in book.live(NOW)] == [["b"]]


def test_who_won_the_race_can_lose_the_decision(book):
    ask(book, "confirm", "h-a", "a")
    ask(book, "contest", "c-1", "a", "b", lasts=60)
    assert ask(book, "settle", "c-1", "b", "a").accepted
    assert [(hold.booking_ids, hold.status) for hold in book.live(NOW)] == [(["b"], "confirmed")]
    assert book.holds["h-a"].reason == "lost"


def test_a_slot_that_a_third_booking_got_meanwhile_is_not_given_to_either(book):
    ask(book, "contest", "c-1", "a", "b", lasts=10)
    later = NOW + timedelta(minutes=11)
    assert ask(book, "confirm", "h-c", "c", at=later).accepted
    refused = ask(book, "settle", "c-1", "a", "b", at=later)
    assert (refused.accepted, refused.held_by) == (False, ["c"])


def test_a_slot_outside_the_owner_s_day_is_refused(book):
    assert ask(book, "confirm", "h-a", "a", hour=23).reason == "outside_the_day"


def test_the_night_belongs_to_the_evening_before():
    assert day_of(datetime(2027, 6, 13, 1, tzinfo=UTC), "Europe/London") == date(2027, 6, 12)
    assert day_of(datetime(2027, 6, 13, 5, tzinfo=UTC), "Europe/London") == date(2027, 6, 13)
