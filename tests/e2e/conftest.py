"""One real stack for all end-to-end tests of a session."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psutil
import pytest

from contracts.names import EMERGENCY_QUEUE
from starters.cli.main import run
from tests.e2e.documents import HUBSPOT, ORGANIZATION, SLACK
from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client, patient_client

ROOT = Path(__file__).parents[2]
_SLOW_S = 900
_PATIENCE_S = 300

_PORTS = ("--temporal-port", "--ui-port", "--api-port", "--emulators-port")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder starts processes, and the first test pays for the stack."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(_SLOW_S))


def environment() -> dict[str, str]:
    """The environment without settings of another stack, and with patience for a busy machine."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("WEDSYNC_")}
    return others | {"WEDSYNC_ANSWER_TIMEOUT_S": str(_PATIENCE_S)}


class RunningStack:
    """A stack started by `wedsync up`, and what tests do with it.

    Args:
        data_dir: where it keeps its data.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}

    def start(self, extra: dict[str, str] | None = None) -> None:
        """Start the stack, with `extra` environment, and wait for its ready line."""
        command = [sys.executable, "-m", "starters", "up", "--json", "--data-dir", str(self.data_dir)]
        command += [argument for port in _PORTS for argument in (port, "0")]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment() | (extra or {})
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(f"the stack ended with code {self.process.wait()} before it was ready")
        self.ready = json.loads(line)
        assert self.ready.get("event") == "ready", f"the stack did not start: {line}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the stack and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(_PATIENCE_S)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `wedsync` against this stack, in this process: a new one imports everything again."""
        command = [*arguments, "--data-dir", str(self.data_dir)]
        with (
            redirect_stdout(io.StringIO()) as out,
            redirect_stderr(io.StringIO()) as err,
            patch.dict(os.environ, environment(), clear=True),
        ):
            code = run(command)
        return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())

    def json(self, *arguments: str) -> Any:
        """Run a command that must succeed and return its JSON."""
        done = self.cli(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def file(self, document: dict[str, Any]) -> str:
        """Write a document to a file of its own and return the file's name."""
        path = self.data_dir / f"{uuid.uuid4().hex}.json"
        path.write_text(json.dumps(document))
        return str(path)

    def connect(self, document: dict[str, Any]) -> Any:
        """Connect an integration that is not connected yet."""
        listed = self.json("integrations", "list", "--organization", ORGANIZATION)["integrations"]
        if not any(one["integrationId"] == document["integrationId"] and one["state"] == "active" for one in listed):
            self.json("integrations", "connect", self.file(document))

    def versions(self, integration_id: str) -> list[int]:
        """Return the versions of an integration's credential that the store holds."""
        query = "SELECT version FROM credentials WHERE integration_id = ? ORDER BY version"
        with closing(sqlite3.connect(self.data_dir / "wedsync.db")) as connection:
            return [version for (version,) in connection.execute(query, [integration_id])]

    def parts(self) -> dict[str, int]:
        """Return the process id of every part that runs, by the words of its command line."""
        assert self.process is not None
        words = {"starters.api": "api", "workers": "worker", "emulators": "emulators", "start-dev": "temporal"}
        found: dict[str, int] = {}
        for child in psutil.Process(self.process.pid).children():
            try:
                line = child.cmdline()
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            name = next((name for word, name in words.items() if word in line), None)
            if name is not None:
                found["emergencies" if line[-1] == EMERGENCY_QUEUE else name] = child.pid
        return found


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The session's stack: everything on free ports."""
    running = RunningStack(tmp_path_factory.mktemp("stack") / "data")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def connected(stack: RunningStack) -> RunningStack:
    """The session's stack with a CRM and a chat connected."""
    stack.connect(HUBSPOT)
    stack.connect(SLACK)
    return stack


@pytest.fixture
def emulators(stack: RunningStack) -> Iterator[Emulators]:
    """What the emulated vendors of the session's stack hold."""
    with loopback_client(stack.ready["emulators"]) as client:
        yield Emulators(client)


@pytest.fixture
def api(stack: RunningStack) -> Iterator[httpx.Client]:
    """A client of the session's API with the development key."""
    headers = {"Authorization": f"Bearer {stack.ready['api_key']}"}
    with patient_client(stack.ready["api"], headers) as client:
        yield client


@pytest.fixture
def fresh() -> str:
    """An id nobody used."""
    return uuid.uuid4().hex[:12]
