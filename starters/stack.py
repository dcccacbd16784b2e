"""The whole product on one machine: what `wedsync up` starts, in which order, and how it is found."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from temporalio.client import Client

from activities.storage.api_keys import ApiKeyStore
from activities.storage.database import Database, migrate
from contracts.errors import InvalidInput, Owner, Permanent, RateLimited, Transient
from contracts.names import EMERGENCY_QUEUE, ORCHESTRATION_QUEUE
from starters.locks import alone
from starters.ports import choose_ports
from starters.private_files import write_private
from starters.queues import is_polled
from starters.schedules import apply_schedules
from starters.search_attributes import register_missing
from starters.supervisor import Part, Supervisor
from workers.engine import server_command
from workers.roster import queues
from workers.settings import Profile, Settings, Stack
from workers.temporal import connect

log = logging.getLogger("wedsync.up")
T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN_S = 600
ASK_AGAIN_S = 0.1
API_KEY_FILE = "api.key"
SANDBOX_REPORT_TOKEN = "sandbox-wedsync-token"  # noqa: S105 - published with the emulators
_HARMLESS = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


_NICENESS = 5
"""Of the worker that does everything but emergencies, which share the machine with it."""
_RUNNING = InvalidInput(
    "stack_running",
    "A stack already runs on this data directory.",
    owner=Owner.OPERATOR,
    action="Use it, stop it, or give another --data-dir.",
)


@dataclass(frozen=True)
class UpOptions:
    """Ports of the stack, 0 for any free one, and whether the vendors' stand-ins run."""

    temporal_port: int = 0
    ui_port: int = 0
    api_port: int = 0
    emulators_port: int = 0
    emulators: bool = True


async def run_up(settings: Settings, options: UpOptions, announce: Callable[[Stack], None]) -> None:
    """Run everything until SIGTERM or SIGINT, calling `announce` once all of it is ready.

    Raises:
        InvalidInput: a port is taken, or a stack already runs on this data directory.
        Permanent: a part never becomes ready.
    """
    if settings.profile is not Profile.EMBEDDED:
        raise InvalidInput(
            "up_is_embedded",
            "`wedsync up` runs the embedded profile only.",
            owner=Owner.OPERATOR,
            action="In production start `wedsync worker` and `wedsync api` from a process manager.",
        )
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone(settings.data_dir / "up.lock", _RUNNING):
        settings.stack_file.unlink(missing_ok=True)
        # Every part reads the key file: it has to be whole before the first of them looks.
        settings.load_master_keys()
        await asyncio.to_thread(migrate, settings.database_url)
        api_key = await development_key(settings)
        ports = choose_ports(settings.data_dir, _wanted(options))
        await _Stack(settings, options, ports, api_key).run(announce)


def _wanted(options: UpOptions) -> dict[str, int]:
    return {
        "temporal": options.temporal_port,
        "ui": options.ui_port,
        "api": options.api_port,
        "emulators": options.emulators_port,
        "temporal_metrics": 0,
        "worker_metrics": 0,
        "smtp": 0,
        "snowflake": 0,
    }


async def development_key(settings: Settings) -> str:
    """Return the embedded profile's API key for all organisations, the same one at every start."""
    path = settings.data_dir / API_KEY_FILE
    database = Database(settings.database_url)
    store = ApiKeyStore(database)
    try:
        text = path.read_text().strip() if path.exists() else ""
        if not text or await store.verify(text) is None:
            text = await store.issue("dev")
            write_private(path, text)
    finally:
        await database.aclose()
    return text


def snowflake_python() -> Path | None:
    """Return the interpreter of the Snowflake stand-in's own environment, None where it is not installed."""
    named = os.environ.get("WEDSYNC_SNOWFLAKE_PYTHON")
    path = Path(named) if named else ROOT / ".venv-snowflake" / "bin" / "python"
    return path if path.exists() else None


