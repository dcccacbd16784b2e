"""Whole loads whose staged files lie in S3, with one of them damaged behind the worker's back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity

from activities.connectors.warehouse.model import FACT_TABLE, RAW_TABLE
from contracts.etl import EtlRequest, ExtractResult
from tests.orchestration.test_run_warehouse_etl import ORGANIZATION, asked, run, server, weddings, workers
from tests.support.damage import damaged
from tests.support.etl_house import SNOWFLAKE, House
from tests.support.object_store import Bucket, point_at, s3_server
from tests.support.snowflake_account import Account

pytestmark = pytest.mark.timeout(900)

ROWS, BAD = 500, 20


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    point_at(s3, monkeypatch)
    return Bucket(s3, "staging")


@pytest.fixture
async def house(account: Account, tmp_path: Path, bucket: Bucket) -> AsyncIterator[House]:
    made = House(tmp_path, "snowflake-main", "snowflake", account.url, "s3://staging/wedsync")
    await made.connect(ORGANIZATION, *SNOWFLAKE)
    yield made
    await made.aclose()


class Sabotage:
    """The extract, after whose first run somebody damages the object of a name."""

    def __init__(self, house: House, bucket: Bucket, name: str, kind: str) -> None:
        self._house, self._bucket, self._name, self._kind = house, bucket, name, kind
        self.runs = 0

    @activity.defn(name="etl.extract")
    async def extract(self, request: EtlRequest) -> ExtractResult:
        result = await self._house.etl.extract(request)
        self.runs += 1
        if self.runs == 1:
            [key] = [key for key in self._bucket.listed() if key.endswith(self._name)]
            self._bucket.put(key, damaged(self._bucket.get(key), self._kind, 0.5))
        return result

    def activities(self) -> list[Any]:
        return [self.extract, *(one for one in self._house.activities() if one != self._house.etl.extract)]


@pytest.mark.parametrize("kind", ["flipped", "trimmed", "emptied"])
@pytest.mark.parametrize("name", ["raw-00000.parquet", "staging-00000.parquet"])
async def test_f12_a_damaged_file_is_extracted_again_and_never_loaded(
    house: House, account: Account, bucket: Bucket, tmp_path: Path, name: str, kind: str
):
    sabotage = Sabotage(house, bucket, name, kind)
    async with server() as client, workers(client, sabotage.activities()):
        result = await run(client, asked(source=weddings(tmp_path, ROWS, BAD / ROWS)))
    counts = account.counts()
    assert (sabotage.runs, result.books.created, result.books.rejected) == (2, ROWS - BAD, BAD)
    assert (counts[RAW_TABLE.name], counts[FACT_TABLE.name]) == (ROWS, ROWS - BAD)


async def test_a_load_through_s3_leaves_only_sealed_objects_there(
    house: House, account: Account, bucket: Bucket, tmp_path: Path
):
    async with server() as client, workers(client, house.activities()):
        result = await run(client, asked(source=weddings(tmp_path, ROWS, BAD / ROWS)))
    assert result.books.created == account.counts()[FACT_TABLE.name] == ROWS - BAD
    assert sorted(key.rsplit("/", 1)[-1] for key in bucket.listed()) == [
        "quarantine.ndjson", "raw-00000.parquet", "staging-00000.parquet",
    ]  # fmt: skip
    assert not any(b"PAR1" in bucket.get(key) or b"wed-" in bucket.get(key) for key in bucket.listed())
