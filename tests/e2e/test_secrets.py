"""No secret and no name of a couple stands readable anywhere that this installation writes or shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.conftest import RunningStack
from tests.e2e.documents import HUBSPOT, ORGANIZATION, SLACK, routing
from tests.support.canaries import CHUNK, canary, hits, hits_below
from tests.support.loopback import loopback_client, patient_client

BASE = f"/v1/organizations/{ORGANIZATION}"
VENDORS = ("emulators", "snowflake")
"""What the vendors' stand-ins keep, which is the vendors' to keep safe."""

# Python runs a module of this name first: the worker's first probe fails as no code of ours foresees.
STUMBLE = """
import sys
if "workers" in sys.orig_argv:
    from activities.connectors.communication.slack.connector import Slack
    probe, stumbled = Slack.probe, []
    async def stumbling(self):
        secret = self._connection.credential["signingSecret"].get_secret_value()
        if not stumbled:
            stumbled.append(True)
            raise LookupError(secret)
        return await probe(self)
    Slack.probe = stumbling
"""


@dataclass
class Told:
    """The canaries by what they stand for, and all that doors said."""

    canaries: dict[str, str] = field(default_factory=dict)
    said: dict[str, bytes] = field(default_factory=dict)

    def make(self, name: str) -> str:
        """Return a new canary."""
        return self.canaries.setdefault(name, canary(name))


@pytest.fixture
def private_stack(tmp_path: Path) -> Iterator[RunningStack]:
    """A stack of its own, whose worker stumbles once."""
    (tmp_path / "stumble").mkdir()
    (tmp_path / "stumble" / "sitecustomize.py").write_text(STUMBLE)
    running = RunningStack(tmp_path / "data")
    running.start({"PYTHONPATH": str(tmp_path / "stumble")})
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


def test_f75_no_canary_is_readable_in_any_file_process_metric_or_page(
    private_stack: RunningStack, tmp_path: Path
) -> None:
    told = Told()
    use_command_line(private_stack, told, tmp_path)
    use_api(private_stack, told)
    for name in couples(private_stack):
        told.canaries[name] = name
    look_around(private_stack, told)
    secrets = list(told.canaries.values())
    assert {name: found for name, text in told.said.items() if (found := hits(text, secrets))} == {}
    assert hits_below(private_stack.data_dir, secrets, leaving_out=VENDORS) == {}
    assert b"unclassified error in an activity" in (private_stack.data_dir / "logs" / "worker.log").read_bytes()
    private_stack.stop()
    assert hits_below(private_stack.data_dir, secrets, leaving_out=VENDORS) == {}


def test_no_process_of_the_stack_may_leave_a_core_dump(stack: RunningStack) -> None:
    allowed = {name: psutil.Process(pid).rlimit(psutil.RLIMIT_CORE) for name, pid in stack.parts().items()}
    assert allowed == dict.fromkeys(("api", "worker", "emergencies", "emulators", "temporal"), (0, 0))


def use_command_line(stack: RunningStack, told: Told, folder: Path) -> None:
    """Connect with secrets, be refused with others, send a message, sync a report."""

    def run(name: str, *arguments: str, given: dict[str, Any] | None = None) -> None:
        file = folder / f"{name}.json"
        if given is not None:
            file.write_text(json.dumps(given))
        done = stack.cli(*arguments, *([str(file)] if given is not None else []), "--json")
        told.said[name] = (done.stdout + done.stderr).encode()

    secret = {"botToken": "sandbox-slack-token", "signingSecret": told.make("signing")}
    run("connect", "integrations", "connect", given={**SLACK, "connectionConfig": {"credential": secret}})
    run("connect-crm", "integrations", "connect", given=HUBSPOT)
    for name, document, action in (("refused", HUBSPOT, "connect"), ("rotated", SLACK, "rotate")):
        wrong = {key: told.make(name) for key in document["connectionConfig"]["credential"]}
        integration_id = f"{document['integrationId']}{'-2' if action == 'connect' else ''}"
        given = {**document, "integrationId": integration_id, "connectionConfig": {"credential": wrong}}
        run(name, "integrations", action, given=given)
    message = routing("f75")
    message["sourceNotification"] |= {"title": told.make("title"), "message": told.make("message")}
    run("notify", "notify", given=message)
    sync = {
        "syncId": "f75",
        "organizationId": ORGANIZATION,
        "sourceReportId": "weddings",
        "targetIntegration": {"integrationId": HUBSPOT["integrationId"]},
        "syncType": "full_sync",
    }
    run("sync", "sync", "run", given=sync)
    run("list", "integrations", "list", "--organization", ORGANIZATION)
    run("show", "integrations", "show", SLACK["integrationId"], "--organization", ORGANIZATION)
    assert json.loads(told.said["connect"])["state"] == "active"
    assert json.loads(told.said["notify"])["overallStatus"] == "success"
    assert json.loads(told.said["sync"])["status"] == "success"
    assert [name for name in ("refused", "rotated") if b'"AuthExpired"' not in told.said[name]] == []


def use_api(stack: RunningStack, told: Told) -> None:
    """Send what the API refuses, and repeat what it keeps the answer of."""
    headers = {"Authorization": f"Bearer {stack.ready['api_key']}"}
    wrong = {**HUBSPOT, "integrationId": "wrong", "connectionConfig": {"credential": {"accessToken": told.make("api")}}}
    with patient_client(stack.ready["api"], headers) as client:
        answers = [
            client.post(f"{BASE}/integrations", json=wrong, headers={"Idempotency-Key": "f75"}),
            client.post(f"{BASE}/integrations", json=wrong, headers={"Idempotency-Key": "f75"}),
            client.get(f"{BASE}/integrations", headers={"Authorization": f"Bearer {told.make('bearer')}"}),
            client.get(f"{BASE}/integrations", params={"token": told.make("query")}),
            client.post(f"{BASE}/notifications", content=f'{{"routingId": "{told.make("broken")}'),
            client.post(f"{BASE}/notifications", json={"routingId": told.make("field")}),
        ]
    told.said |= {f"answer {number}": _whole(answer) for number, answer in enumerate(answers)}
    assert [answer.is_success for answer in answers] == [False, False, False, True, False, False]


def couples(stack: RunningStack) -> list[str]:
    """Return the names of couples that were synced and are long enough to be told from chance."""
    with loopback_client(stack.ready["emulators"]) as client:
        headers = {"Authorization": "Bearer sandbox-wedsync-token"}
        path = f"/_emulators/wedsync/v1/organizations/{ORGANIZATION}/reports/weddings/records"
        records = client.get(path, params={"limit": 20}, headers=headers).raise_for_status().json()["records"]
    names = [str(record["clientName"]) for record in records if len(str(record["clientName"])) > CHUNK]
    assert names
    return names


def look_around(stack: RunningStack, told: Told) -> None:
    """Keep what pages show, and what processes were started with."""
    assert stack.process is not None
    processes = psutil.Process(stack.process.pid).children(recursive=True)
    for process in processes:
        told.said[f"command line of {process.pid}"] = "\0".join(process.cmdline()).encode()
        told.said[f"environment of {process.pid}"] = json.dumps(process.environ(), ensure_ascii=False).encode()
    lines = [process.cmdline() for process in processes]
    [port] = [line[line.index("--metrics-port") + 1] for line in lines if "--metrics-port" in line]
    pages = [stack.ready["metrics"], f"http://127.0.0.1:{port}/metrics"]
    pages += [f"{stack.ready['api']}{path}" for path in ("/openapi.json", "/docs", "/healthz", "/readyz")]
    for page in pages:
        with loopback_client(page) as client:
            told.said[page] = _whole(client.get(page).raise_for_status())


def _whole(answer: httpx.Response) -> bytes:
    return str(answer.headers).encode() + answer.content
