"""Tripleseat against its emulated site: moved events, notes that stand once, and rooms that are taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from activities.connectors.booking.tripleseat import Tripleseat
from activities.connectors.booking.tripleseat_events import moved, stands
from activities.transport.oauth import OAuthClient, TokenEndpoint
from contracts.effects import Delivery, EffectOutcome, EffectStep, Rendered, StandingEffect
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Transient, WedSyncError
from emulators import tripleseat as site
from tests.support.admissions import Counting
from tests.support.deliveries import OCCURRED_AT, PRIVATE_WORDS, ROUTING, connection, delivery
from tests.support.delivery_suite import DeliverySuite
from tests.support.emulators import Emulators

EMULATED = ("tripleseat",)
TOKEN = {"accessToken": "sandbox-tripleseat-token"}
ROOMS = {"orangery": "301", "ballroom": "302"}
EVENT = {"tripleseatEventId": "55001"}
CHANGES = ROUTING["sourceNotification"]["metadata"]["timelineChanges"]


@pytest.fixture
async def tripleseat(emulators: Emulators) -> AsyncIterator[Tripleseat]:
    connector = Tripleseat(connection("tripleseat", emulators.base_url("tripleseat"), TOKEN, rooms=ROOMS))
    yield connector
    await connector.aclose()


def steps(connector: Tripleseat, **metadata: Any) -> list[EffectStep]:
    return connector.plan(delivery("tripleseat", metadata={**EVENT, **metadata}))


def move(connector: Tripleseat, **changes: Any) -> EffectStep:
    return steps(connector, timelineChanges=changes)[0]


def note(connector: Tripleseat, **changed: Any) -> EffectStep:
    return connector.plan(delivery("tripleseat", metadata=EVENT, **changed))[-1]


def standing(step: EffectStep, outcome: EffectOutcome) -> StandingEffect:
    known = step.model_dump(include={"effect_id", "organization_id", "integration_id", "system", "kind", "object_id"})
    return StandingEffect(**known, remote_id=outcome.remote_id, workflow_id="run", applied_at=OCCURRED_AT)


def event(emulators: Emulators) -> dict[str, Any]:
    return emulators.objects("tripleseat", "events")[0]


def kinds(emulators: Emulators) -> list[str]:
    return [one["kind"] for one in emulators.effects("tripleseat")]


async def failure(call: Awaitable[Any]) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        await call
    told = caught.value.detail.model_dump_json() + str(caught.value)
    assert not [word for word in PRIVATE_WORDS if word in told]
    return caught.value


async def test_a_timeline_change_moves_the_event_and_leaves_a_note(
    tripleseat: Tripleseat, emulators: Emulators
) -> None:
    for step in steps(tripleseat, timelineChanges=CHANGES):
        await tripleseat.apply(step)
    assert (event(emulators)["event_start"], event(emulators)["event_end"]) == (
        "06/12/2027 03:30 PM",
        "06/12/2027 11:30 PM",
    )
    [written] = emulators.objects("tripleseat", "notes")
    assert "The ceremony now starts at 15:30" in written["body"]
    assert "New place: Hartwell House, Orangery" in written["body"]
    assert kinds(emulators) == ["event.updated", "note.created"]


async def test_a_moved_wedding_keeps_its_time_of_day_and_its_length(
    tripleseat: Tripleseat, emulators: Emulators
) -> None:
    await tripleseat.apply(move(tripleseat, newWeddingDate="2027-11-06"))
    found = event(emulators)
    assert (found["event_start"], found["event_end"]) == ("11/06/2027 02:00 PM", "11/06/2027 10:00 PM")


async def test_a_second_apply_writes_nothing(tripleseat: Tripleseat, emulators: Emulators) -> None:
    step = move(tripleseat, newWeddingDate="2027-06-19")
    outcomes = [await tripleseat.apply(step) for _ in range(2)]
    assert ([one.replayed for one in outcomes], kinds(emulators)) == ([False, True], ["event.updated"])


async def test_a_booking_status_changes_the_event_s_status(tripleseat: Tripleseat, emulators: Emulators) -> None:
    await tripleseat.apply(steps(tripleseat, updatesBookingStatus=True, newStatus="closed")[0])
    assert event(emulators)["status"] == "CLOSED"


@given(
    zone=st.sampled_from(["Etc/GMT+12", "America/St_Johns", "UTC", "Europe/London", "Asia/Kathmandu", "Etc/GMT-14"]),
    day=st.dates(datetime(2026, 1, 1).date(), datetime(2037, 12, 30).date()),  # noqa: DTZ001 - a day has no zone
    clock=st.sampled_from(["00:00:00", "00:30:00", "12:00:00", "23:30:00"]),
)
def test_f48_the_wedding_s_day_and_time_are_written_as_the_venue_reads_them(zone: str, day: Any, clock: str) -> None:
    before = {"event_start_utc": "2027-06-12T13:00:00Z", "event_end_utc": "2027-06-12T21:00:00Z"}
    wanted = {"date": day.isoformat(), "time": clock, "timeZone": zone}
    written = datetime.strptime(str(moved(before, wanted)["event_start"]), "%m/%d/%Y %I:%M %p")  # noqa: DTZ007 - the venue's
    instant = written.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    gone = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != written
    assert gone or (written.date(), written.time().isoformat()) == (day, clock)
    assert stands({"event_start_utc": instant.strftime("%Y-%m-%dT%H:%M:%SZ")}, wanted)


async def test_a_move_whose_answer_was_dropped_is_found(tripleseat: Tripleseat, emulators: Emulators) -> None:
    emulators.fault("tripleseat", "drop_after_effect", method="PUT", count=1)
    step = move(tripleseat, newWeddingDate="2027-06-19")
    assert await tripleseat.find(step) is None
    assert type(await failure(tripleseat.apply(step))) is OutcomeUnknown
    assert await tripleseat.find(step) is not None


async def test_a_note_whose_answer_was_dropped_is_found_among_more_than_a_page(
    tripleseat: Tripleseat, emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "_PAGE", 2)
    for number in range(4):
        other = delivery("tripleseat", metadata=EVENT).model_copy(update={"business_key": f"other-{number}"})
        await tripleseat.apply(tripleseat.plan(other)[-1])
    step = note(tripleseat)
    assert await tripleseat.find(step) is None
    emulators.fault("tripleseat", "drop_after_effect", method="POST", count=1)
    assert type(await failure(tripleseat.apply(step))) is OutcomeUnknown
    found = await tripleseat.find(step)
    assert found is not None
    assert found.remote_id == str(emulators.objects("tripleseat", "notes")[-1]["id"])


async def test_a_recalled_note_is_gone_however_often_it_is_recalled(
    tripleseat: Tripleseat, emulators: Emulators
) -> None:
    step = note(tripleseat)
    effect = standing(step, await tripleseat.apply(step))
    for _ in range(2):
        await tripleseat.retract(effect)
    assert (emulators.objects("tripleseat", "notes"), kinds(emulators)) == ([], ["note.created", "note.deleted"])


async def test_a_correction_rewrites_the_note(tripleseat: Tripleseat, emulators: Emulators) -> None:
    step = note(tripleseat)
    effect = standing(step, await tripleseat.apply(step))
    await tripleseat.correct(effect, note(tripleseat, title="Ceremony at 16:00"))
    assert [one["body"][:17] for one in emulators.objects("tripleseat", "notes")] == ["Ceremony at 16:00"]


async def test_a_note_that_is_gone_cannot_be_corrected(tripleseat: Tripleseat) -> None:
    effect = standing(note(tripleseat), EffectOutcome(remote_id="99"))
    assert (await failure(tripleseat.correct(effect, note(tripleseat)))).detail.code == "not_found"


async def test_a_room_is_taken_from_set_up_to_tear_down(tripleseat: Tripleseat) -> None:
    day = datetime(2027, 6, 12, tzinfo=UTC)
    [slot] = await tripleseat.busy("orangery", day, day + timedelta(days=1))
    assert (slot.starts_at, slot.ends_at, slot.booking_id) == (
        day.replace(hour=12),
        day.replace(hour=21, minute=30),
        "44001",
    )


@pytest.mark.parametrize(
    ("begin", "end", "taken"),
    [("10:00", "12:00", 0), ("10:00", "12:01", 1), ("21:30", "23:00", 0), ("21:29", "23:00", 1), ("13:00", "14:00", 1)],
)
async def test_a_room_is_taken_only_where_times_overlap(
    tripleseat: Tripleseat, begin: str, end: str, taken: int
) -> None:
    bounds = [datetime.fromisoformat(f"2027-06-12T{clock}+00:00") for clock in (begin, end)]
    assert len(await tripleseat.busy("orangery", *bounds)) == taken


async def test_every_page_of_events_is_looked_through(
    tripleseat: Tripleseat, emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "_PAGE", 1)
    day = datetime(2027, 6, 12, tzinfo=UTC)
    assert [slot.booking_id for slot in await tripleseat.busy("ballroom", day, day + timedelta(days=1))] == ["44002"]
    assert len(emulators.requests("tripleseat")) == 3


async def test_a_room_that_is_not_mapped_is_not_taken_for_free(tripleseat: Tripleseat) -> None:
    found = await failure(tripleseat.busy("cellar", OCCURRED_AT, OCCURRED_AT + timedelta(hours=1)))
    assert (type(found), found.detail.code) == (InvalidInput, "room_unknown")


@pytest.mark.parametrize("fault", ["reset", "hang", "garbage", "html_login_page", "schema_drift"])
async def test_a_look_without_a_usable_answer_is_not_taken_for_free_time(
    tripleseat: Tripleseat, emulators: Emulators, fault: str
) -> None:
    emulators.fault("tripleseat", fault, method="GET", count=1)
    tripleseat._http._timeout_s = 0.5
    found = await failure(tripleseat.busy("orangery", OCCURRED_AT, OCCURRED_AT + timedelta(hours=1)))
    assert type(found) is Transient


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"metadata": {}}, "tripleseat_event_missing"),
        ({"metadata": {**EVENT, "timelineChanges": 7}}, "metadata_invalid"),
        ({"metadata": {**EVENT, "updatesBookingStatus": True, "newStatus": "won"}}, "unknown_booking_status"),
        (
            {
                "metadata": {**EVENT, "timelineChanges": CHANGES},
                "weddingContext": {"weddingId": "wed-1001", "timeZone": "Mars/Base"},
            },
            "unknown_time_zone",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_call(changed: dict[str, Any], code: str) -> None:
    connector = Tripleseat(connection("tripleseat", "http://127.0.0.1:9", TOKEN))
    with pytest.raises(InvalidInput) as caught:
        connector.plan(delivery("tripleseat", **changed))
    assert caught.value.detail.code == code


async def test_an_unknown_event_is_not_found(tripleseat: Tripleseat) -> None:
    [step] = tripleseat.plan(delivery("tripleseat", metadata={"tripleseatEventId": "99"}))
    assert (await failure(tripleseat.apply(step))).detail.code == "not_found"


async def test_the_words_of_a_template_become_the_note(tripleseat: Tripleseat) -> None:
    words = note(tripleseat, rendered=Rendered(text="Menu: vegetarian")).payload["body"]
    assert str(words).startswith("Menu: vegetarian\n")


async def test_the_probe_names_the_site(tripleseat: Tripleseat) -> None:
    found = await tripleseat.probe()
    assert (found.ok, found.account) == (True, "7001")


@pytest.mark.parametrize("given_token", ["expired", "foreign"])
async def test_a_token_that_does_not_live_asks_for_a_new_connection(emulators: Emulators, given_token: str) -> None:
    lives = given_token != "expired"
    token = "sandbox-other-token" if lives else emulators.grant("tripleseat", lifetimeS=0)["accessToken"]
    connector = Tripleseat(connection("tripleseat", emulators.base_url("tripleseat"), {"accessToken": token}))
    assert type(await failure(connector.probe())) is AuthExpired
    await connector.aclose()


async def test_an_access_that_was_consented_to_is_renewed_and_opens_the_api(emulators: Emulators) -> None:
    root, app = (
        emulators.base_url("tripleseat"),
        OAuthClient("sandbox-tripleseat-client", SecretStr("sandbox-tripleseat-secret")),
    )
    profile = Tripleseat.manifest.oauth
    assert profile is not None
    endpoint = TokenEndpoint(connection("tripleseat", root, {}), profile, app)
    renewed = await endpoint.refresh(emulators.grant("tripleseat")["refreshToken"])
    await endpoint.aclose()
    connector = Tripleseat(connection("tripleseat", root, {"accessToken": renewed.access_token}))
    assert (await connector.probe()).ok
    assert renewed.life_s == profile.default_life_s
    await connector.aclose()


async def test_every_request_was_admitted(emulators: Emulators) -> None:
    admission = Counting()
    mine = connection("tripleseat", emulators.base_url("tripleseat"), TOKEN, rooms=ROOMS)
    connector = Tripleseat(replace(mine, admission=admission))
    await connector.probe()
    for step in steps(connector, timelineChanges=CHANGES):
        made = await connector.apply(step)
        await connector.find(step)
    await connector.correct(standing(step, made), step)
    await connector.retract(standing(step, made))
    await connector.busy("orangery", OCCURRED_AT, OCCURRED_AT + timedelta(days=30))
    await connector.aclose()
    assert admission.calls == len(emulators.requests("tripleseat")) > 7


class TestTripleseat(DeliverySuite):
    """A note, held to what every delivery promises."""

    connector_class = Tripleseat
    credential = TOKEN
    write_path = "notes"
    created = "note.created"

    def delivery(self) -> Delivery:
        return delivery("tripleseat", metadata=EVENT)
