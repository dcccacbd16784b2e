"""Staged objects: sealed per organisation, and checked when they are fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.security.envelope import MasterKey
from activities.storage.staging import Staging
from contracts.errors import Permanent, Transient

TEXT = b"Amelia Hart,The Orangery\n" * 100_000


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(f"file://{tmp_path}/staging", MasterKey(b"k" * 32), tmp_path / "scratch")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "weddings.csv"
    path.write_bytes(TEXT)
    return path


async def test_a_staged_file_comes_back_as_it_was(staging: Staging, source: Path, tmp_path: Path):
    ref = await staging.put_file("lumen/run-1/part-0.csv", source, 100_000)
    assert (await staging.fetch(ref, tmp_path)).read_bytes() == TEXT
    assert (ref.rows, ref.size_bytes) == (100_000, len(TEXT))


async def test_a_staged_object_shows_nothing_of_its_rows(staging: Staging, source: Path, tmp_path: Path):
    await staging.put_file("lumen/run-1/part-0.csv", source, 1)
    stored = [path for path in (tmp_path / "staging").rglob("*") if path.is_file()]
    assert len(stored) == 1
    assert b"Amelia" not in stored[0].read_bytes()


async def test_an_object_copied_to_another_organisation_does_not_open(staging: Staging, source: Path, tmp_path: Path):
    ref = await staging.put_file("lumen/run-1/part-0.csv", source, 1)
    other = tmp_path / "staging" / "velvet" / "run-1"
    other.mkdir(parents=True)
    (other / "part-0.csv").write_bytes((tmp_path / "staging" / ref.key).read_bytes())
    with pytest.raises(Permanent, match="does not open"):
        await staging.fetch(ref.model_copy(update={"key": "velvet/run-1/part-0.csv"}), tmp_path)


async def test_an_object_that_is_gone_is_worth_another_try(staging: Staging, source: Path, tmp_path: Path):
    ref = await staging.put_file("lumen/run-1/part-0.csv", source, 1)
    assert await staging.delete_prefix("lumen/run-1") == 1
    with pytest.raises(Transient, match="not in the object store"):
        await staging.fetch(ref, tmp_path)


def test_a_scratch_directory_is_gone_after_use(staging: Staging):
    with staging.scratch() as used:
        (used / "plain.csv").write_bytes(TEXT)
    assert not used.exists()


def test_what_a_killed_process_left_readable_is_removed_at_the_next_start(tmp_path: Path):
    left = tmp_path / "scratch" / "of-a-killed-process"
    left.mkdir(parents=True)
    (left / "plain.csv").write_bytes(TEXT)
    Staging(f"file://{tmp_path}/staging", MasterKey(b"k" * 32), tmp_path / "scratch")
    assert not left.exists()


def test_the_scratch_of_a_process_that_runs_stays(staging: Staging, tmp_path: Path):
    with staging.scratch() as used:
        Staging(f"file://{tmp_path}/staging", MasterKey(b"k" * 32), tmp_path / "scratch")
        assert used.exists()


async def test_a_note_is_sealed_replaced_and_found_again(staging: Staging, tmp_path: Path):
    assert await staging.note("lumen/run-1/job") is None
    for text in ("job-0001", "job-0002", ""):
        await staging.put_note("lumen/run-1/job", text)
        assert await staging.note("lumen/run-1/job") == text
        assert b"job-" not in (tmp_path / "staging" / "lumen" / "run-1" / "job").read_bytes()
