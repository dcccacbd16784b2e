"""Double bookings on the real server: the example through Temporal's own command line, races, and a killed worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
from pydantic import SecretStr

from contracts.names import conflict_workflow_id
from contracts.notification import Slot
from contracts.resource_day import ConfirmBooking, SlotAnswer
from starters.client import open_wedsync
from starters.demo.double_booking import double_booking
from starters.stack import SANDBOX_REPORT_TOKEN
from tests.e2e.conftest import ROOT, RunningStack
from tests.e2e.documents import ORGANIZATION, SLACK
from tests.e2e.test_demo import differences
from tests.e2e.test_hooks import pressed, send
from tests.support.emulators import Emulators
from workers.engine import binary
from workers.settings import Settings

T = TypeVar("T")
EXAMPLE = (ROOT / "examples" / "booking-conflict.json").read_text()
TAVE = {
    "integrationId": "tave-main",
    "organizationId": ORGANIZATION,
    "platform": "tave",
    "connectionConfig": {"credential": {"apiKey": "sandbox-tave-key"}},
}
_PATIENCE_S = 120


@pytest.fixture
def studio(stack: RunningStack) -> RunningStack:
    """The session's stack with a booking system and a chat connected."""
    stack.connect(TAVE)
    stack.connect(SLACK)
    return stack


def until(found: Callable[[], T]) -> T:
    ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends:
        answer = found()
        if answer:
            return answer
        time.sleep(0.2)  # noqa: TID251
    pytest.fail("it never came about")


def slot(hour: int) -> Slot:
    begins = datetime(2028, 6, 10, 6, tzinfo=UTC) + timedelta(hours=hour)
    return Slot(resource_id="ph-9", starts_at=begins, ends_at=begins + timedelta(hours=2))


async def race(stack: RunningStack, hours: range, runners: int) -> list[list[SlotAnswer]]:
    """Have as many bookings confirm each hour's slot at once."""
    settings = Settings(
        data_dir=stack.data_dir,
        temporal_address=stack.ready["temporal"],
        emulators_url=stack.ready["emulators"],
        report_token=SecretStr(SANDBOX_REPORT_TOKEN),
        answer_timeout_s=_PATIENCE_S,
    )
    async with open_wedsync(settings) as wedsync:
        return [
            list(
                await asyncio.gather(
                    *(
                        wedsync.conflicts.confirm(
                            ConfirmBooking(
                                organization_id=ORGANIZATION,
                                integration_id="tave-main",
                                booking_id=f"race-{hour}-{runner}",
                                slot=slot(hour),
                            )
                        )
                        for runner in range(runners)
                    )
                )
            )
            for hour in hours
        ]


def test_the_example_runs_through_temporals_own_command_line_and_is_decided_over_http(
    studio: RunningStack, emulators: Emulators, api: httpx.Client
) -> None:
    run = conflict_workflow_id(ORGANIZATION, "tave-main", "conf-0001")
    path = f"/v1/organizations/{ORGANIZATION}/conflicts"
    command = [str(binary("temporal")), "workflow", "start", "--address", studio.ready["temporal"]]
    command += ["--type", "ResolveBookingConflict", "-t", "orchestration", "-w", run, "-i", EXAMPLE]
    subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE_S)
    until(lambda: _messages(emulators, "12 Jun 2027"))
    pending = api.get(f"{path}/conf-0001").json()["resolution"]
    decided = api.post(f"{path}/conf-0001/decision", json={"choice": "job-91", "decidedBy": "planner"}).json()
    late = studio.cli("conflicts", "decide", "conf-0001", "job-77", "--organization", ORGANIZATION)
    done = until(lambda: _resolved(studio, "conf-0001"))
    listed = until(lambda: [one for one in api.get(path).json()["conflicts"] if one["runId"]])
    cli = studio.json("conflicts", "list", "--organization", ORGANIZATION)["conflicts"]
    assert "conf-0001" in {one["conflictId"] for one in cli}
    assert (pending["status"], pending["winningBookingId"]) == ("pending_resolution", None)
    assert (decided["accepted"], decided["winningBookingId"]) == (True, "job-91")
    assert (late.returncode, "decided before by planner" in late.stderr) == (1, True)
    assert (done["status"], done["winningBookingId"], done["error"]) == ("resolved", "job-91", None)
    assert "conf-0001" in {one["resolution"]["conflictId"] for one in listed}
    jobs = {one["id"]: one["stage"] for one in emulators.objects("tave", "jobs")}
    notes = [one["jobId"] for one in emulators.objects("tave", "notes") if "Conflict conf-0001" in one["contentHtml"]]
    [session] = [one for one in emulators.objects("tave", "events") if one["id"] == "sess-1"]
    assert (jobs["job-91"], jobs["job-77"], session["confirmed"]) == ("booked", "lead", False)
    assert (notes.count("job-77"), notes.count("job-91")) == (2, 2)
    [question] = [one for one in emulators.objects("slack", "messages") if "job-91 keeps" in str(one)]
    assert "Decided by planner: job-91 keeps" in str(question)


