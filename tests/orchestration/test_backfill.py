"""A backfill in slices of time leaves the warehouse as one load of everything does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from activities.connectors.warehouse.model import FACT_TABLE
from contracts.etl import EtlRequest
from emulators.wedding_files import write
from emulators.wedding_rows import DataSet
from starters.backfill import slices
from tests.orchestration.test_run_warehouse_etl import ORGANIZATION, asked, run, server, workers
from tests.support.etl_house import SNOWFLAKE, House
from tests.support.snowflake_account import Account

pytestmark = pytest.mark.timeout(900)

ROWS = 300


@pytest.fixture
async def house(account: Account, tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path, "snowflake-main", "snowflake", account.url)
    await made.connect(ORGANIZATION, *SNOWFLAKE)
    yield made
    await made.aclose()


def request(folder: Path) -> EtlRequest:
    write(DataSet(ROWS, 7, 0.0), folder / "weddings.parquet", file_format="parquet", layout="raw-csv")
    source = {"kind": "file", "uri": (folder / "weddings.parquet").as_uri(), "format": "parquet"}
    return asked(source=source, optimize=False)


def facts(account: Account) -> list[tuple[Any, ...]]:
    columns = ("WEDDING_ID", "WEDDING_DATE", "GUEST_COUNT", "TOTAL_REVENUE")
    return sorted(tuple(str(row[name]) for name in columns) for row in account.rows(FACT_TABLE.name))


async def test_slices_leave_the_same_facts_as_one_load(house: House, account: Account, tmp_path: Path):
    whole = request(tmp_path)
    changed = [row["updated_at"] for row in pq.read_table(tmp_path / "weddings.parquet").to_pylist()]
    first, last = min(changed).date(), max(changed).date()
    empty_before = first - timedelta(days=(last - first).days // 2 + 1)
    made = slices(whole, empty_before, last, (last - first).days // 2 + 1)
    async with server() as client, workers(client, house.activities()):
        books = [(await run(client, one)).books for one in made]
        sliced = facts(account)
        account.reset()
        await run(client, whole)
    assert (books[0].read, sum(one.read for one in books), sum(one.created for one in books)) == (0, ROWS, ROWS)
    assert sliced == facts(account)
