"""Staged objects: sealed per organisation, and checked when they are fetched."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.security.envelope import MasterKey
from activities.storage.staging import Staging
from contracts.errors import Permanent, Transient, WedSyncError
from tests.support.damage import DAMAGE, damaged
from tests.support.small_disk import small_disk  # noqa: F401 - a fixture

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


EXTRACTED_AGAIN = {"staging_corrupt", "staging_missing", "sealed_data_unreadable"}


@given(st.sampled_from(DAMAGE), st.floats(0, 1, exclude_max=True))
async def test_f12_no_damaged_object_is_ever_read_as_something_else(kind: str, where: float):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        staging = Staging(f"file://{folder}/staging", MasterKey(b"k" * 32), folder / "scratch")
        (folder / "part.csv").write_bytes(TEXT[:200_000])
        ref = await staging.put_file("lumen/run-1/part.csv", folder / "part.csv", 1)
        stored = folder / "staging" / ref.key
        stored.write_bytes(damaged(stored.read_bytes(), kind, where))
        found, code = b"", ""
        try:
            found = (await staging.fetch(ref, folder)).read_bytes()
        except WedSyncError as error:
            code = error.detail.code
    assert code in EXTRACTED_AGAIN or found == TEXT[:200_000]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(16 << 20))
    return path


async def test_f11_what_does_not_fit_on_the_stores_disk_leaves_the_old_object(
    small_disk: Path,  # noqa: F811
    source: Path,
    large: Path,
    tmp_path: Path,
):
    staging = Staging(f"file://{small_disk}", MasterKey(b"k" * 32), tmp_path / "scratch")
    ref = await staging.put_file("lumen/run-1/part", source, 1)
    with pytest.raises(Transient) as caught:
        await staging.put_file("lumen/run-1/part", large, 1)
    assert caught.value.detail.code == "storage_full"
    assert (await staging.fetch(ref, tmp_path)).read_bytes() == TEXT
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["part"]


async def test_f11_a_full_scratch_disk_is_said_to_be_full_by_whoever_finds_it(
    small_disk: Path,  # noqa: F811
    large: Path,
    tmp_path: Path,
):
    staging = Staging(f"file://{tmp_path}/staging", MasterKey(b"k" * 32), small_disk)
    ref = await staging.put_file("lumen/run-1/part", large, 1)

    async def fetch(folder: Path) -> None:
        await staging.fetch(ref, folder)

    async def spill(folder: Path) -> None:
        with duckdb.connect(folder / "work.duckdb") as connection:
            connection.execute("CREATE TABLE t AS SELECT random() AS a, random() AS b FROM range(4000000)")

    for work in (fetch, spill):
        with pytest.raises(Transient) as caught, staging.scratch() as folder:
            await work(folder)
        assert caught.value.detail.code == "storage_full"
    assert not [path for path in small_disk.rglob("*") if path.is_file() and path.name != ".lock"]
