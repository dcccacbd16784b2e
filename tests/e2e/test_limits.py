"""Vendors' limits as a running stack keeps them."""

from __future__ import annotations

import itertools
import time
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import RunningStack
from tests.e2e.documents import ORGANIZATION, SLACK, routing
from tests.support.emulators import Emulators

BASE = f"/v1/organizations/{ORGANIZATION}"
PAUSE_S = 4


@pytest.fixture
def chat(stack: RunningStack, emulators: Emulators) -> Emulators:
    """The connected chat account without faults."""
    stack.connect(SLACK)
    emulators.clear_faults("slack")
    return emulators


def instants(requests: list[dict[str, Any]]) -> list[float]:
    return [datetime.fromisoformat(item["at"]).timestamp() for item in requests]


def send(api: httpx.Client, name: str) -> str:
    return str(api.post(f"{BASE}/notifications", json=routing(name)).raise_for_status().headers["location"])


def result(api: httpx.Client, location: str) -> str:
    while (view := api.get(location).raise_for_status().json())["status"] == "running":
        time.sleep(0.5)  # noqa: TID251 - a test outside Temporal
    return str(view["result"]["overallStatus"])


def test_f18_after_a_429_the_whole_connection_is_silent_for_as_long_as_the_vendor_asked(
    api: httpx.Client, chat: Emulators
) -> None:
    seen = max((item["seq"] for item in chat.requests("slack")), default=0)
    chat.fault("slack", "rate_limit", path="chat.postMessage", retryAfter=PAUSE_S, count=1)
    sent = [send(api, "f18-first")]
    while not any(item["status"] == httpx.codes.TOO_MANY_REQUESTS for item in chat.requests("slack", since=seen)):
        time.sleep(0.1)  # noqa: TID251 - a test outside Temporal
    sent += [send(api, f"f18-{number}") for number in range(4)]
    assert [result(api, location) for location in sent] == ["success"] * 5
    # Health checks of other accounts are no part of this connection.
    asked = [item for item in chat.requests("slack", since=seen) if item["path"].endswith("chat.postMessage")]
    (refused,) = instants([item for item in asked if item["status"] == httpx.codes.TOO_MANY_REQUESTS])
    assert [instant for instant in instants(asked) if refused < instant < refused + PAUSE_S] == []


def test_notifications_keep_the_pace_of_their_account(api: httpx.Client, chat: Emulators) -> None:
    seen = max((item["seq"] for item in chat.requests("slack")), default=0)
    sent = [send(api, f"f57-pace-{number}") for number in range(4)]
    assert [result(api, location) for location in sent] == ["success"] * 4
    asked = [item for item in chat.requests("slack", since=seen) if item["path"].endswith("chat.postMessage")]
    times = sorted(instants(asked))
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(times))


def test_an_account_s_own_limit_is_shown_and_taken_away(stack: RunningStack, chat: Emulators) -> None:
    command = ("integrations", "limits", "slack-main", "--organization", ORGANIZATION)
    own = stack.json(*command, "--set", "50/60")
    assert (own["limit"], own["own"]) == ({"requests": 50, "perS": 60.0}, True)
    usual = stack.json(*command, "--set", "default")
    assert (usual["limit"], usual["own"], usual["circuit"]) == ({"requests": 1, "perS": 1.0}, False, "closed")


def test_the_limits_of_a_foreign_connection_are_not_found(api: httpx.Client, chat: Emulators) -> None:
    assert api.get(f"{BASE}/integrations/not-there/limits").status_code == httpx.codes.NOT_FOUND
    assert api.get(f"{BASE}/integrations/slack-main/limits").json()["limit"] == {"requests": 1, "perS": 1.0}
