"""Keeping child processes alive: start, readiness, restart with back-off, clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import Owner, Permanent

log = logging.getLogger("wedsync.up")

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
SETTLED_S = 10.0
"""A part that has lived so long is not in a crash loop."""
GRACE_S = 7.0
TRIES_BEFORE_READY = 5
_LOG_BYTES = 10_000_000
_LINE_BYTES = 4_096
_PARENT_DEATH = 1


@dataclass(frozen=True)
class Part:
    """One child process of the stack.

    Args:
        name: also its log file's.
        command: the command line, without secrets.
        env: its whole environment.
        log_dir: where its output goes.
        port: when given, the part is ready once the port accepts; otherwise once it prints its ready line.
        last: whether it is stopped after all others.
        niceness: how far it lets the others' processes go first, as nice(1) counts.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log_dir: Path
    port: int | None = None
    last: bool = False
    niceness: int = 0


class _Log:
    """The part's output in a file of its own; the one before it is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn()

    def _turn(self) -> None:
        if self._path.exists():
            self._path.replace(self._path.with_suffix(".log.1"))
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(handle, "wb", buffering=0)
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._size += len(chunk)
        if self._size > _LOG_BYTES:
            self._file.close()
            self._turn()

    def close(self) -> None:
        self._file.close()


class Supervised:
    """A part that is started again whenever it dies.

    Args:
        part: what to run.
        gave_up: called once when the part never became ready.
    """

    def __init__(self, part: Part, gave_up: Callable[[Permanent], None]) -> None:
        self.part = part
        self.ready = asyncio.Event()
        self.restarts = 0
        self._gave_up = gave_up
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin to run the part."""
        self._task = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        output = _Log(self.part.log_dir / f"{self.part.name}.log")
        try:
            while not self._stopping:
                started = loop.time()
                code = await self._once(output)
                if self._stopping:
                    return
                failures = 1 if loop.time() - started > SETTLED_S else failures + 1
                if not self.ready.is_set() and failures >= TRIES_BEFORE_READY:
                    self._gave_up(_never_ready(self.part))
                    return
                pause = min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)
                self.restarts += 1
                log.warning("%s ended with code %s and is started again in %.1f s", self.part.name, code, pause)
                await asyncio.sleep(pause)
        finally:
            output.close()

    async def _once(self, output: _Log) -> int:
        parent = os.getpid()
        self._process = await asyncio.create_subprocess_exec(
            *self.part.command,
            env=dict(self.part.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: _begin(parent, self.part.niceness),
        )
        if self._stopping:
            self.signal(signal.SIGKILL)
        log.info("%s runs with process id %s", self.part.name, self._process.pid)
        probe = asyncio.create_task(self._await_port()) if self.part.port is not None else None
        try:
            await self._pump(self._process, output)
            return await self._process.wait()
        finally:
            if probe:
                probe.cancel()
            self._process = None

    async def _pump(self, process: asyncio.subprocess.Process, output: _Log) -> None:
        stream = process.stdout
        if stream is None:
            return
        rest = b""
        while chunk := await stream.read(65_536):
            output.write(chunk)
            if self.ready.is_set():
                continue
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-_LINE_BYTES:]
            if self.part.port is None and any(_says_ready(line) for line in lines):
                self.ready.set()

    async def _await_port(self) -> None:
        while not self.ready.is_set():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.part.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.ready.set()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the part's whole process group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def stop(self, grace_s: float) -> None:
        """Ask the part to end, and kill it after `grace_s` seconds."""
        self._stopping = True
        if self._task is None:
            return
        self.signal(signal.SIGTERM)
        if self._process is None:
            self._task.cancel()
        _, pending = await asyncio.wait([self._task], timeout=grace_s)
        if pending:
            log.warning("%s did not end in time and is killed", self.part.name)
            self.signal(signal.SIGKILL)
            await asyncio.wait([self._task], timeout=1)


class Supervisor:
    """A set of supervised parts.

    Args:
        on_failure: called when a part can never become ready.
    """

    def __init__(self, on_failure: Callable[[Permanent], None]) -> None:
        self._on_failure = on_failure
        self.parts: dict[str, Supervised] = {}

    def add(self, part: Part) -> Supervised:
        """Start a part and keep it alive."""
        supervised = Supervised(part, self._on_failure)
        self.parts[part.name] = supervised
        supervised.start()
        return supervised

    async def until_ready(self) -> None:
        """Wait until every part has been ready once."""
        await asyncio.gather(*(one.ready.wait() for one in self.parts.values()))

    async def stop(self) -> None:
        """End every part, those marked last after the others."""
        first = [one for one in self.parts.values() if not one.part.last]
        last = [one for one in self.parts.values() if one.part.last]
        await _together([one.stop(GRACE_S) for one in first])
        await _together([one.stop(2.0) for one in last])


async def _together(stops: list[Awaitable[None]]) -> None:
    await asyncio.gather(*stops)


def _never_ready(part: Part) -> Permanent:
    return Permanent(
        "part_not_ready",
        f"The part {part.name} ended {TRIES_BEFORE_READY} times before it was ready.",
        owner=Owner.OPERATOR,
        action=f"Read logs/{part.name}.log in the data directory.",
    )


def _says_ready(line: bytes) -> bool:
    if not line.lstrip().startswith(b"{"):
        return False
    try:
        said = json.loads(line)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("event") == "ready"


_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _begin(parent: int, niceness: int) -> None:
    """Runs in the child before it becomes the part: the kernel kills it when the supervisor is killed."""
    os.nice(niceness)
    if _LIBC is None:
        return
    _LIBC.prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
