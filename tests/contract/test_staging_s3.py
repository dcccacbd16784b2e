"""Staging in an object store, against moto's S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.security.envelope import MasterKey
from activities.storage.staging import Staging
from contracts.errors import Transient, WedSyncError
from tests.support.damage import DAMAGE, damaged
from tests.support.object_store import Bucket, point_at, s3_server

TEXT = b"Amelia Hart,The Orangery\n" * 400_000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    point_at(server, monkeypatch)
    return Bucket(server, "staging")


@pytest.fixture
def staging(bucket: Bucket, tmp_path: Path) -> Staging:
    return Staging("s3://staging/wedsync", MasterKey(b"k" * 32), tmp_path / "scratch")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "weddings.csv"
    path.write_bytes(TEXT)
    return path


async def test_a_staged_file_comes_back_as_it_was_and_lies_there_sealed(
    staging: Staging, bucket: Bucket, source: Path, tmp_path: Path
):
    ref = await staging.put_file("lumen/run-1/part-0.csv", source, 400_000)
    assert (await staging.fetch(ref, tmp_path / "scratch")).read_bytes() == TEXT
    assert bucket.listed() == ["wedsync/lumen/run-1/part-0.csv"]
    assert b"Amelia" not in bucket.get(bucket.listed()[0])


@pytest.mark.parametrize("kind", sorted({*DAMAGE} - {"repeated"}))
async def test_f12_a_damaged_object_is_not_read(
    staging: Staging, bucket: Bucket, source: Path, tmp_path: Path, kind: str
):
    ref = await staging.put_file("lumen/run-1/part-0.csv", source, 1)
    [key] = bucket.listed()
    bucket.put(key, damaged(bucket.get(key), kind, 0.5))
    with pytest.raises(WedSyncError) as caught:
        await staging.fetch(ref, tmp_path)
    assert caught.value.detail.code in {"staging_corrupt", "sealed_data_unreadable"}


async def test_an_object_that_is_gone_is_said_to_be_missing(staging: Staging, source: Path, tmp_path: Path):
    ref = await staging.put_file("lumen/run-1/part-0.csv", source, 1)
    assert await staging.delete_prefix("lumen/run-1") == 1
    with pytest.raises(Transient) as caught:
        await staging.fetch(ref, tmp_path)
    assert caught.value.detail.code == "staging_missing"


async def test_a_note_is_replaced_and_found_again(staging: Staging, bucket: Bucket):
    assert await staging.note("lumen/run-1/note") is None
    await staging.put_note("lumen/run-1/note", "first")
    await staging.put_note("lumen/run-1/note", "second")
    assert await staging.note("lumen/run-1/note") == "second"
    assert b"second" not in bucket.get("wedsync/lumen/run-1/note")


async def test_a_store_that_is_away_is_tried_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    staging = Staging("s3://staging/wedsync", MasterKey(b"k" * 32), tmp_path / "scratch")
    with pytest.raises(Transient) as caught:
        await staging.put_file("lumen/run-1/part-0.csv", source, 1)
    assert caught.value.detail.code == "object_store_unavailable"
