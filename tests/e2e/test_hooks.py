"""Webhooks against a real stack: whom they concern, who may send them, and what comes of them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.e2e.conftest import RunningStack
from tests.e2e.documents import HUBSPOT, ORGANIZATION, automation, routing, wedding
from tests.support.emulators import Emulators

SECRET = "sandbox-slack-signing-secret"


@pytest.fixture
def url(connected: RunningStack) -> str:
    return str(connected.json("integrations", "hook", "slack-main", "--organization", ORGANIZATION)["url"])


def pressed(message: dict[str, Any], action: str = "ack", user: str = "U0PLANNER") -> bytes:
    [button] = [
        element
        for block in message["blocks"]
        if block["type"] == "actions"
        for element in block["elements"]
        if element["action_id"] == f"wedding_action_{action}"
    ]
    payload = {
        "type": "block_actions",
        "user": {"id": user},
        "message": {"ts": message["ts"]},
        "actions": [{**button, "action_ts": "1700000000.000001"}],
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


def send(url: str, body: bytes, secret: str = SECRET, age_s: float = 0) -> httpx.Response:
    instant = str(int(time.time() - age_s))
    mac = hmac.new(secret.encode(), f"v0:{instant}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": instant,
        "X-Slack-Signature": f"v0={mac}",
    }
    return httpx.post(url, content=body, headers=headers, trust_env=False, timeout=60)


def asked(connected: RunningStack, fresh: str, emulators: Emulators) -> dict[str, Any]:
    """Send a notification that asks for an acknowledgement and return the message it became."""
    connected.json("integrations", "connect", connected.file(HUBSPOT))
    given = routing(fresh)
    given["sourceNotification"]["actions"] = [{"actionId": "ack", "label": "Got it", "type": "acknowledge"}]
    crm = {"systemId": "crm", "systemType": "hubspot", "integrationId": "hubspot-main"}
    given["targetSystems"].append({**crm, "contacts": [{"crmContactId": "501"}]})
    assert connected.json("notify", connected.file(given))["overallStatus"] == "success"
    [message] = [item for item in emulators.objects("slack", "messages") if fresh in item["text"]]
    return message


def states(emulators: Emulators, fresh: str) -> list[str | None]:
    notes = [note["properties"] for note in emulators.objects("hubspot", "notes")]
    return [note.get("wedsync_state") for note in notes if fresh in note["hs_note_body"]]


def test_a_pressed_button_is_shown_by_the_other_systems_of_its_notification(
    connected: RunningStack, url: str, emulators: Emulators, fresh: str
) -> None:
    message = asked(connected, fresh, emulators)
    body = pressed(message)
    for _ in range(2):
        assert send(url, body).status_code == 200
    while states(emulators, fresh) != ["acknowledged"]:
        time.sleep(0.2)  # noqa: TID251 - a test outside Temporal
    [note] = [one["id"] for one in emulators.objects("hubspot", "notes") if fresh in one["properties"]["hs_note_body"]]
    updates = [one for one in emulators.effects("hubspot") if (one["kind"], one["objectId"]) == ("note.updated", note)]
    assert len([one for one in updates if "acknowledged" in json.dumps(one["body"])]) == 1


def test_a_button_pressed_in_the_chat_approves_the_step_of_an_automation(
    connected: RunningStack, url: str, emulators: Emulators, fresh: str
) -> None:
    file = connected.file(automation(fresh))
    connected.json("automations", "run", file, "--no-wait")
    while not (found := [item for item in emulators.objects("slack", "messages") if f"asked {fresh}" in item["text"]]):
        time.sleep(0.2)  # noqa: TID251 - a test outside Temporal
    [message] = found
    assert send(url, pressed(message, "approve", user="U0STRANGER")).status_code == 200
    owner = ("--organization", ORGANIZATION)
    while connected.json("automations", "show", fresh, *owner)["status"] == "running":
        # The question may stand before its run has heard that it does.
        assert send(url, pressed(message, "approve")).status_code == 200
    [step] = connected.json("automations", "show", fresh, *owner)["results"][0]["steps"]
    assert (step["status"], step["answeredBy"]) == ("done", "U0PLANNER")
    assert emulators.messages(f"told {fresh}") == 1


@pytest.fixture
def asked_in_chat(connected: RunningStack) -> Iterator[None]:
    """Have decisions asked for in the team's channel."""
    route = {"integrationId": "slack-main", "kinds": ["decision_needed"], "channels": [{"channelId": "C0WEDDINGS"}]}
    for routes in ([route], []):
        document = {"organizationId": ORGANIZATION, "routes": routes}
        connected.json("health", "routes", connected.file(document))
        if routes:
            yield


@pytest.mark.usefixtures("asked_in_chat")
def test_a_button_pressed_in_the_chat_decides_a_weddings_step_and_the_message_says_so(
    connected: RunningStack, url: str, emulators: Emulators, fresh: str
) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    late = {"name": "Details", "trigger": "anchor", "offset": "-P14D", "whenPast": "ask"}
    task = {"type": "create_task", "taskType": "details"}
    given = {**wedding(fresh), "weddingDate": tomorrow, "automations": [{**late, "actions": [task]}]}
    connected.json("weddings", "start", connected.file(given))

    def question() -> list[dict[str, Any]]:
        return [item for item in emulators.objects("slack", "messages") if f"weddings decide {fresh}" in item["text"]]

    while not question():
        time.sleep(0.2)  # noqa: TID251 - a test outside Temporal
    [message] = question()

    def step() -> dict[str, Any]:
        [only] = connected.json("weddings", "show", fresh, "--organization", ORGANIZATION)["steps"]
        return dict(only)

    while step()["status"] == "asked":
        # The question may stand before its run has heard that it does.
        assert send(url, pressed(message, "reject")).status_code == 200
    assert send(url, pressed(message, "approve", user="U0SECOND")).status_code == 200
    assert (step()["status"], step()["answer"], step()["decidedBy"]) == ("skipped", "reject", "U0PLANNER")

    def words() -> str:
        [same] = [item for item in emulators.objects("slack", "messages") if item["ts"] == message["ts"]]
        return json.dumps(same["blocks"])

    while "It was rejected by U0PLANNER." not in words():
        time.sleep(0.2)  # noqa: TID251 - a test outside Temporal
    assert "wedding_action_approve" not in words()


def test_f72_what_is_not_signed_by_the_vendor_now_changes_nothing(
    connected: RunningStack, url: str, emulators: Emulators, fresh: str
) -> None:
    body = pressed(asked(connected, fresh, emulators))
    refused = [send(url, body, secret="somebody-elses"), send(url, body, age_s=3_600)]
    foreign = url.replace("/slack/", "/twilio/"), f"{url[:-4]}AAAA"
    assert [answer.status_code for answer in refused] == [401, 401]
    assert {answer.json()["code"] for answer in refused} == {"signature_refused"}
    assert [send(address, body).status_code for address in foreign] == [404, 404]
    assert states(emulators, fresh) == [None]


def test_a_signed_body_that_is_no_document_of_the_vendor_is_refused_without_a_trace(
    connected: RunningStack, url: str
) -> None:
    answer = send(url, b"payload=%7B%22type%22%3A%22block_actions%22%7D")
    assert (answer.status_code, answer.json()["code"]) == (400, "hook_unreadable")
