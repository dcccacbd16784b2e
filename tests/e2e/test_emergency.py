"""Emergencies on the real stack: the plain Temporal CLI, a killed worker, a worker that has stopped, policies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from contracts import names
from starters.client import open_wedsync
from starters.schedules import watch_schedules
from tests.e2e.conftest import RunningStack
from tests.e2e.documents import ORGANIZATION, SLACK, routing
from tests.support.emulators import Emulators
from workers.engine import binary
from workers.settings import Settings

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 240
WAITING = 10


def example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return found


@pytest.fixture(scope="module")
def reachable(stack: RunningStack) -> RunningStack:
    """The stack with every channel of the example connected."""
    stack.connect(SLACK)
    for name in ("twilio", "pagerduty"):
        stack.connect({**example(f"integration-{name}"), "integrationId": f"{name}-main"})
    return stack


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)  # noqa: TID251 - a test outside Temporal


def alert(alert_id: str, *, within: str = "PT2S", title: str = "Lightning") -> dict[str, Any]:
    """Return the example with an id of its own and little time."""
    given = example("emergency-alert")
    notification = {**given["notification"], "notificationId": f"n-{alert_id}", "title": f"{title} {alert_id}"}
    levels = [{**level, "ackWithin": within} for level in given["escalation"]]
    return {**given, "alertId": alert_id, "notification": notification, "escalation": levels}


def posted(emulators: Emulators, system: str, words: str) -> int:
    """Return how many messages or alerts of these words a vendor has taken."""
    made = {"message.posted", "message.created", "alert.triggered"}
    return sum(words in str(item["body"]) for item in emulators.effects(system) if item["kind"] in made)


def test_the_example_as_it_is_through_the_plain_temporal_cli_and_its_acknowledgement(
    reachable: RunningStack, emulators: Emulators
) -> None:
    given = example("emergency-alert")
    command = [
        *(str(binary("temporal")), "workflow", "start", "--address", reachable.ready["temporal"]),
        *("--type", "RaiseEmergency", "--task-queue", "emergency", "--workflow-id"),
        *(names.emergency_workflow_id(ORGANIZATION, given["alertId"]), "--input", json.dumps(given)),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
    until(lambda: posted(emulators, "slack", given["notification"]["title"]))
    answer = reachable.json("ack", given["alertId"], "--by", "planner", "--organization", ORGANIZATION)
    again = reachable.cli("ack", given["alertId"], "--by", "somebody", "--organization", ORGANIZATION, "--json")
    assert answer["accepted"]
    assert again.returncode == 1
    assert "by planner" in json.loads(again.stdout)["message"]
    shown = [item for item in emulators.objects("slack", "messages") if given["notification"]["title"] in item["text"]]
    until(lambda: "Acknowledged by planner" in emulators.objects("slack", "messages")[-1]["text"])
    assert len(shown) == 1
    assert posted(emulators, "twilio", given["notification"]["title"]) == 0


def test_f1_a_killed_worker_loses_no_level_and_alerts_nobody_twice(
    reachable: RunningStack, emulators: Emulators, fresh: str
) -> None:
    reachable.json("emergency", reachable.file(alert(fresh, within="PT4S")), "--no-wait")
    until(lambda: posted(emulators, "slack", fresh))
    os.kill(reachable.parts()["emergencies"], signal.SIGKILL)
    until(lambda: posted(emulators, "pagerduty", fresh))
    reachable.json("ack", fresh, "--by", "planner", "--organization", ORGANIZATION)
    assert [posted(emulators, system, f"Lightning {fresh}") for system in ("slack", "pagerduty")] == [1, 1]
    until(lambda: posted(emulators, "twilio", f"Acknowledged: Lightning {fresh}"))
    assert posted(emulators, "twilio", f"Lightning {fresh}") == 2


def test_f58_with_every_other_worker_at_a_standstill_and_its_queue_full_an_emergency_goes_out(
    reachable: RunningStack, emulators: Emulators, fresh: str
) -> None:
    others = psutil.Process(reachable.parts()["worker"])
    others.suspend()
    try:
        for number in range(WAITING):
            reachable.json("notify", reachable.file(routing(f"{fresh}-{number}")), "--no-wait")
        reachable.json("emergency", reachable.file(alert(fresh, within="PT60S")), "--no-wait")
        until(lambda: posted(emulators, "slack", f"Lightning {fresh}"))
        answer = reachable.json("ack", fresh, "--by", "planner", "--organization", ORGANIZATION)
        assert posted(emulators, "slack", f"moved to 15:30 ({fresh}") == 0
    finally:
        others.resume()
    assert answer["accepted"]
    # What comes after this test counts messages too.
    until(lambda: posted(emulators, "slack", f"moved to 15:30 ({fresh}") == WAITING)


def test_an_emergency_worker_that_has_stopped_is_noticed_by_another_process_and_told_once(
    reachable: RunningStack, emulators: Emulators, fresh: str
) -> None:
    routes = {"routes": [{"integrationId": "slack-main", "channels": [{"channelId": "C0BOOKINGS"}]}]}
    reachable.json("health", "routes", reachable.file({**routes, "organizationId": ORGANIZATION}))
    worker = psutil.Process(reachable.parts()["emergencies"])
    worker.suspend()
    try:
        reachable.json("emergency", reachable.file(alert(fresh)), "--no-wait")
        until(lambda: audited(reachable) and told(emulators, fresh))
        examined = {one["name"]: one for one in json.loads(reachable.cli("doctor", "--json").stdout)["checks"]}
        audited(reachable)
    finally:
        worker.resume()
    until(lambda: posted(emulators, "slack", f"Lightning {fresh}"))
    reachable.json("ack", fresh, "--by", "planner", "--organization", ORGANIZATION)
    assert told(emulators, fresh) == 1
    assert fresh in examined["emergencies"]["found"]
    assert told(emulators, "No worker takes emergencies") <= 1


def test_a_storm_over_todays_wedding_is_one_emergency_and_its_end_an_all_clear(
    reachable: RunningStack, emulators: Emulators, fresh: str
) -> None:
    reachable.connect(example("integration-weather"))
    chat = {**example("emergency-alert")["escalation"][0]["targets"][0], "failover": []}
    place = {"latitude": 40.75, "longitude": -73.5}
    policy = {
        "policyId": fresh,
        "organizationId": ORGANIZATION,
        "contacts": [{"contactId": "planner", "channels": [chat]}],
        "levels": [{"ackWithin": "PT60S", "contacts": ["planner"]}],
        "weddingDays": [{"weddingId": fresh, "date": datetime.now(UTC).date().isoformat(), **place}],
    }
    reachable.json("emergency", "policy", "set", reachable.file(policy))
    event = {"event": f"Storm {fresh}"}
    issued = emulators.control("weather", "alerts", {**place, "alert": event})
    watched(reachable)
    until(lambda: posted(emulators, "slack", fresh))
    watched(reachable)
    assert posted(emulators, "slack", f"Storm {fresh}") == 1
    emulators.control("weather", "alerts", {**place, "replaces": issued["id"], "alert": {"messageType": "Cancel"}})
    until(lambda: watched(reachable) and "All clear" in str(emulators.objects("slack", "messages")))


def told(emulators: Emulators, words: str) -> int:
    """Return how many alerts of these words stand in the chat's channel for operators."""
    stopped = [item for item in emulators.effects("slack") if "do not escalate" in str(item["body"])]
    return sum(words in str(item["body"]) for item in stopped)


