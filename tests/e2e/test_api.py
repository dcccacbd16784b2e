"""The HTTP API against a real stack."""

from __future__ import annotations

import time

import httpx

from tests.e2e.conftest import RunningStack
from tests.e2e.documents import ORGANIZATION, SLACK, automation, routing, wedding
from tests.support.emulators import Emulators

BASE = f"/v1/organizations/{ORGANIZATION}"


def finished(api: httpx.Client, url: str) -> dict[str, object]:
    while (view := api.get(url).raise_for_status().json())["status"] == "running":
        time.sleep(0.5)  # noqa: TID251 - a test outside Temporal
    return dict(view)


def test_a_notification_is_accepted_and_its_run_ends_with_a_result(
    connected: RunningStack, api: httpx.Client, fresh: str
) -> None:
    answer = api.post(f"{BASE}/notifications", json=routing(fresh))
    assert answer.status_code == 202
    view = finished(api, answer.headers["location"])
    assert (view["status"], view["outcome"]) == ("completed", "success")


def test_a_repeat_with_the_same_key_shows_once_at_the_vendor(
    connected: RunningStack, api: httpx.Client, emulators: Emulators, fresh: str
) -> None:
    headers = {"Idempotency-Key": fresh}
    answers = [api.post(f"{BASE}/notifications", json=routing(fresh), headers=headers) for _ in range(3)]
    finished(api, answers[0].headers["location"])
    assert len({answer.content for answer in answers}) == 1
    assert emulators.messages(fresh) == 1


def test_a_batch_posted_twice_leaves_each_of_its_notifications_once_with_its_result(
    connected: RunningStack, api: httpx.Client, emulators: Emulators, fresh: str
) -> None:
    names = [f"{fresh}-{number}" for number in range(3)]
    batch = {"batchId": fresh, "routings": [routing(name) for name in names]}
    for _ in range(2):
        view = finished(api, api.post(f"{BASE}/notification-batches", json=batch).headers["location"])
    shown = api.get(f"{BASE}/notification-batches/{fresh}").raise_for_status().json()
    results = api.get(f"{BASE}/notification-batches/{fresh}/results").raise_for_status().json()
    assert (view["status"], shown["total"], shown["counts"]["success"]) == ("completed", 3, 3)
    assert [result["routingId"] for result in results] == names
    assert [emulators.messages(name) for name in names] == [1, 1, 1]
    assert api.get(f"/v1/organizations/somebody-else/notification-batches/{fresh}").status_code == 404