class _Stack:
    def __init__(self, settings: Settings, options: UpOptions, ports: dict[str, int], api_key: str) -> None:
        self._settings = settings
        self._emulated = options.emulators
        self._ports = ports
        self._urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self._logs = settings.data_dir / "logs"
        self._stack = Stack(
            temporal=f"127.0.0.1:{ports['temporal']}",
            namespace=settings.temporal_namespace,
            temporal_ui=self._urls["ui"],
            api=self._urls["api"],
            api_key=api_key,
            codec=f"{self._urls['api']}/codec",
            emulators=self._urls["emulators"] if options.emulators else "",
            metrics=f"{self._urls['worker_metrics']}/metrics",
        )

    async def run(self, announce: Callable[[Stack], None]) -> None:
        loop = asyncio.get_running_loop()
        stopped: asyncio.Future[None] = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, _settle, stopped)
        supervisor = Supervisor(partial(_settle, stopped))
        self._logs.mkdir(exist_ok=True, mode=0o700)
        try:
            starting = asyncio.create_task(self._start(supervisor))
            await asyncio.wait({starting, stopped}, timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                if not starting.done():
                    raise self._late(supervisor)
                starting.result()
                write_private(self._settings.stack_file, self._stack.model_dump_json())
                announce(self._stack)
            await stopped
        finally:
            starting.cancel()
            self._settings.stack_file.unlink(missing_ok=True)
            await supervisor.stop()

    async def _start(self, supervisor: Supervisor) -> None:
        # Alone at first: on a busy machine Temporal gives up its own start when the others take the processors.
        supervisor.add(self._engine())
        client = await self._temporal()
        await _insist(lambda: register_missing(client))
        for part in self._parts():
            supervisor.add(part)
        await _insist(lambda: apply_schedules(client, self._settings.health_shards))
        await supervisor.until_ready()
        await _insist(lambda: _until_polled(client))

    async def _temporal(self) -> Client:
        settings = self._settings.model_copy(
            update={"temporal_address": self._stack.temporal, "temporal_tls": False, "metrics_address": ""}
        )
        return await _insist(lambda: connect(settings))

    def _engine(self) -> Part:
        return self._part(
            "temporal",
            server_command(
                self._settings.data_dir / "temporal.db",
                port=self._ports["temporal"],
                ui_port=self._ports["ui"],
                metrics_port=self._ports["temporal_metrics"],
                namespace=self._stack.namespace,
                codec_url=self._stack.codec,
            ),
            _foreign_environment(),
            port=self._ports["temporal"],
            last=True,
        )

    def _parts(self) -> Iterator[Part]:
        yield self._worker()
        yield self._emergency_worker()
        yield self._part("api", [sys.executable, "-m", "starters.api"], self._api_environment())
        if self._emulated:
            yield from self._stand_ins()

    def _stand_ins(self) -> Iterator[Part]:
        data_dir = self._settings.data_dir
        command = [sys.executable, "-m", "emulators", "--port", str(self._ports["emulators"])]
        command += ["--data-dir", str(data_dir / "emulators"), "--smtp-port", str(self._ports["smtp"])]
        python = snowflake_python()
        if python is None:
            log.warning("The Snowflake stand-in is not installed and stays away; `make setup` installs it.")
        else:
            yield self._part(
                "snowflake",
                [
                    *(str(python), str(ROOT / "emulators" / "snowflake")),
                    *("--port", str(self._ports["snowflake"]), "--data-dir", str(data_dir / "snowflake")),
                ],
                _foreign_environment(),
            )
            command += ["--snowflake-url", self._urls["snowflake"]]
        yield self._part(
            "emulators", command, _foreign_environment() | _emulator_settings() | {"PYTHONPATH": _python_path()}
        )

    def _worker(self) -> Part:
        environment = self._own_environment()
        environment["WEDSYNC_METRICS_ADDRESS"] = f"127.0.0.1:{self._ports['worker_metrics']}"
        others = ",".join(name for name in queues() if name != EMERGENCY_QUEUE)
        worker = self._part("worker", [sys.executable, "-m", "workers", "--queues", others], environment)
        return replace(worker, niceness=_NICENESS)

    def _emergency_worker(self) -> Part:
        """A process of its own: an interpreter that is busy with everything else delays no emergency."""
        command = [sys.executable, "-m", "workers", "--queues", EMERGENCY_QUEUE]
        return self._part("emergency-worker", command, self._own_environment())

    def _api_environment(self) -> dict[str, str]:
        return self._own_environment() | {
            "WEDSYNC_API_HOST": "127.0.0.1",
            "WEDSYNC_API_PORT": str(self._ports["api"]),
            "WEDSYNC_API_UI_ORIGIN": self._urls["ui"],
        }

    def _own_environment(self) -> dict[str, str]:
        """The operator's settings, pointed at this stack."""
        ours = ("WEDSYNC_TEMPORAL_", "WEDSYNC_API_", "WEDSYNC_METRICS_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment |= {
            "PYTHONPATH": _python_path(),
            "PYTHONUNBUFFERED": "1",
            "WEDSYNC_DATA_DIR": str(self._settings.data_dir),
            "WEDSYNC_TEMPORAL_ADDRESS": self._stack.temporal,
            "WEDSYNC_TEMPORAL_NAMESPACE": self._stack.namespace,
            "WEDSYNC_PUBLIC_URL": self._settings.public_url or self._stack.api,
        }
        if self._emulated:
            environment |= {
                "WEDSYNC_EMULATORS_URL": self._stack.emulators,
                "WEDSYNC_REPORT_URL": f"{self._stack.emulators}/wedsync",
                "WEDSYNC_REPORT_TOKEN": SANDBOX_REPORT_TOKEN,
            }
        return environment

    def _part(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        *,
        port: int | None = None,
        last: bool = False,
    ) -> Part:
        return Part(name, command, environment, self._logs, port, last)

    def _late(self, supervisor: Supervisor) -> Permanent:
        late = sorted(name for name, one in supervisor.parts.items() if not one.ready.is_set())
        return Permanent(
            "stack_not_ready",
            f"Not ready after {READY_WITHIN_S} s: {', '.join(late) or 'Temporal'}.",
            owner=Owner.OPERATOR,
            action="Read the logs in the data directory's logs folder.",
        )


async def _insist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat an idempotent call while Temporal is still starting; the whole start has its own time limit."""
    while True:
        try:
            return await call()
        except (RateLimited, Transient):
            await asyncio.sleep(ASK_AGAIN_S)


async def _until_polled(client: Client) -> None:
    """Wait for the first polls, which arrive a moment after a worker has said that it is ready."""
    for name in queues():
        # Temporal tells nobody of a first poll.
        while not await is_polled(client, name, activities=name != ORCHESTRATION_QUEUE):  # noqa: ASYNC110
            await asyncio.sleep(ASK_AGAIN_S)


def _settle(stopped: asyncio.Future[None], error: Permanent | None = None) -> None:
    if stopped.done():
        return
    if error is None:
        stopped.set_result(None)
    else:
        stopped.set_exception(error)


def _foreign_environment() -> dict[str, str]:
    """What a part that is not ours to trust with secrets gets of this environment."""
    return {name: os.environ[name] for name in _HARMLESS if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


def _emulator_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("WEDSYNC_EMULATOR_")}


def _python_path() -> str:
    """Our root before everything else: other distributions carry packages of the same names."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
