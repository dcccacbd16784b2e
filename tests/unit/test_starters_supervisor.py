"""Parts of the stack are kept alive, stopped cleanly and never outlive their supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from contracts.errors import InvalidInput, Permanent
from starters.ports import choose_ports, is_free
from starters.private_files import write_private
from starters.supervisor import Part, Supervisor

READY = 'echo \'{"event": "ready"}\''
ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
async def failures() -> asyncio.Queue[Permanent]:
    return asyncio.Queue()


@pytest.fixture
async def supervisor(failures: asyncio.Queue[Permanent]) -> AsyncIterator[Supervisor]:
    found = Supervisor(failures.put_nowait)
    yield found
    for one in found.parts.values():
        await one.stop(0.1)


def shell(tmp_path: Path, script: str, name: str = "part") -> Part:
    return Part(name, ["sh", "-c", script], ENV, tmp_path)


async def until_gone(pid: int) -> None:
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_a_part_is_ready_once_it_says_so(supervisor: Supervisor, tmp_path: Path) -> None:
    part = supervisor.add(shell(tmp_path, f"echo not yet; {READY}; exec sleep 60"))
    await part.ready.wait()
    assert "not yet" in (tmp_path / "part.log").read_text()


async def test_a_killed_part_runs_again(supervisor: Supervisor, tmp_path: Path) -> None:
    part = supervisor.add(shell(tmp_path, f"{READY}; exec sleep 60"))
    await part.ready.wait()
    before = part.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    while part.pid in {before, None}:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert part.restarts == 1


async def test_a_stubborn_part_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    part = supervisor.add(shell(tmp_path, f"trap '' TERM; {READY}; while :; do sleep 1; done"))
    await part.ready.wait()
    pid = part.pid
    assert pid is not None
    await part.stop(0.1)
    await until_gone(pid)


async def test_a_part_that_never_gets_ready_is_given_up_with_its_log_named(
    supervisor: Supervisor, failures: asyncio.Queue[Permanent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starters.supervisor.FIRST_PAUSE_S", 0.001)
    supervisor.add(shell(tmp_path, "exit 3", "broken"))
    error = await failures.get()
    assert "broken.log" in error.detail.action


async def test_a_parts_log_is_its_owners_alone(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.add(shell(tmp_path, f"{READY}; exec sleep 60")).ready.wait()
    assert (tmp_path / "part.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_parts_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    part = f"Part('part', {['sh', '-c', READY + '; exec sleep 60']!r}, {ENV!r}, Path({str(tmp_path)!r}))"
    program = f"""
import asyncio
from pathlib import Path
from starters.supervisor import Part, Supervisor

async def main():
    one = Supervisor(print).add({part})
    await one.ready.wait()
    print(one.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    root = str(Path(__file__).parents[2])
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root)
    assert parent.stdout is not None
    child = int(await asyncio.to_thread(parent.stdout.readline))
    parent.kill()
    parent.wait()
    await until_gone(child)


def test_ports_are_remembered_and_differ(tmp_path: Path) -> None:
    wanted = dict.fromkeys(("a", "b", "c"), 0)
    first = choose_ports(tmp_path, wanted)
    assert len(set(first.values())) == len(wanted)
    assert choose_ports(tmp_path, wanted) == first


def test_a_port_in_use_is_refused_when_asked_for_and_replaced_when_remembered(tmp_path: Path) -> None:
    port = choose_ports(tmp_path, {"a": 0})["a"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert not is_free(port)
        assert choose_ports(tmp_path, {"a": 0})["a"] != port
        with pytest.raises(InvalidInput, match=str(port)):
            choose_ports(tmp_path, {"a": port})


def test_a_private_file_is_replaced_whole_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    write_private(file, "first")
    write_private(file, "second")
    assert file.read_text() == "second"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["stack.json"]