def test_a_run_is_not_found_through_another_organisation(api: httpx.Client, fresh: str) -> None:
    run_id = api.post(f"{BASE}/weddings", json=wedding(fresh)).json()["runId"]
    answer = api.get(f"/v1/organizations/somebody-else/runs/{run_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "run_not_found")


def test_a_wedding_can_be_started_told_and_read(stack: RunningStack, api: httpx.Client, fresh: str) -> None:
    started = api.post(f"{BASE}/weddings", json=wedding(fresh))
    assert started.status_code == 202
    event = {"eventId": f"e-{fresh}", "type": "moved", "weddingDate": "2031-07-01"}
    told = api.post(f"{BASE}/weddings/{fresh}/events", json=event)
    assert told.json()["wedding"]["weddingDate"] == "2031-07-01"
    assert api.get(started.headers["location"]).json()["wedding"]["weddingDate"] == "2031-07-01"


def test_an_unknown_wedding_is_not_found(stack: RunningStack, api: httpx.Client, fresh: str) -> None:
    answer = api.get(f"{BASE}/weddings/{fresh}")
    assert (answer.status_code, answer.json()["code"]) == (404, "wedding_not_found")


def test_integrations_are_listed_without_their_credentials(connected: RunningStack, api: httpx.Client) -> None:
    answer = api.get(f"{BASE}/integrations")
    assert {"hubspot-main", "slack-main"} <= {one["integrationId"] for one in answer.json()["integrations"]}
    assert "sandbox" not in answer.text


def test_the_stack_is_ready(stack: RunningStack, api: httpx.Client) -> None:
    assert api.get("/healthz").status_code == 200
    assert api.get("/readyz").json()["ready"]


def test_a_new_credential_is_taken_over_http_and_a_refused_one_is_not(
    stack: RunningStack, api: httpx.Client, fresh: str
) -> None:
    mine = {**SLACK, "integrationId": fresh}
    assert api.post(f"{BASE}/integrations", json=mine).status_code == 201
    refused = {**mine, "connectionConfig": {"credential": {"botToken": "canary-wrong-token"}}}
    answers = [api.post(f"{BASE}/integrations/{fresh}/credential", json=given) for given in (refused, mine)]
    assert (answers[0].is_success, answers[0].json()["code"]) == (False, "credential_refused")
    assert "canary" not in answers[0].text
    assert (answers[1].status_code, answers[1].json()["state"]) == (200, "active")
    bare = api.post(f"{BASE}/integrations/{fresh}/actions", json={"action": "rotate"})
    elsewhere = api.post(f"{BASE}/integrations/slack-main/credential", json=mine)
    assert [one.status_code for one in (bare, elsewhere)] == [422, 422]


def test_an_automation_asks_waits_for_the_answer_and_goes_on_once(
    connected: RunningStack, api: httpx.Client, emulators: Emulators, fresh: str
) -> None:
    started = [api.post(f"{BASE}/automations", json=automation(fresh)) for _ in range(2)]
    assert [one.status_code for one in started] == [202, 202]
    while not emulators.messages(f"asked {fresh}"):
        time.sleep(0.5)  # noqa: TID251 - a test outside Temporal
    assert fresh in api.get(f"{BASE}/automations").json()["running"]
    answers = f"{BASE}/automations/{fresh}/answers"
    given = {"stepId": "tell", "answer": "approve", "actorId": "planner", "eventId": f"e-{fresh}"}
    stranger = api.post(answers, json={**given, "actorId": "stranger"})
    while api.post(answers, json=given).status_code != 200:
        time.sleep(0.5)  # noqa: TID251 - a test outside Temporal
    view = finished(api, started[0].headers["location"])
    explained = api.get(f"{BASE}/automations/{fresh}/explanation").raise_for_status().json()
    assert (stranger.status_code, view["outcome"]) == (422, "success")
    assert [emulators.messages(f"{word} {fresh}") for word in ("asked", "told")] == [1, 1]
    assert explained["spent"]["peopleMs"] > 0
    assert api.get(f"/v1/organizations/somebody-else/automations/{fresh}").status_code == 404


def test_an_automation_with_faults_is_refused_with_each_of_their_places(
    connected: RunningStack, api: httpx.Client, fresh: str
) -> None:
    faulty = automation(fresh, condition="1 +", trigger="whenever")
    answer = api.post(f"{BASE}/automations", json=faulty)
    found = api.post(f"{BASE}/automations/checks", json=faulty).json()["problems"]
    assert (answer.status_code, answer.json()["code"]) == (422, "automation_invalid")
    assert [one["place"] for one in found] == ["chains[0].trigger", "chains[0].condition"]


def test_a_saved_automation_starts_when_its_wedding_is_confirmed(
    connected: RunningStack, api: httpx.Client, emulators: Emulators, fresh: str
) -> None:
    words = {"message": f"confirmed {fresh} {{{{ wedding.weddingId }}}}", "channelId": "C0WEDDINGS"}
    action = {"actionId": "tell", "type": "send_message", "integrationId": "slack-main", "parameters": words}
    step = {"stepId": "tell", "actions": {"coordinationId": "tell", "actions": [action]}}
    trigger = {"trigger": "property_change", "triggerProperty": "booking_status", "triggerValue": "confirmed"}
    chain = {"chainId": "tell", "name": "Tell", "steps": [step], **trigger}
    saved = api.post(f"{BASE}/automations/definitions", json={"definitionId": fresh, "name": "Tell", "chains": [chain]})
    assert saved.json()["version"] == 1
    api.post(f"{BASE}/weddings", json={**wedding(fresh), "bookingStatus": "inquiry"}).raise_for_status()
    event = {"eventId": f"e-{fresh}", "type": "status_changed", "bookingStatus": "confirmed"}
    for _ in range(2):
        api.post(f"{BASE}/weddings/{fresh}/events", json=event).raise_for_status()
    while not emulators.messages(f"confirmed {fresh} {fresh}"):
        time.sleep(0.5)  # noqa: TID251 - a test outside Temporal
    off = {"definitionId": fresh, "name": "Tell", "chains": [chain], "enabled": False}
    assert api.post(f"{BASE}/automations/definitions", json=off).json()["version"] == 2
    assert emulators.messages(f"confirmed {fresh} {fresh}") == 1