def audited(stack: RunningStack) -> bool:
    """Have the auditor look now, and give it time."""
    return triggered(stack, names.AUDIT_SCHEDULE_ID)


def watched(stack: RunningStack) -> bool:
    """Have the weather over all weddings looked at now."""
    return triggered(stack, *watch_schedules())


def triggered(stack: RunningStack, *schedule_ids: str) -> bool:
    async def trigger() -> None:
        async with open_wedsync(Settings(data_dir=stack.data_dir).on_stack()) as wedsync:
            for schedule_id in schedule_ids:
                await wedsync.client.get_schedule_handle(schedule_id).trigger()

    with suppress(TimeoutError):
        asyncio.run(trigger())
    time.sleep(3)  # noqa: TID251 - a test outside Temporal
    return True


def test_a_policy_is_saved_rehearsed_and_followed(
    reachable: RunningStack, emulators: Emulators, api: httpx.Client, fresh: str
) -> None:
    channel = example("emergency-alert")["escalation"][0]["targets"][0]
    contact = {"contactId": "planner", "channels": [{**channel, "failover": []}]}
    policy = {
        "policyId": fresh,
        "organizationId": ORGANIZATION,
        "contacts": [contact],
        "levels": [{"ackWithin": "PT60S", "contacts": ["planner"]}],
    }
    unsound = {**policy, "levels": [{"ackWithin": "PT0S", "contacts": ["nobody"]}]}
    refused = reachable.cli("emergency", "policy", "set", reachable.file(unsound))
    assert refused.returncode == 1
    assert all(word in refused.stderr for word in ("nobody", "ackWithin"))
    reachable.json("emergency", "policy", "set", reachable.file(policy))
    result = reachable.json("emergency", "drill", fresh, "--organization", ORGANIZATION, "--pace", "6")
    assert (result["outcome"], [one["status"] for one in result["deliveries"]]) == ("drilled", ["success"])
    raised = {**alert(f"a-{fresh}"), "policyId": fresh, "escalation": []}
    path = f"/v1/organizations/{ORGANIZATION}/emergencies"
    assert api.post(path, json=raised).status_code == 202
    until(lambda: posted(emulators, "slack", f"Lightning a-{fresh}"))
    answer = api.post(f"{path}/a-{fresh}/ack", json={"acknowledgedBy": "planner"}).json()
    assert answer["accepted"]
    assert api.get(f"{path}/a-{fresh}").json()["outcome"] == "acknowledged"
