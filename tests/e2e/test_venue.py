"""A venue's change on the whole stack: answers get lost and workers die, and everybody hears of it once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import ROOT, RunningStack
from tests.e2e.documents import ORGANIZATION
from tests.support.emulators import Emulators

BASE = f"/v1/organizations/{ORGANIZATION}"
INTENDED = {
    "tripleseat": {"event.updated": 1, "note.created": 1},
    "caldav": {"event.created": 1},
    "square": {"order.updated": 1},
    "asana": {"task.created": 1, "story.created": 1},
}
WRITTEN = {"tripleseat": ("PUT", "POST"), "caldav": ("PUT",), "square": ("PUT",), "asana": ("POST",)}


def example(name: str) -> Any:
    return json.loads((ROOT / "examples" / f"{name}.json").read_text())


@pytest.fixture
def venue(api: httpx.Client, emulators: Emulators) -> Iterator[Emulators]:
    """The venue's systems, as they are right after they were connected, before the test and after it."""
    if not all(emulators.restore(name) for name in INTENDED):
        emulators.reset(*INTENDED)
        for name in INTENDED:
            answer = api.post(f"{BASE}/integrations", json=example(f"integration-{name}"))
            assert answer.is_success, answer.text
            emulators.snapshot(name)
            emulators.restore(name)
    yield emulators
    for name in INTENDED:
        emulators.restore(name)


def started(api: httpx.Client, routing_id: str) -> str:
    given = example("route-notification-venue")
    targets = [one for one in given["targetSystems"] if one["systemType"] in INTENDED]
    targets.append({"systemId": "planner", "systemType": "asana", "integrationId": "asana-main"})
    sent = {**given, "routingId": routing_id, "targetSystems": targets}
    return str(api.post(f"{BASE}/notifications", json=sent).raise_for_status().headers["location"])


def ended(api: httpx.Client, location: str) -> str:
    while (view := api.get(location).raise_for_status().json())["status"] == "running":
        time.sleep(1)  # noqa: TID251 - a test outside Temporal
    return str(view["outcome"])


def applied(venue: Emulators) -> dict[str, dict[str, int]]:
    return {name: dict(Counter(item["kind"] for item in venue.effects(name))) for name in INTENDED}


def test_f21_answers_that_are_lost_after_the_effect_double_nothing(
    venue: Emulators, api: httpx.Client, fresh: str
) -> None:
    for name, methods in WRITTEN.items():
        for method in methods:
            venue.fault(name, "drop_after_effect", method=method, count=1)
    assert ended(api, started(api, fresh)) == "success"
    assert applied(venue) == INTENDED
    assert all(any(item["status"] == 0 for item in venue.requests(name)) for name in INTENDED)


def test_a_worker_killed_while_it_waits_for_the_calendar_doubles_nothing(
    stack: RunningStack, venue: Emulators, api: httpx.Client, fresh: str
) -> None:
    venue.fault("caldav", "hang", method="PUT", delayS=20, count=1)
    location = started(api, fresh)
    while not any(item["method"] == "PUT" for item in venue.requests("caldav")):
        time.sleep(0.2)  # noqa: TID251 - a test outside Temporal
    os.kill(stack.parts()["worker"], signal.SIGKILL)
    assert ended(api, location) == "success"
    assert applied(venue) == INTENDED