def test_a_pressed_button_decides_and_the_question_shows_it(
    studio: RunningStack, emulators: Emulators, fresh: str
) -> None:
    document = json.loads(EXAMPLE)
    document["conflicts"][0] |= {"conflictId": fresh, "conflictDate": "2027-07-10", "type": "day_off"}
    studio.json("conflicts", "raise", studio.file(document))
    question = until(lambda: _messages(emulators, "10 Jul 2027"))
    hook = studio.json("integrations", "hook", "slack-main", "--organization", ORGANIZATION)["url"]
    answers = [send(hook, pressed(question[0], choice, "U0PLANNER")) for choice in ("job-77", "job-91")]
    done = until(lambda: _resolved(studio, fresh))
    [answered] = _messages(emulators, "10 Jul 2027")
    assert [one.status_code for one in answers] == [200, 200]
    assert (done["status"], done["winningBookingId"], done["decidedBy"]) == ("resolved", "job-77", "U0PLANNER")
    assert "Decided by U0PLANNER: job-77 keeps" in answered["text"]
    assert "actions" not in {block["type"] for block in answered["blocks"]}


def _messages(emulators: Emulators, text: str) -> list[dict[str, Any]]:
    return [one for one in emulators.objects("slack", "messages") if text in one["text"]]


def _resolved(studio: RunningStack, conflict: str) -> Any:
    found = studio.json("conflicts", "show", conflict, "--organization", ORGANIZATION)
    return found if found["status"] != "pending_resolution" else None


async def test_f46_a_hundred_confirmations_of_each_of_three_slots_leave_one_winner_each(studio: RunningStack) -> None:
    for answers in await race(studio, range(0, 12, 4), runners=100):
        [winner] = [one for one in answers if one.accepted]
        refused = [one for one in answers if not one.accepted]
        assert {tuple(one.held_by) for one in refused} == {tuple(winner.hold.booking_ids)}
        assert all(one.alternatives and one.conflict for one in refused)


async def test_a_killed_worker_forgets_no_booking(studio: RunningStack) -> None:
    [[first]] = await race(studio, range(20, 21), runners=1)
    os.kill(studio.parts()["worker"], signal.SIGKILL)
    [answers] = await race(studio, range(20, 21), runners=3)
    assert first.accepted
    assert [one.accepted for one in answers] == [True, False, False]


def test_a_confirmation_over_http_is_answered_once_and_the_next_one_is_told_who_has_the_slot(
    studio: RunningStack, api: httpx.Client
) -> None:
    path = f"/v1/organizations/{ORGANIZATION}/confirmations"
    bodies = [
        {"integrationId": "tave-main", "bookingId": booking, "slot": slot(60).model_dump(mode="json")}
        for booking in ("http-1", "http-1", "http-2")
    ]
    first, again, second = [api.post(path, json=body).json() for body in bodies]
    assert (first["accepted"], again["hold"]["holdId"]) == (True, first["hold"]["holdId"])
    assert (second["accepted"], second["heldBy"], bool(second["alternatives"])) == (False, ["http-1"], True)


def test_another_organisation_s_conflicts_are_not_found(studio: RunningStack, api: httpx.Client) -> None:
    path = "/v1/organizations/other-studio/conflicts"
    raised = api.post(path, json={**json.loads(EXAMPLE), "organizationId": "other-studio"})
    assert (raised.status_code, raised.json()["code"]) == (404, "integration_not_found")
    assert api.get(f"{path}/conf-0001").json()["code"] == "conflict_not_found"
    assert api.get(path).json() == {"conflicts": []}


async def test_the_demo_of_a_double_booking_finds_what_it_expects(stack: RunningStack, tmp_path: Any) -> None:
    assert await differences(double_booking, stack, tmp_path) == []
