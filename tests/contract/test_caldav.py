"""CalDAV against a real Radicale: one event per wedding, held slots, busy times, and the errors that recover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime, time, timedelta
from itertools import permutations
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from activities.connectors.calendar.caldav import CalDav
from contracts.effects import DeliveryIntent, EffectStep
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from tests.support.admissions import Counting
from tests.support.caldav_calendar import (
    CALENDARS,
    CONTEXT,
    NOON,
    about,
    failure,
    hold,
    kinds,
    opened,
    shown,
    standing,
    upsert,
)
from tests.support.deliveries import connection, delivery
from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client

EMULATED = ("caldav",)


async def test_a_wedding_becomes_one_event_in_its_own_zone(caldav: CalDav, emulators: Emulators) -> None:
    await caldav.apply(upsert(caldav))
    [event] = shown(emulators)
    found = Calendar.from_ical(event["ics"]).events[0]
    assert (str(found["SUMMARY"]), str(found["LOCATION"])) == ("Wedding Anna and Ben Fisher", "Hartwell House")
    assert found.start == datetime(2027, 6, 12, 15, 30, tzinfo=ZoneInfo("Europe/London"))
    assert found.end - found.start == timedelta(hours=8)
    assert event["status"] == "CONFIRMED"
    assert "TZID:Europe/London" in event["ics"]


async def test_a_moved_wedding_moves_its_event_and_makes_no_second_one(caldav: CalDav, emulators: Emulators) -> None:
    await caldav.apply(upsert(caldav))
    await caldav.apply(upsert(caldav, "2027-06-19", createdAt="2027-06-02T00:00:00Z", notificationId="notif-0002"))
    [event] = shown(emulators)
    assert (event["dtstart"], event["sequence"]) == ("20270619T153000", "1")
    assert kinds(emulators) == ["event.created", "event.updated"]


async def test_a_wedding_moved_by_years_brings_its_zone_s_rules_along(caldav: CalDav, emulators: Emulators) -> None:
    await caldav.apply(upsert(caldav))
    await caldav.apply(upsert(caldav, "2031-06-14", createdAt="2027-06-02T00:00:00Z"))
    [event] = shown(emulators)
    assert ("RDATE" in event["ics"], event["ics"].count("TZID:"), "20310330T" in event["ics"]) == (True, 1, True)


async def test_the_changes_of_a_timeline_come_before_the_wedding_s_context(
    caldav: CalDav, emulators: Emulators
) -> None:
    [step] = caldav.plan(delivery("caldav"))
    await caldav.apply(step)
    [event] = shown(emulators)
    assert (event["dtstart"], event["location"]) == ("20270612T153000", "Hartwell House\\, Orangery")


async def test_a_second_apply_writes_nothing(caldav: CalDav, emulators: Emulators) -> None:
    outcomes = [await caldav.apply(upsert(caldav)) for _ in range(2)]
    assert [one.replayed for one in outcomes] == [False, True]
    assert kinds(emulators) == ["event.created"]


@pytest.mark.parametrize("order", permutations(range(4)))
async def test_f43_the_newest_date_stands_in_whatever_order_events_arrive(
    caldav: CalDav, emulators: Emulators, order: tuple[int, ...]
) -> None:
    for number in order:
        await caldav.apply(upsert(caldav, f"2027-07-0{number + 1}", createdAt=f"2027-06-0{number + 1}T00:00:00Z"))
    [event] = shown(emulators)
    assert event["dtstart"] == "20270704T153000"


async def test_a_notification_with_a_slot_becomes_an_event_of_its_own(caldav: CalDav, emulators: Emulators) -> None:
    slot = {"resourceId": "orangery", "startsAt": "2027-06-11T16:00:00Z", "endsAt": "2027-06-11T17:00:00Z"}
    await caldav.apply(upsert(caldav))
    rehearsal = delivery("caldav", metadata={"slot": slot}, weddingContext=CONTEXT, title="Rehearsal")
    for _ in range(2):
        [step] = caldav.plan(rehearsal)
        await caldav.apply(step)
    wedding, own = sorted(shown(emulators), key=lambda event: event["summary"] == "Rehearsal")
    assert (wedding["dtstart"], wedding["summary"]) == ("20270612T153000", "Wedding Anna and Ben Fisher")
    assert (own["dtstart"], own["dtend"], own["status"]) == ("20270611T160000Z", "20270611T170000Z", "CONFIRMED")
    assert kinds(emulators) == ["event.created", "event.created"]


async def test_what_people_added_to_the_event_stays(
    caldav: CalDav, emulators: Emulators, people: Callable[..., str]
) -> None:
    await caldav.apply(upsert(caldav))
    name = shown(emulators)[0]["uid"]
    people(
        name,
        "SUMMARY:Wedding Anna and Ben Fisher",
        "DTSTART:20270612T143000Z",
        "DURATION:PT8H",
        "ATTENDEE:mailto:caterer@example.com",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "DESCRIPTION:Leave now",
        "TRIGGER:-PT1H",
        "END:VALARM",
        calendar="team",
    )
    await caldav.apply(upsert(caldav, "2027-06-19"))
    found = Calendar.from_ical(shown(emulators)[0]["ics"]).events[0]
    assert (str(found["ATTENDEE"]), len(found.walk("VALARM"))) == ("mailto:caterer@example.com", 1)
    assert "DURATION" not in found
    assert found.end - found.start == timedelta(hours=8)


async def test_an_event_that_changes_between_read_and_write_is_not_overwritten(
    caldav: CalDav, emulators: Emulators, people: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await caldav.apply(upsert(caldav))
    name, read = shown(emulators)[0]["uid"], caldav._http.read

    async def read_and_be_overtaken(path: str) -> Any:
        found = await read(path)
        people(name, "SUMMARY:Mine", "DTSTART:20270612T143000Z", calendar="team")
        return found

    monkeypatch.setattr(caldav._http, "read", read_and_be_overtaken)
    found = await failure(caldav.apply(upsert(caldav, "2027-06-19")))
    assert (type(found), found.detail.code) == (Transient, "event_changed")
    assert "SUMMARY:Mine" in people(name, calendar="team")


async def test_a_write_whose_answer_was_dropped_is_found_and_not_repeated(caldav: CalDav, emulators: Emulators) -> None:
    emulators.fault("caldav", "drop_after_effect", method="PUT", count=1)
    step = upsert(caldav)
    assert await caldav.find(step) is None
    assert type(await failure(caldav.apply(step))) is OutcomeUnknown
    found = await caldav.find(step)
    assert found is not None
    assert found.replayed
    assert kinds(emulators) == ["event.created"]


@settings(max_examples=15)
@given(
    zone=st.sampled_from(["Etc/GMT+12", "America/St_Johns", "UTC", "Europe/London", "Asia/Kathmandu", "Etc/GMT-14"]),
    reader=st.sampled_from(["Etc/GMT+12", "UTC", "Pacific/Auckland", "Etc/GMT-14"]),
    day=st.dates(date(2026, 1, 1), date(2037, 12, 30)),
    clock=st.sampled_from([None, "00:00", "00:30", "23:30"]),
)
def test_f48_the_wedding_s_day_stays_the_venue_s_day_on_its_way_through_the_calendar(
    served_emulators: str, zone: str, reader: str, day: date, clock: str | None
) -> None:
    async def round_trip() -> None:
        async with emptied(served_emulators, timeZone=reader) as (caldav, emulators):
            await caldav.apply(upsert(caldav, day.isoformat(), clock, context={"timeZone": zone}))
            start = Calendar.from_ical(shown(emulators)[0]["ics"]).events[0].start
            whose = ZoneInfo(zone)
            if clock is None:
                assert start == day
                whose = ZoneInfo(reader)
            else:
                assert start == datetime.combine(day, time.fromisoformat(clock), whose)
                assert start.date() == day
            noted = datetime.combine(day, time.fromisoformat(clock or "00:00"), whose)
            found = await caldav.busy("team", noted - timedelta(days=2), noted + timedelta(days=2))
            assert [slot.starts_at for slot in found] == [noted]

    asyncio.run(round_trip())


@asynccontextmanager
async def emptied(root: str, **changed: Any) -> AsyncIterator[tuple[CalDav, Emulators]]:
    with loopback_client(root) as client:
        control = Emulators(client)
        control.reset()
        connector = opened(control.base_url("caldav"), **changed)
        yield connector, control
        await connector.aclose()


@pytest.mark.parametrize("make", [upsert, hold])
async def test_a_recalled_event_is_gone_however_often_it_is_recalled(
    caldav: CalDav, emulators: Emulators, make: Callable[[CalDav], EffectStep]
) -> None:
    step = make(caldav)
    await caldav.apply(step)
    for _ in range(2):
        await caldav.retract(standing(step))
    assert (shown(emulators), kinds(emulators)) == ([], ["event.created", "event.deleted"])


async def test_a_recalled_notification_leaves_what_a_later_one_wrote(caldav: CalDav, emulators: Emulators) -> None:
    first, later = upsert(caldav), about("2027-06-19").model_copy(update={"business_key": "route-0002"})
    await caldav.apply(first)
    await caldav.apply(caldav.plan(later)[0])
    await caldav.retract(standing(first))
    assert [event["dtstart"] for event in shown(emulators)] == ["20270619T153000"]


async def test_a_correction_rewrites_the_event_and_either_effect_recalls_it(
    caldav: CalDav, emulators: Emulators
) -> None:
    for recalled in range(2):
        steps = [upsert(caldav), upsert(caldav, "2027-06-19", notificationId="notif-0002")]
        steps[1] = steps[1].model_copy(update={"effect_id": "0" * 32})
        await caldav.apply(steps[0])
        await caldav.correct(standing(steps[0]), steps[1])
        assert [event["dtstart"] for event in shown(emulators)] == ["20270619T153000"]
        await caldav.retract(standing(steps[recalled]))
        assert shown(emulators) == []


async def test_an_event_that_is_gone_cannot_be_corrected(caldav: CalDav, emulators: Emulators) -> None:
    step = upsert(caldav)
    assert (await failure(caldav.correct(standing(step), step))).detail.code == "not_found"
    assert shown(emulators) == []


def test_a_notification_without_a_day_plans_nothing() -> None:
    assert opened("http://127.0.0.1:9").plan(about(None)) == []


@pytest.mark.parametrize(
    ("changed", "settings_", "code"),
    [
        ({}, {"calendar": None}, "calendar_missing"),
        ({}, {"calendar": "cellar"}, "calendar_unknown"),
        ({}, {"calendars": {"team": "/lumen/../harbour/"}, "calendar": "team"}, "calendar_path_invalid"),
        ({}, {"calendars": {"team": "https://elsewhere.example/"}, "calendar": "team"}, "calendar_path_invalid"),
        ({}, {"eventHours": "long"}, "event_hours_invalid"),
        ({"context": {"timeZone": "Mars/Base"}}, {}, "unknown_time_zone"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_call(
    changed: dict[str, Any], settings_: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        opened("http://127.0.0.1:9", **settings_).plan(about(**changed))
    assert caught.value.detail.code == code


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({}, "slot_missing"),
        (
            {"slot": {"resourceId": "orangery", "startsAt": "2027-06-12T12:00Z", "endsAt": "2027-06-12T12:00Z"}},
            "slot_invalid",
        ),
        (
            {"slot": {"resourceId": "cellar", "startsAt": "2027-06-12T12:00Z", "endsAt": "2027-06-12T13:00Z"}},
            "calendar_unknown",
        ),
        ({"slot": 7}, "metadata_invalid"),
    ],
)
def test_a_hold_of_no_slot_is_refused_before_any_call(metadata: dict[str, Any], code: str) -> None:
    one = delivery("caldav", metadata=metadata).model_copy(update={"intent": DeliveryIntent.HOLD})
    with pytest.raises(InvalidInput) as caught:
        opened("http://127.0.0.1:9").plan(one)
    assert caught.value.detail.code == code


async def test_the_probe_says_what_the_account_may_do(caldav: CalDav) -> None:
    found = await caldav.probe()
    assert (found.ok, found.features) == (True, ["read", "write"])


async def test_a_path_without_a_calendar_is_not_connected(emulators: Emulators) -> None:
    connector = opened(emulators.base_url("caldav"), calendars={"team": "/lumen/"})
    assert (await failure(connector.probe())).detail.code == "not_a_calendar"
    await connector.aclose()


async def test_a_wrong_password_asks_for_a_new_connection(emulators: Emulators) -> None:
    wrong = {"username": "lumen", "password": "sandbox-caldav-other-password"}
    connector = CalDav(connection("caldav", emulators.base_url("caldav"), wrong, calendars=CALENDARS))
    assert type(await failure(connector.probe())) is AuthExpired
    await connector.aclose()


async def test_a_neighbour_s_calendar_stays_closed(emulators: Emulators) -> None:
    connector = opened(emulators.base_url("caldav"), calendars={"team": "/harbour/team/"})
    assert (await failure(connector.busy("team", NOON, NOON + timedelta(hours=1)))).detail.code == "missing_permission"
    await connector.aclose()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthExpired), (403, Permanent), (409, Permanent), (507, OutcomeUnknown), (503, OutcomeUnknown)],
)
async def test_each_refused_write_becomes_the_error_that_recovers(
    caldav: CalDav, emulators: Emulators, status: int, kind: type[WedSyncError]
) -> None:
    emulators.fault("caldav", "status", method="PUT", status=status)
    assert type(await failure(caldav.apply(upsert(caldav)))) is kind


async def test_the_wait_the_server_asks_for_is_kept(caldav: CalDav, emulators: Emulators) -> None:
    emulators.fault("caldav", "rate_limit", retryAfter=7)
    found = await failure(caldav.apply(upsert(caldav)))
    assert (type(found), found.detail.retry_after_s) == (RateLimited, 7)


@pytest.mark.parametrize("fault", ["reset", "hang", "truncate", "html_login_page"])
async def test_a_write_without_a_usable_answer_is_unknown(caldav: CalDav, emulators: Emulators, fault: str) -> None:
    emulators.fault("caldav", fault, method="PUT", count=1)
    caldav._http._timeout_s = 0.5
    assert type(await failure(caldav.apply(upsert(caldav)))) is OutcomeUnknown


@pytest.mark.parametrize("fault", ["reset", "hang", "garbage", "truncate", "html_login_page"])
async def test_a_look_without_a_usable_answer_is_not_taken_for_free_time(
    caldav: CalDav, emulators: Emulators, fault: str
) -> None:
    emulators.fault("caldav", fault, method="REPORT", count=1)
    caldav._http._timeout_s = 0.5
    assert type(await failure(caldav.busy("orangery", NOON, NOON + timedelta(hours=1)))) is Transient


async def test_every_request_was_admitted(emulators: Emulators) -> None:
    admission = Counting()
    connector = opened(emulators.base_url("caldav"), admission)
    await connector.probe()
    for step in (upsert(connector), hold(connector)):
        await connector.apply(step)
        await connector.find(step)
        await connector.retract(standing(step))
    await connector.aclose()
    assert admission.calls == len(emulators.requests("caldav")) > 8


async def test_a_hold_is_not_begun_where_it_could_not_be_ended(emulators: Emulators) -> None:
    connector = opened(emulators.base_url("caldav"), Counting(room=4))
    assert type(await failure(connector.apply(hold(connector)))) is RateLimited
    assert emulators.requests("caldav") == []
    await connector.aclose()
