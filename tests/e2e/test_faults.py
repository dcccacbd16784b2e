"""What a couple must never notice: killed workers, lost answers and vendors that ask to wait."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators.wedding_files import main as write_weddings
from tests.e2e.conftest import ROOT, RunningStack
from tests.e2e.documents import HUBSPOT, ORGANIZATION, SALESFORCE, routing
from tests.support.emulators import Emulators
from tests.support.hubspot_account import people
from tests.support.loopback import loopback_client

BASE = f"/v1/organizations/{ORGANIZATION}"
EXAMPLES = ROOT / "examples"
INTENDED = {
    "hubspot": {"contact.updated": 1, "note.created": 1, "deal.updated": 1},
    "tave": {"job.updated": 1, "event.updated": 1},
    "slack": {"message.posted": 1},
}
ROWS, DIRTY = 5_000, 100


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


@pytest.fixture
def studio(api: httpx.Client, emulators: Emulators) -> Emulators:
    """The three vendors of the example, as they are right after they were connected."""
    if not all(emulators.restore(name) for name in INTENDED):
        emulators.reset(*INTENDED)
        for name in INTENDED:
            connect(api, name)
            emulators.snapshot(name)
    return emulators


def connect(api: httpx.Client, name: str) -> None:
    answer = api.post(f"{BASE}/integrations", json=example(f"integration-{name}"))
    assert answer.is_success, answer.text


def started(api: httpx.Client, routing_id: str) -> str:
    given = {**example("route-notification"), "routingId": routing_id}
    return str(api.post(f"{BASE}/notifications", json=given).raise_for_status().headers["location"])


def ended(api: httpx.Client, location: str) -> dict[str, Any]:
    while (view := api.get(location).raise_for_status().json())["status"] == "running":
        time.sleep(1)  # noqa: TID251 - a test outside Temporal
    return dict(view)


def gained(emulators: Emulators, since: dict[str, int]) -> dict[str, dict[str, int]]:
    return {name: dict(Counter(item["kind"] for item in emulators.effects(name, since[name]))) for name in INTENDED}


def marks(emulators: Emulators) -> dict[str, int]:
    return {name: max((item["seq"] for item in emulators.effects(name)), default=0) for name in INTENDED}


def kill_worker(stack: RunningStack) -> None:
    os.kill(stack.parts()["worker"], signal.SIGKILL)


def until_asked(emulators: Emulators, system: str, path: str, since: int) -> None:
    while not any(path in item["path"] for item in emulators.requests(system, since)):
        time.sleep(1)  # noqa: TID251 - a test outside Temporal


def until_hanging(emulators: Emulators, since: int) -> None:
    while not any(item["status"] == 0 for item in emulators.requests("snowflake", since)):
        time.sleep(0.1)  # noqa: TID251 - a test outside Temporal


def test_an_answer_lost_after_the_effect_doubles_nothing(studio: Emulators, api: httpx.Client, fresh: str) -> None:
    since = marks(studio)
    for name in INTENDED:
        studio.fault(name, "drop_after_effect", count=1)
    view = ended(api, started(api, fresh))
    assert view["outcome"] == "success"
    assert gained(studio, since) == INTENDED


def test_f41_a_hundred_starts_of_one_notification_at_once_make_one_set_of_effects(
    studio: Emulators, api: httpx.Client, fresh: str
) -> None:
    since = marks(studio)
    given = {**example("route-notification"), "routingId": fresh}

    def start(number: int) -> httpx.Response:
        # Half of them are the caller's own retries, and half come by another road.
        headers = {"Idempotency-Key": f"key-{fresh}"} if number % 2 else {}
        return api.post(f"{BASE}/notifications", json=given, headers=headers)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(start, range(100)))
    assert Counter(answer.status_code for answer in answers) == {202: 100}
    [location] = {answer.headers["location"] for answer in answers}
    assert ended(api, location)["outcome"] == "success"
    assert gained(studio, since) == INTENDED


def test_f42_the_same_key_for_another_notification_is_refused_and_changes_nothing(
    studio: Emulators, api: httpx.Client, fresh: str
) -> None:
    since = marks(studio)
    given = {**example("route-notification"), "routingId": fresh}
    other = {**given, "routingId": f"{fresh}-other"}
    headers = {"Idempotency-Key": f"key-{fresh}"}
    first = api.post(f"{BASE}/notifications", json=given, headers=headers).raise_for_status()
    second = api.post(f"{BASE}/notifications", json=other, headers=headers)
    assert ended(api, first.headers["location"])["outcome"] == "success"
    assert (second.status_code, second.json()["code"]) == (409, "idempotency_mismatch")
    assert gained(studio, since) == INTENDED


def test_a_vendor_that_asks_to_wait_is_waited_for(studio: Emulators, api: httpx.Client, fresh: str) -> None:
    since = marks(studio)
    for name in INTENDED:
        studio.fault(name, "rate_limit", retryAfter=2, count=2)
    view = ended(api, started(api, fresh))
    assert view["outcome"] == "success"
    assert gained(studio, since) == INTENDED


def test_a_worker_killed_while_it_waits_for_the_chat_doubles_nothing(
    stack: RunningStack, studio: Emulators, api: httpx.Client, fresh: str
) -> None:
    since = marks(studio)
    asked = max((item["seq"] for item in studio.requests("slack")), default=0)
    studio.fault("slack", "hang", path="chat.postMessage", delayS=20, count=1)
    location = started(api, fresh)
    until_asked(studio, "slack", "chat.postMessage", asked)
    kill_worker(stack)
    view = ended(api, location)
    assert view["outcome"] == "success"
    assert gained(studio, since) == INTENDED


def test_a_worker_killed_in_the_middle_of_a_batch_goes_on_where_it_was(
    stack: RunningStack, studio: Emulators, api: httpx.Client, fresh: str
) -> None:
    contacts = people(studio, 40)
    crm = {"systemId": "crm", "systemType": "hubspot", "integrationId": "hubspot-main"}
    routings = [
        {**routing(f"{fresh}-{number}"), "targetSystems": [{**crm, "contacts": [{"crmContactId": contact}]}]}
        for number, contact in enumerate(contacts)
    ]
    since = marks(studio)["hubspot"]
    asked = max((item["seq"] for item in studio.requests("hubspot")), default=0)
    studio.fault("hubspot", "hang", path="notes/batch/create", delayS=20, count=1)
    batch = {"batchId": fresh, "routings": routings}
    location = api.post(f"{BASE}/notification-batches", json=batch).raise_for_status().headers["location"]
    until_asked(studio, "hubspot", "notes/batch/create", asked)
    kill_worker(stack)
    view = ended(api, location)
    done = Counter(item["kind"] for item in studio.effects("hubspot", since))
    assert (view["result"]["counts"]["success"], done) == (40, {"contact.updated": 40, "note.created": 40})


def test_a_worker_killed_while_an_automation_waits_for_the_chat_doubles_nothing(
    stack: RunningStack, studio: Emulators, api: httpx.Client, fresh: str
) -> None:
    asked = max((item["seq"] for item in studio.requests("slack")), default=0)
    studio.fault("slack", "hang", path="chat.postMessage", delayS=20, count=1)
    messages = [{"message": f"{number} of {fresh}"} for number in range(3)]
    sequence = {
        "sequenceId": "s",
        "name": "s",
        "trigger": "manual",
        "targetChannel": "C0WEDDINGS",
        "messages": messages,
    }
    given = {"orchestrationId": fresh, "sequences": [{**sequence, "integrationId": "slack-main"}]}
    location = api.post(f"{BASE}/automations", json=given).raise_for_status().headers["location"]
    until_asked(studio, "slack", "chat.postMessage", asked)
    kill_worker(stack)
    assert ended(api, location)["outcome"] == "success"
    assert [studio.messages(f"{number} of {fresh}") for number in range(3)] == [1, 1, 1]


def test_f1_f3_a_worker_killed_in_the_middle_of_a_load_loses_and_doubles_no_row(
    stack: RunningStack, api: httpx.Client, emulators: Emulators, tmp_path: Path, fresh: str
) -> None:
    file = tmp_path / "weddings.parquet"
    size = ["--rows", str(ROWS), "--dirty-ratio", str(DIRTY / ROWS), "--seed", "7"]
    assert write_weddings([*size, "--format", "parquet", "--out", str(file)]) == 0
    connect(api, "snowflake")
    before = counts(stack)
    asked = max((item["seq"] for item in emulators.requests("snowflake")), default=0)
    emulators.hang(f"MERGE INTO {TABLES[1]}")
    location = load(api, fresh, {"kind": "file", "uri": file.as_uri(), "format": "parquet"})
    until_hanging(emulators, asked)
    kill_worker(stack)
    assert emulators.abort_abandoned("snowflake") == 1
    view = ended(api, location)
    after = counts(stack)
    assert view["status"] == "completed"
    assert {name: after[name] - before.get(name, 0) for name in TABLES} == {TABLES[0]: ROWS, TABLES[1]: ROWS - DIRTY}


def load(api: httpx.Client, fresh: str, source: dict[str, Any]) -> str:
    given = {
        "etlId": f"etl-{fresh}",
        "organizationId": ORGANIZATION,
        "targetIntegration": {"integrationId": "snowflake-main"},
        "source": source,
    }
    return str(api.post(f"{BASE}/etl-runs", json=given).raise_for_status().headers["location"])


def test_a_worker_killed_while_the_crm_works_on_its_job_doubles_no_record(
    stack: RunningStack, api: httpx.Client, emulators: Emulators, tmp_path: Path, fresh: str
) -> None:
    file = tmp_path / "weddings.parquet"
    assert write_weddings(["--rows", str(ROWS), "--format", "parquet", "--out", str(file)]) == 0
    assert api.post(f"{BASE}/integrations", json=SALESFORCE).is_success
    # The weddings another test has left there are the first of these, and equal to them.
    held = len(emulators.objects("salesforce", "Wedding__c"))
    since = max((item["seq"] for item in emulators.effects("salesforce")), default=0)
    asked = max((item["seq"] for item in emulators.requests("salesforce")), default=0)
    emulators.fault("salesforce", "hang", method="GET", path="jobs/ingest/", delayS=60, count=1)
    given = {
        "syncId": f"sync-{fresh}",
        "organizationId": ORGANIZATION,
        "sourceReportId": "weddings",
        "targetIntegration": {"integrationId": "salesforce-main"},
        "source": {"kind": "file", "uri": file.as_uri(), "format": "parquet"},
    }
    location = api.post(f"{BASE}/syncs", json=given).raise_for_status().headers["location"]
    until_looked_at(emulators, "jobs/ingest/", asked)
    kill_worker(stack)
    view = ended(api, location)
    assert view["outcome"] == "success"
    found = Counter(item["kind"] for item in emulators.effects("salesforce", since))
    assert found == {"job.created": 1, "Wedding__c.created": ROWS - held}


def test_f1_f2_a_worker_killed_in_the_middle_of_a_push_sends_at_most_its_open_batches_again(
    stack: RunningStack, api: httpx.Client, emulators: Emulators, tmp_path: Path, fresh: str
) -> None:
    file = tmp_path / "weddings.parquet"
    assert write_weddings(["--rows", "2000", "--format", "parquet", "--out", str(file)]) == 0
    assert api.post(f"{BASE}/integrations", json={**HUBSPOT, "integrationId": fresh}).is_success
    since = max((item["seq"] for item in emulators.effects("hubspot")), default=0)
    asked = max((item["seq"] for item in emulators.requests("hubspot")), default=0)
    given = {
        "syncId": f"sync-{fresh}",
        "organizationId": ORGANIZATION,
        "sourceReportId": "weddings",
        "targetIntegration": {"integrationId": fresh},
        "source": {"kind": "file", "uri": file.as_uri(), "format": "parquet"},
    }
    location = api.post(f"{BASE}/syncs", json=given).raise_for_status().headers["location"]
    while len(upserts(emulators, asked)) < 6:
        time.sleep(0.02)  # noqa: TID251 - a test outside Temporal
    kill_worker(stack)
    view = ended(api, location)
    books = view["result"]["books"]
    effects = Counter(item["objectId"] for item in emulators.effects("hubspot", since))
    assert (view["outcome"], books["created"] + books["updated"] + books["unchanged"]) == ("success", 2_000)
    assert set(effects.values()) == {1}
    # Two pushes are under way, each with one batch whose answer the worker may not have seen.
    assert 20 <= len(upserts(emulators, asked)) <= 22


def upserts(emulators: Emulators, since: int) -> list[dict[str, Any]]:
    return [item for item in emulators.requests("hubspot", since) if item["path"].endswith("/batch/upsert")]


def until_looked_at(emulators: Emulators, path: str, since: int) -> None:
    looks = ("GET", None)
    while not any(
        path in item["path"] and (item["method"], item["status"]) == looks
        for item in emulators.requests("salesforce", since)
    ):
        time.sleep(1)  # noqa: TID251 - a test outside Temporal


TABLES = ("WEDDING_RAW.WEDDINGS", "WEDDING_MARTS.FACT_WEDDINGS")


def counts(stack: RunningStack) -> dict[str, int]:
    with loopback_client(stack.ready["emulators"]) as client:
        answer = client.get("/_emulators/snowflake/counts")
    return dict.fromkeys(TABLES, 0) | dict(answer.raise_for_status().json())
