"""The master key rotated on a running stack, as its operator does it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from activities.security.envelope import MasterKey
from activities.security.key_files import KeyFiles
from contracts.health import HealthWord
from starters.client import open_wedsync
from starters.keys import rotate
from tests.benchmarks.bench_keys import measure, prepare, settings_of
from tests.e2e.conftest import RunningStack
from tests.e2e.documents import ORGANIZATION, wedding
from workers.settings import Settings


def test_syncs_go_on_while_the_master_key_is_rotated_and_its_worker_is_killed(stack: RunningStack, fresh: str) -> None:
    settings = settings_of(stack)
    asyncio.run(prepare(stack, settings, fresh))
    found = asyncio.run(measure(stack, settings, 1_000, fresh))
    assert (found["failed_syncs"], found["written_after_first"]) == (0, 0)
    assert (found["open_under_new"], found["open_under_old"]) == (found["credentials"], 0)
    assert (found["left_under_old"], found["keys_held"]) == (0, 1)


def test_one_command_rotates_the_key_and_what_ran_before_is_readable_after_it(stack: RunningStack, fresh: str) -> None:
    stack.json("weddings", "start", stack.file(wedding(fresh)))
    [before] = [use for use in stack.json("keys", "status")["keys"] if use["newest"]]
    done = stack.json("keys", "rotate")
    [after] = [use for use in stack.json("keys", "status")["keys"] if use["rows"]]
    assert (after["keyId"], after["newest"], sum(after["rows"].values())) == (done["keyId"], True, done["records"])
    assert before["keyId"] in done["retired"]
    moved = stack.json("weddings", "move", fresh, "--date", "2031-06-19", "--organization", ORGANIZATION)
    assert moved["wedding"]["weddingDate"] == "2031-06-19"


def test_keys_from_the_environment_are_rotated_in_the_documented_order(tmp_path: Path, fresh: str) -> None:
    old, new = MasterKey.generate().as_text(), MasterKey.generate().as_text()
    order: list[dict[str, str]] = [
        {"WEDSYNC_MASTER_KEY": old, "WEDSYNC_MASTER_KEY_PREVIOUS": new},
        {"WEDSYNC_MASTER_KEY": new, "WEDSYNC_MASTER_KEY_PREVIOUS": old},
        {"WEDSYNC_MASTER_KEY": new},
    ]
    stack = RunningStack(tmp_path / "data")
    for step, keys in enumerate(order):
        stack.start(keys)
        with pytest.MonkeyPatch.context() as given:
            for name, text in keys.items():
                given.setenv(name, text)
            settings = settings_of(stack)
        try:
            if step == 0:
                asyncio.run(prepare(stack, settings, fresh))
            if step == 1:
                assert asyncio.run(rotate(settings)).retired == [MasterKey.from_text(old).key_id()]
            assert asyncio.run(healthy(settings, fresh))
        finally:
            assert stack.stop() == 0
    assert not list(stack.data_dir.glob("master.key*"))


async def healthy(settings: Settings, organization_id: str) -> bool:
    async with open_wedsync(settings) as wedsync:
        found = await wedsync.health(organization_id)
    return [one.status for one in found.statuses] == [HealthWord.HEALTHY]


def test_a_rotation_that_was_broken_off_is_taken_up(stack: RunningStack) -> None:
    files = KeyFiles(stack.data_dir / "master.key")
    files.previous.write_bytes(files.newest.read_bytes())
    files.previous.chmod(0o600)
    doctor = {check["name"]: check for check in json.loads(stack.cli("doctor", "--json").stdout)["checks"]}
    assert doctor["master key"]["action"] == "Run `wedsync keys rotate`, which takes it up."
    stack.json("keys", "rotate")
    assert not files.previous.exists()
