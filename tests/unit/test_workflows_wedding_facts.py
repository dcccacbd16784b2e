"""What events make of a wedding's facts: the newest word on each, whatever order and however often they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from contracts.wedding import Wedding, WeddingEvent, WeddingState
from workflows import wedding_followers
from workflows.wedding_facts import begun, decided, facts_of, take

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
CRM, BOOKING = "crm", "booking"


def state(**changes: Any) -> WeddingState:
    systems = [
        {"systemId": name, "systemType": name, "integrationId": f"{name}-main"} for name in (CRM, BOOKING, "chat")
    ]
    given = {"organizationId": "o", "weddingId": "w", "weddingDate": "2027-06-12", "systems": systems, **changes}
    return begun(WeddingState(wedding=Wedding.model_validate(given)), NOW)


def event(minute: float, kind: str = "moved", **fields: Any) -> WeddingEvent:
    occurred = NOW + timedelta(minutes=minute)
    given = {"eventId": f"e-{minute}", "type": kind, "occurredAt": occurred.isoformat(), **fields}
    return WeddingEvent.model_validate(given)


def after(events: list[WeddingEvent], begin: WeddingState | None = None) -> WeddingState:
    found = begin or state()
    for one in events:
        found = take(found, one, NOW + timedelta(hours=3))
    return found


def known(found: WeddingState) -> tuple[Any, ...]:
    return found.wedding, found.status, found.triggers, found.stamps


FOUR = [
    event(10, weddingDate="2027-07-01"),
    event(20, weddingDate="2027-08-01", ceremonyTime="14:00"),
    event(30, "cancelled"),
    event(40, "reopened", venueName="Orangery"),
]
MIXED = [
    event(10, "status_changed", bookingStatus="confirmed"),
    event(20, "postponed"),
    event(30, "completed"),
    event(40, weddingDate="2027-09-04", timeZone="Europe/London"),
]


@pytest.mark.parametrize("events", [FOUR, MIXED], ids=["moves", "mixed"])
def test_f43_every_order_of_four_events_ends_the_same_with_repeats_among_them(events: list[WeddingEvent]):
    found = [known(after([*order, *order[:2]])) for order in permutations(events)]
    assert all(one == found[0] for one in found)


def test_f43_the_newest_day_counts_and_an_older_word_on_another_fact_is_not_lost():
    found = after([event(30, weddingDate="2027-09-01"), event(10, weddingDate="2027-07-01", ceremonyTime="14:00")])
    assert (str(found.wedding.wedding_date), str(found.wedding.ceremony_time)) == ("2027-09-01", "14:00:00")


def test_f43_numbers_decide_where_clocks_are_wrong():
    late_clock = event(60, weddingDate="2027-07-01", sequence=1)
    found = after([late_clock, event(10, weddingDate="2027-08-01", sequence=2)])
    assert str(found.wedding.wedding_date) == "2027-08-01"


def test_an_event_from_the_future_does_not_silence_those_that_follow():
    poison = event(60 * 24 * 365, weddingDate="2027-07-01")
    found = take(take(state(), poison, NOW), event(5, weddingDate="2027-08-01"), NOW + timedelta(minutes=5))
    assert str(found.wedding.wedding_date) == "2027-08-01"


def test_a_cancelled_wedding_stays_so_until_it_is_reopened():
    assert after([event(1, "cancelled"), event(2, weddingDate="2027-08-01")]).status == "cancelled"
    assert after([event(1, "cancelled"), event(3, "reopened"), event(2, weddingDate="2027-08-01")]).status == "planned"


def test_a_booking_whose_status_says_cancelled_is_cancelled():
    assert after([event(1, "status_changed", bookingStatus="cancelled")]).status == "cancelled"


def test_a_completion_that_is_taken_back_takes_its_automations_with_it():
    found = after([event(1, "completed"), event(2, "reopened")])
    assert (found.status, found.wedding.completion_status, found.triggers) == ("planned", "", state().triggers)


def test_a_property_took_its_value_when_it_first_did_though_that_is_heard_late():
    found = after(
        [event(30, "status_changed", bookingStatus="paid"), event(10, "status_changed", bookingStatus="held")]
    )
    assert found.wedding.booking_status == "paid"
    assert found.triggers["booking_status=held"] == NOW + timedelta(minutes=10)


def test_f44_a_gap_shows_until_what_is_missing_arrives():
    begin = state(sequence=4)
    gapped = after([event(1, "completed", sequence=5), event(3, "reopened", sequence=8)], begin)
    assert (gapped.sequence, gapped.ahead, gapped.gap_since) == (5, [8], NOW + timedelta(hours=3))
    filled = after([event(2.1, sequence=7, ceremonyTime="10:00"), event(2, sequence=6, ceremonyTime="11:00")], gapped)
    assert (filled.sequence, filled.ahead, filled.gap_since) == (8, [], None)


@pytest.mark.parametrize("first_lost", range(1, 11))
def test_f44_every_tenth_event_lost_is_made_good_by_one_restatement_a_period(first_lost: int):
    days = [f"2027-{month:02}-{day:02}" for month in (7, 8, 9) for day in (1, 12, 23)] * 5
    source = state(sequence=0)
    found = state(sequence=0)
    for number, day in enumerate(days, start=1):
        news = event(number, weddingDate=day, sequence=number)
        source = take(source, news, NOW + timedelta(hours=3))
        if number % 10 != first_lost % 10:
            found = take(found, news, NOW + timedelta(hours=3))
        if number % 15 == 0 and found.gap_since is not None:
            restated = event(number + 0.5, "restated", sequence=number, weddingDate=str(source.wedding.wedding_date))
            found = take(found, restated, NOW + timedelta(hours=3))
            assert found.gap_since is None
    assert facts_of(found) == facts_of(source)


def test_f44_a_restatement_older_than_what_is_known_takes_nothing_back():
    known_already = after([event(9, sequence=9, weddingDate="2027-09-09")], state(sequence=8))
    found = after([event(7, "restated", sequence=7, weddingDate="2027-07-07", cancelled=True)], known_already)
    assert str(found.wedding.wedding_date) == "2027-09-09"


def restated(**facts: tuple[WeddingEvent, Any]) -> WeddingEvent:
    """A wedding restated by its source, each fact with the event it is from."""
    given = {
        "sequence": max(one.sequence or 0 for one, _ in facts.values()) or None,
        "versions": {
            name: {
                "occurredAt": one.occurred_at,
                "eventId": one.event_id,
                "sequence": one.sequence,
                "origin": one.origin,
            }
            for name, (one, _) in facts.items()
        },
    }
    return event(90, "restated", **given, **{to_camel(name): value for name, (_, value) in facts.items()})


def test_f44_a_restatement_with_versions_says_nothing_of_facts_on_which_a_system_had_a_newer_word():
    moved = event(1, sequence=1, weddingDate="2027-07-01")
    lost = event(2, sequence=2, venueName="Barn")
    newer = event(3, origin=CRM, weddingDate="2027-09-09")
    found = after([moved, newer, restated(wedding_date=(moved, "2027-07-01"), venue_name=(lost, "Barn"))])
    assert (str(found.wedding.wedding_date), found.wedding.venue_name, found.status) == (
        "2027-09-09",
        "Barn",
        "planned",
    )


def test_f44_what_was_lost_of_a_follower_is_not_written_back_to_it():
    lost = event(2, sequence=2, origin=CRM, weddingDate="2027-07-01")
    found = after([restated(wedding_date=(lost, "2027-07-01"))])
    assert owed(found) == {CRM: False, BOOKING: True, "chat": True}


def test_f44_a_person_is_asked_once_about_a_change_that_is_restated():
    both = [event(1, origin=CRM, weddingDate="2027-07-01"), event(2, origin=BOOKING, weddingDate="2027-08-01")]
    found = after(both, state(atOnce="manual"))
    [dispute] = found.disputes
    again = restated(wedding_date=(both[1], "2027-08-01"))
    assert after([again], found).disputes == [dispute]
    refused = decided(found, dispute, accepted=False, now=NOW + timedelta(hours=1))
    assert after([again], refused).disputes == []


def test_a_run_from_before_facts_had_stamps_keeps_what_it_knew():
    old = WeddingState(
        wedding=state().wedding.model_copy(update={"wedding_date": None}), status="postponed", last_event_at=NOW
    )
    found = take(begun(old, NOW), event(-5, weddingDate="2027-07-01"), NOW)
    assert (found.status, found.wedding.wedding_date) == ("postponed", None)


def owed(found: WeddingState) -> dict[str, bool]:
    return {one.system_id: one.behind for one in found.followers}


def written(found: WeddingState, minute: float) -> WeddingState:
    """The state after every follower was brought to its facts, at that minute."""
    at = NOW + timedelta(minutes=minute)
    facts = facts_of(found)
    followers = [
        wedding_followers.ended(
            wedding_followers.began(one, facts, at), {"reached": one.wanted, "held": facts}, at + timedelta(seconds=1)
        )
        if one.behind
        else one
        for one in found.followers
    ]
    return found.model_copy(update={"followers": followers})


def test_f45_a_change_made_in_a_system_is_not_written_back_to_it():
    found = after([event(1, origin=CRM, weddingDate="2027-07-01")])
    assert owed(found) == {CRM: False, BOOKING: True, "chat": True}


def test_f45_what_a_system_tells_back_of_a_writing_starts_no_new_round():
    found = written(after([event(1, weddingDate="2027-07-01")]), 2)
    found = written(after([event(4, weddingDate="2027-08-01")], found), 5)
    echoes = [event(2.02, origin=BOOKING, weddingDate="2027-07-01"), event(5.02, origin=CRM, weddingDate="2027-08-01")]
    later = after(echoes, found)
    assert not any(owed(later).values())
    assert str(later.wedding.wedding_date) == "2027-08-01"


def test_f45_a_person_who_goes_back_to_an_earlier_day_is_no_echo():
    found = written(after([event(1, weddingDate="2027-07-01")]), 2)
    found = written(after([event(4, weddingDate="2027-08-01")], found), 5)
    assert str(after([event(60, origin=CRM, weddingDate="2027-07-01")], found).wedding.wedding_date) == "2027-07-01"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_f45_newest_two_systems_at_once_end_on_the_newer_word_after_one_extra_round(order: tuple[int, int]):
    both = [event(1, origin=CRM, weddingDate="2027-07-01"), event(2, origin=BOOKING, weddingDate="2027-08-01")]
    found, rounds = state(), 0
    for place in order:
        found = after([both[place]], found)
        rounds += sum(owed(found).values())
        found = written(found, 5)
    for _ in range(3):
        echoes = [
            event(5.01, origin=one.system_id, eventId=f"echo-{rounds}-{one.system_id}", weddingDate="2027-08-01")
            for one in found.followers
        ]
        found = written(after(echoes, found), 5)
    assert str(found.wedding.wedding_date) == "2027-08-01"
    assert {str(one.held.wedding_date) for one in found.followers if one.held} == {"2027-08-01"}
    assert rounds <= 5
    assert not any(owed(found).values())


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_f45_source_wins_whichever_word_is_newer(order: tuple[int, int]):
    both = [event(1, weddingDate="2027-07-01"), event(2, origin=BOOKING, weddingDate="2027-08-01")]
    found = after([both[place] for place in order], state(atOnce="source_wins"))
    assert str(found.wedding.wedding_date) == "2027-07-01"
    assert owed(found)[BOOKING]


@pytest.mark.parametrize("reason", ["a note was added", "it was read again"])
def test_f45_what_we_wrote_is_read_back_as_no_change_however_late_and_whatever_else_changed_there(reason: str):
    found = written(after([event(1, weddingDate="2027-07-01")]), 2)
    moved_on = after([event(30, weddingDate="2027-08-01")], found)
    late = event(31, origin=f"{BOOKING}-main", isRead=True, weddingDate="2027-07-01", reason=reason)
    assert after([late], moved_on).wedding == moved_on.wedding
    in_between = [wedding_followers.began(one, facts_of(moved_on), NOW) for one in moved_on.followers]
    being_written = moved_on.model_copy(update={"followers": in_between})
    assert after([late], being_written).wedding == moved_on.wedding


def test_f45_a_day_that_was_changed_in_the_booking_system_costs_the_others_one_round_and_itself_none():
    found = written(after([event(1, weddingDate="2027-07-01")]), 2)
    read = event(60, origin=f"{BOOKING}-main", isRead=True, weddingDate="2027-09-09")
    found = after([read, read], found)
    assert str(found.wedding.wedding_date) == "2027-09-09"
    assert owed(found) == {CRM: True, BOOKING: False, "chat": True}
    again = event(61, origin=f"{BOOKING}-main", isRead=True, weddingDate="2027-09-09")
    assert not any(owed(after([again], written(found, 62))).values())


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(
    ("declared", "day", "disputes"),
    [("source_wins", "2027-07-01", 0), ("newest", "2027-08-01", 0), ("manual", None, 1)],
)
def test_f45_an_integration_declares_whose_word_stands_whatever_the_wedding_says(
    order: tuple[int, int], declared: str, day: str | None, disputes: int
):
    own = event(1, weddingDate="2027-07-01")
    theirs = event(2, origin=f"{BOOKING}-main", isRead=True, atOnce=declared, weddingDate="2027-08-01")
    found = after([(own, theirs)[place] for place in order], state(atOnce="newest"))
    first = ("2027-07-01", "2027-08-01")[order[0]]
    assert (str(found.wedding.wedding_date), len(found.disputes)) == (day or first, disputes)


@pytest.mark.parametrize(("accepted", "day"), [(True, "2027-08-01"), (False, "2027-07-01")])
def test_f45_manual_leaves_the_choice_to_a_person(*, accepted: bool, day: str):
    both = [event(1, origin=CRM, weddingDate="2027-07-01"), event(2, origin=BOOKING, weddingDate="2027-08-01")]
    found = after(both, state(atOnce="manual"))
    [dispute] = found.disputes
    assert str(found.wedding.wedding_date) == "2027-07-01"
    found = decided(written(found, 5), dispute, accepted=accepted, now=NOW + timedelta(hours=1))
    assert (str(found.wedding.wedding_date), found.disputes) == (day, [])
    assert owed(found)[CRM if accepted else BOOKING]
