"""Tave against its emulated studio: the example's changes, repeats, refusals and lost answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from activities.connectors.booking.tave import Tave
from activities.transport.client import JsonClient
from contracts.effects import EffectStep, Rendered
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from tests.support.deliveries import PRIVATE_WORDS, ROUTING, connection, delivery, standing
from tests.support.emulators import Emulators
from tests.support.specs import OpenApi, SentRequest, specs_dir

KEY = {"apiKey": "sandbox-tave-key"}
METADATA = ROUTING["sourceNotification"]["metadata"]
CHANGES = METADATA["timelineChanges"]


@pytest.fixture
async def tave(emulators: Emulators) -> AsyncIterator[Tave]:
    connector = Tave(connection("tave", emulators.base_url("tave"), KEY, studioId="studio-1"))
    yield connector
    await connector.aclose()


def impatient(connector: Tave) -> Tave:
    """The connector with a total deadline of half a second."""
    connector._http = JsonClient("tave", connector._http._client, timeout_s=0.5)
    return connector


def moved_wedding(connector: Tave, day: str = "2027-06-13") -> list[EffectStep]:
    """The example with another day, so that the job changes too."""
    return connector.plan(delivery("tave", metadata=with_changes(newWeddingDate=day)))


def with_changes(**changes: Any) -> dict[str, Any]:
    return {**METADATA, "timelineChanges": {**CHANGES, **changes}}


def session_step(connector: Tave) -> EffectStep:
    return next(step for step in connector.plan(delivery("tave")) if step.kind == "event.update")


def note_step(connector: Tave) -> EffectStep:
    [step] = connector.plan(delivery("tave", type="client_message"))
    return step


async def failure(call: Callable[[EffectStep], Any], step: EffectStep) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        await call(step)
    told = caught.value.detail.model_dump_json() + str(caught.value)
    assert not [word for word in PRIVATE_WORDS if word in told]
    return caught.value


async def test_the_example_plans_one_job_and_one_session(tave: Tave) -> None:
    assert [(step.kind, step.object_id) for step in tave.plan(delivery("tave"))] == [
        ("job.update", "job-77"),
        ("event.update", "sess-1"),
    ]


async def test_the_example_leaves_the_session_at_its_new_time_and_place(tave: Tave, emulators: Emulators) -> None:
    for step in tave.plan(delivery("tave")):
        await tave.apply(step)
    [session] = emulators.objects("tave", "events")
    assert (session["startDate"], session["startTime"], session["endTime"]) == ("2027-06-12", "14:00:00", "22:00:00")
    assert session["location"]["address"]["streetAddress"] == "Hartwell House, Orangery"


async def test_a_moved_wedding_makes_one_job_update_and_one_session_update(tave: Tave, emulators: Emulators) -> None:
    for step in moved_wedding(tave):
        await tave.apply(step)
    assert [(one["kind"], one["objectId"]) for one in emulators.effects("tave")] == [
        ("job.updated", "job-77"),
        ("event.updated", "sess-1"),
    ]


async def test_a_merge_changes_no_other_field(tave: Tave, emulators: Emulators) -> None:
    before = emulators.objects("tave", "jobs")[0]
    await tave.apply(moved_wedding(tave)[0])
    after = emulators.objects("tave", "jobs")[0]
    assert {name for name in after if after[name] != before[name]} == {"eventDate", "modified"}


async def test_a_second_apply_writes_nothing(tave: Tave, emulators: Emulators) -> None:
    steps = moved_wedding(tave)
    for step in [*steps, *steps]:
        await tave.apply(step)
    assert [one["method"] for one in emulators.requests("tave")].count("PUT") == 2


async def test_a_client_message_becomes_one_escaped_note(tave: Tave, emulators: Emulators) -> None:
    words = Rendered(text="Anna & Ben <b>ask</b>\nfor a call")
    [step] = tave.plan(delivery("tave", rendered=words, type="client_message"))
    await tave.apply(step)
    [note] = emulators.objects("tave", "notes")
    assert note["contentHtml"].startswith("<p>Anna &amp; Ben &lt;b&gt;ask&lt;/b&gt;<br>for a call</p>")
    assert (note["jobId"], note["date"]) == ("job-77", "2027-06-01")


async def test_a_note_whose_answer_was_dropped_is_found_and_not_repeated(tave: Tave, emulators: Emulators) -> None:
    emulators.fault("tave", "drop_after_effect", method="POST", path="note", count=1)
    step = note_step(tave)
    assert type(await failure(tave.apply, step)) is OutcomeUnknown
    found = await tave.find(step)
    assert found is not None
    assert (found.remote_id, found.replayed) == (emulators.objects("tave", "notes")[0]["id"], True)
    assert len(emulators.effects("tave")) == 1


async def test_a_note_that_was_never_sent_is_not_found(tave: Tave) -> None:
    assert await tave.find(note_step(tave)) is None


async def test_another_note_on_the_job_is_not_mistaken_for_this_one(tave: Tave) -> None:
    [other] = tave.plan(delivery("tave", type="payment_received").model_copy(update={"business_key": "route-0002"}))
    await tave.apply(other)
    assert await tave.find(note_step(tave)) is None


async def test_an_update_whose_answer_was_dropped_is_found(tave: Tave, emulators: Emulators) -> None:
    emulators.fault("tave", "drop_after_effect", method="PUT", path="event", count=1)
    step = session_step(tave)
    assert await tave.find(step) is None
    assert type(await failure(tave.apply, step)) is OutcomeUnknown
    assert await tave.find(step) is not None


async def test_a_booking_status_moves_the_job_s_stage(tave: Tave, emulators: Emulators) -> None:
    facts = {"taveJobId": "job-77", "updatesBookingStatus": True, "newStatus": "fulfillment"}
    [step] = tave.plan(delivery("tave", type="status", metadata=facts))
    await tave.apply(step)
    assert (step.kind, emulators.objects("tave", "jobs")[0]["stage"]) == ("job.status", "fulfillment")


async def test_a_change_without_sessions_leaves_time_and_place_in_a_note(tave: Tave, emulators: Emulators) -> None:
    for step in tave.plan(delivery("tave", metadata=with_changes(affectedSessions=[]))):
        await tave.apply(step)
    assert (
        "New time: 15:30<br>New venue: Hartwell House, Orangery" in emulators.objects("tave", "notes")[0]["contentHtml"]
    )


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"metadata": {**METADATA, "taveJobId": None}}, "tave_job_missing"),
        ({"metadata": {"taveJobId": "job-77"}}, "timeline_changes_missing"),
        ({"metadata": {"taveJobId": "job-77", "timelineChanges": {}}}, "timeline_changes_empty"),
        ({"metadata": with_changes(affectedSessions=[{"sessionId": "sess-1"}])}, "session_change_empty"),
        ({"metadata": {**METADATA, "timelineChanges": 7}}, "metadata_invalid"),
        ({"metadata": {**METADATA, "updatesBookingStatus": True, "newStatus": "won"}}, "unknown_booking_status"),
        ({"weddingContext": {"weddingId": "wed-1001", "timeZone": "Mars/Base"}}, "unknown_time_zone"),
    ],
)
async def test_an_incomplete_notification_is_refused_before_any_call(
    tave: Tave, changed: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        tave.plan(delivery("tave", **changed))
    assert caught.value.detail.code == code


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthExpired), (403, Permanent), (404, Permanent), (422, Permanent), (503, OutcomeUnknown)],
)
async def test_each_refused_write_becomes_the_error_that_recovers(
    tave: Tave, emulators: Emulators, status: int, kind: type[WedSyncError]
) -> None:
    emulators.fault("tave", "status", method="PUT", status=status)
    assert type(await failure(tave.apply, session_step(tave))) is kind


async def test_an_unknown_job_is_not_found(tave: Tave) -> None:
    [job, *_] = tave.plan(delivery("tave", metadata={**METADATA, "taveJobId": "job-none"}))
    assert (await failure(tave.apply, job)).detail.code == "not_found"


async def test_the_wait_the_vendor_asks_for_is_kept(tave: Tave, emulators: Emulators) -> None:
    emulators.fault("tave", "rate_limit", retryAfter=7)
    found = await failure(tave.apply, session_step(tave))
    assert (type(found), found.detail.retry_after_s) == (RateLimited, 7)


@pytest.mark.parametrize("fault", ["reset", "hang", "garbage", "truncate", "html_login_page"])
async def test_a_write_without_a_usable_answer_is_unknown(tave: Tave, emulators: Emulators, fault: str) -> None:
    emulators.fault("tave", fault, method="POST", count=1)
    assert type(await failure(impatient(tave).apply, note_step(tave))) is OutcomeUnknown


@pytest.mark.parametrize("fault", ["reset", "hang", "garbage", "html_login_page"])
async def test_a_read_without_a_usable_answer_is_transient(tave: Tave, emulators: Emulators, fault: str) -> None:
    emulators.fault("tave", fault, method="GET", count=1)
    assert type(await failure(impatient(tave).find, session_step(tave))) is Transient


async def test_the_probe_names_the_studio(tave: Tave) -> None:
    found = await tave.probe()
    assert (found.ok, found.account, found.features) == (True, "studio-1", ["read", "write"])


async def test_a_wrong_key_asks_for_a_new_connection(emulators: Emulators) -> None:
    stranger = Tave(connection("tave", emulators.base_url("tave"), {"apiKey": "sandbox-other-key"}))
    with pytest.raises(AuthExpired):
        await stranger.probe()
    await stranger.aclose()


async def test_a_key_of_another_studio_is_refused(emulators: Emulators) -> None:
    stranger = Tave(connection("tave", emulators.base_url("tave"), KEY, studioId="studio-2"))
    with pytest.raises(Permanent) as caught:
        await stranger.probe()
    assert caught.value.detail.code == "wrong_account"
    await stranger.aclose()


async def test_every_request_is_one_the_vendor_describes(tave: Tave, emulators: Emulators, tmp_path: Path) -> None:
    packed = specs_dir("tave") / "vsco-workspace-v2-openapi.json.gz"
    described = tmp_path / "tave.json"
    described.write_bytes(gzip.decompress(packed.read_bytes()))
    base = httpx.URL(emulators.base_url("tave")).path
    sent: list[SentRequest] = []

    async def record(request: httpx.Request) -> None:
        body = json.loads(request.content) if request.content else None
        query = parse_qs(request.url.query.decode())
        sent.append(SentRequest(request.method, request.url.path.removeprefix(base), query, body))

    tave._http._client.event_hooks["request"].append(record)
    await tave.probe()
    for step in [*moved_wedding(tave), note_step(tave)]:
        effect = standing(step, await tave.apply(step))
        await tave.find(step)
        if step.kind in tave.manifest.reversible:
            await tave.correct(effect, step.model_copy(update={"payload": {**step.payload, "contentHtml": "<p>x</p>"}}))
            await tave.retract(effect)
    problems = [(one.method, one.path, problem) for one in sent for problem in OpenApi(described).problems(one)]
    assert (len(sent), problems) == (12, [])
