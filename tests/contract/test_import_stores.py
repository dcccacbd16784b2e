"""Source files in an object store, against moto's S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.storage import imports
from activities.storage.imports import ImportStores
from contracts.errors import InvalidInput, Permanent, Transient, WedSyncError
from tests.support.object_store import Bucket, point_at, s3_server

ORGANIZATION = "lumen-studios"
PREFIX = "s3://exports/weddings/{organization}/"
OURS = "s3://exports/weddings/lumen-studios"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    point_at(server, monkeypatch)
    return Bucket(server, "exports")


async def failing(uri: str, folder: Path, *prefixes: str) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        await ImportStores(prefixes or (PREFIX,)).fetch(ORGANIZATION, uri, folder / "source.csv")
    return caught.value


async def test_a_file_below_the_organisations_prefix_is_read(bucket: Bucket, tmp_path: Path):
    bucket.put("weddings/lumen-studios/2027/june.csv", b"wedding_id\nwed-1\n")
    path = tmp_path / "source.csv"
    await ImportStores([PREFIX]).fetch(ORGANIZATION, f"{OURS}/2027/june.csv", path)
    assert path.read_bytes() == b"wedding_id\nwed-1\n"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://exports/weddings/oak-barn/june.csv",
        "s3://exports/weddings/lumen-studios-2/june.csv",
        "s3://exports/june.csv",
        "s3://exports-2/weddings/lumen-studios/june.csv",
        "gs://exports/weddings/lumen-studios/june.csv",
    ],
)
async def test_a_file_elsewhere_is_refused_whether_it_is_there_or_not(bucket: Bucket, tmp_path: Path, uri: str):
    bucket.put("weddings/oak-barn/june.csv", b"secret")
    assert (await failing(uri, tmp_path)).detail.code == "source_not_allowed"


async def test_nothing_is_read_where_the_operator_allows_nothing(bucket: Bucket, tmp_path: Path):
    with pytest.raises(InvalidInput) as caught:
        await ImportStores().fetch(ORGANIZATION, f"{OURS}/june.csv", tmp_path / "source.csv")
    assert caught.value.detail.code == "source_not_allowed"


@pytest.mark.parametrize(
    "key",
    [
        *("../oak-barn/june.csv", "./june.csv", "a/../../oak-barn/june.csv", "//june.csv", "%2e%2e/oak-barn/june.csv"),
        *("june.csv\x00.parquet", "june\n.csv", "\u2215etc\u2215passwd", "june.csv?versionId=1", "june.csv#x", ""),
        *("a\\..\\june.csv", "j" * 300),
    ],
)
async def test_f62_a_hostile_name_is_refused_and_writes_no_file(bucket: Bucket, tmp_path: Path, key: str):
    error = await failing(f"{OURS}/{key}", tmp_path)
    assert (type(error), error.detail.code) == (InvalidInput, "source_uri_invalid")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["http", "https", "file", "ftp", "memory", "S3"])
async def test_f62_only_object_stores_are_opened(bucket: Bucket, tmp_path: Path, scheme: str):
    assert (await failing(f"{scheme}://exports/june.csv", tmp_path)).detail.code == "source_uri_invalid"


async def test_a_file_that_is_not_there_is_the_requests_fault(bucket: Bucket, tmp_path: Path):
    assert (await failing(f"{OURS}/june.csv", tmp_path)).detail.code == "source_not_found"


async def test_an_empty_file_is_refused(bucket: Bucket, tmp_path: Path):
    bucket.put("weddings/lumen-studios/june.csv", b"")
    assert (await failing(f"{OURS}/june.csv", tmp_path)).detail.code == "source_empty"


async def test_a_file_above_the_limit_is_refused_unread(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(imports, "MAX_BYTES", 10)
    bucket.put("weddings/lumen-studios/june.csv", b"wedding_id\n")
    assert (await failing(f"{OURS}/june.csv", tmp_path)).detail.code == "source_too_large"
    assert list(tmp_path.iterdir()) == []


async def test_a_store_that_is_away_is_tried_again(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    error = await failing(f"{OURS}/june.csv", tmp_path)
    assert (type(error), error.detail.code) == (Transient, "store_unavailable")


@pytest.mark.parametrize("prefix", ["s3://exports", "exports/", "s3:///", "file:///srv/", "s3://exports/../x/", "*/"])
def test_a_prefix_that_is_none_stops_the_worker_at_its_start(prefix: str):
    with pytest.raises(Permanent):
        ImportStores([prefix])
