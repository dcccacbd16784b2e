"""RunWarehouseEtl: its decisions with fake activities, and whole loads into the Snowflake stand-in."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.boundary import as_application_error
from activities.connectors.warehouse.model import FACT_TABLE, RAW_TABLE, STAGING_TABLE
from contracts.errors import Permanent
from contracts.etl import (
    DataQuality,
    EtlBatch,
    EtlRequest,
    ETLResult,
    EtlTarget,
    ExtractResult,
    Layer,
    LayerLoaded,
    LoadLayerInput,
    MartsLoaded,
    Optimized,
    StagedLayer,
    TablesBuilt,
)
from contracts.integration import ProvisionResult
from contracts.names import DATA_QUEUE, ORCHESTRATION_QUEUE, system_queue
from emulators.wedding_files import write
from emulators.wedding_rows import DataSet
from tests.support.etl_house import SNOWFLAKE, House
from tests.support.snowflake_account import Account
from tests.support.temporal import polling, time_skipping
from workflows.run_warehouse_etl import RunWarehouseEtl

ORGANIZATION = "lumen-studios"
EXAMPLE: dict[str, Any] = {
    "etlId": "etl-0001",
    "organizationId": ORGANIZATION,
    "targetIntegration": {"integrationId": "snowflake-main"},
    "source": {"kind": "file", "uri": "file:///data/weddings.csv", "format": "csv"},
    "dataMapping": [
        {"target": "weddingId", "expression": "wedding_id"},
        {"target": "weddingDate", "expression": "cast(event_day as date)"},
        {"target": "guestCount", "expression": "adults + children"},
        {"target": "totalRevenue", "expression": "round(price * nights, 2)"},
    ],
    "dataQuality": {"failureThreshold": 0.05},
    "optimize": True,
}

pytestmark = pytest.mark.timeout(900)


def asked(**changes: Any) -> EtlRequest:
    return EtlRequest.model_validate({**EXAMPLE, **changes})


@asynccontextmanager
async def server() -> AsyncIterator[Client]:
    async with time_skipping() as environment:
        yield environment.client


def workers(client: Client, activities: list[Any]) -> AbstractAsyncContextManager[None]:
    return polling(client, [RunWarehouseEtl], activities, DATA_QUEUE, system_queue("snowflake"))


async def run(client: Client, request: EtlRequest) -> ETLResult:
    return await client.execute_workflow(
        RunWarehouseEtl.run, request, id=f"etl-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
    )


class FakeEtl:
    """Activities under the real names that answer what a test wants and note their calls."""

    def __init__(self, *, failed: int = 0, total: int = 100, lost: int = 0, corrupt: int = 0) -> None:
        self.failed, self.total, self.lost, self.corrupt = failed, total, lost, corrupt
        self.calls: list[str] = []

    def activities(self) -> list[Any]:
        return [
            *(self.check, self.prepare, self.extract, self.load_raw, self.load_staging),
            *(self.load_marts, self.build_analytics, self.optimize),
        ]

    @activity.defn(name="etl.check")
    async def check(self, request: EtlRequest) -> EtlTarget:
        self.calls.append("check")
        return EtlTarget(platform="snowflake")

    @activity.defn(name="etl.prepare")
    async def prepare(self, batch: EtlBatch) -> ProvisionResult:
        self.calls.append("prepare")
        return ProvisionResult()

    @activity.defn(name="etl.extract")
    async def extract(self, request: EtlRequest) -> ExtractResult:
        self.calls.append("extract")
        good = self.total - self.failed
        return ExtractResult(
            quality=DataQuality(
                total_records=self.total, failed_records=self.failed, failure_rate=self.failed / self.total,
                threshold=request.data_quality.failure_threshold, reasons={"wedding_id_missing": self.failed},
            ),
            raw=StagedLayer(layer=Layer.RAW, rows=self.total, digest="a" * 32),
            staging=StagedLayer(layer=Layer.STAGING, rows=good, digest="b" * 32),
        )  # fmt: skip

    @activity.defn(name="etl.load_raw")
    async def load_raw(self, given: LoadLayerInput) -> LayerLoaded:
        self.calls.append("raw")
        if self.corrupt:
            self.corrupt -= 1
            raise as_application_error(Permanent("staging_corrupt", "A staged file does not match its digest."))
        return LayerLoaded(rows=given.staged.rows)

    @activity.defn(name="etl.load_staging")
    async def load_staging(self, given: LoadLayerInput) -> LayerLoaded:
        self.calls.append("staging")
        await asyncio.sleep(0.2)
        self.calls.append("staged")
        return LayerLoaded(rows=given.staged.rows)

    @activity.defn(name="etl.load_marts")
    async def load_marts(self, batch: EtlBatch) -> MartsLoaded:
        self.calls.append("marts")
        standing = self.total - self.failed - self.lost
        return MartsLoaded(created=standing, standing=standing)

    @activity.defn(name="etl.build_analytics")
    async def build_analytics(self, batch: EtlBatch) -> TablesBuilt:
        self.calls.append("analytics")
        return TablesBuilt()

    @activity.defn(name="etl.optimize")
    async def optimize(self, batch: EtlBatch) -> Optimized:
        self.calls.append("optimize")
        return Optimized()


async def run_fake(fake: FakeEtl, **changes: Any) -> ETLResult:
    async with server() as client, workers(client, fake.activities()):
        return await run(client, asked(**changes))


async def failure_of(fake: FakeEtl) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as caught:
        await run_fake(fake)
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause


async def test_exactly_the_threshold_of_bad_rows_passes_the_gate():
    result = await run_fake(FakeEtl(failed=5))
    assert (result.status, result.books.rejected, result.facts_created) == ("completed", 5, 95)


async def test_one_row_above_the_threshold_fails_before_staging():
    fake = FakeEtl(failed=6)
    failure = await failure_of(fake)
    assert (failure.type, failure.details[0]["code"]) == ("QualityGateFailed", "quality_gate_failed")
    assert sorted(fake.calls) == ["check", "extract", "prepare", "raw"]


async def test_books_that_do_not_close_fail_the_run():
    failure = await failure_of(FakeEtl(lost=1))
    assert (failure.type, failure.details[0]["code"]) == ("Permanent", "books_not_closed")


async def test_optimising_happens_only_when_it_is_asked_for():
    fake = FakeEtl()
    await run_fake(fake, optimize=False)
    assert "optimize" not in fake.calls


async def test_f12_a_corrupt_staged_file_is_extracted_again_once_no_load_of_the_old_one_runs():
    fake = FakeEtl(corrupt=1)
    await run_fake(fake)
    again = fake.calls.index("extract", fake.calls.index("extract") + 1)
    before, after = Counter(fake.calls[:again]), Counter(fake.calls[again:])
    assert (before["staging"], before["staged"], after["staging"], after["staged"]) == (1, 1, 1, 1)


async def test_f12_files_that_stay_corrupt_fail_the_run():
    failure = await failure_of(FakeEtl(corrupt=2))
    assert failure.details[0]["code"] == "staging_corrupt"


@pytest.fixture
async def house(account: Account, tmp_path: Path):
    made = House(tmp_path, "snowflake-main", "snowflake", account.url)
    await made.connect(ORGANIZATION, *SNOWFLAKE)
    yield made
    await made.aclose()


def weddings(folder: Path, rows: int, dirty: float) -> dict[str, Any]:
    path = folder / "weddings.csv"
    write(DataSet(rows, 7, dirty), path, file_format="csv", layout="raw-csv")
    return {"kind": "file", "uri": path.as_uri(), "format": "csv"}


async def test_a_dirty_file_loads_its_good_rows_and_a_second_run_changes_nothing(house, account, tmp_path):
    source = weddings(tmp_path, 1_000, 0.04)
    async with server() as client, workers(client, house.activities()):
        first = await run(client, asked(source=source))
        facts, changes = account.rows(FACT_TABLE.name), account.changes()
        again = await run(client, asked(source=source))
    assert (first.books.read, first.books.created, first.books.rejected) == (1_000, 960, 40)
    assert first.tables[FACT_TABLE.name] == account.counts()[FACT_TABLE.name] == 960
    assert account.counts()[RAW_TABLE.name] == 1_000
    assert (again.books.created, again.books.updated, again.books.unchanged) == (0, 0, 960)
    assert (account.rows(FACT_TABLE.name), account.changes()) == (facts, changes)


async def test_f21_answers_lost_on_the_way_lose_and_double_nothing(house, account, tmp_path):
    source = weddings(tmp_path, 500, 0.04)
    for statement in ("COPY INTO", "MERGE INTO WEDDING_MARTS.FACT_WEDDINGS", "COMMIT"):
        account.drop_after(statement)
    async with server() as client, workers(client, house.activities()):
        result = await run(client, asked(source=source))
    assert (result.books.created, result.books.rejected) == (480, 20)
    counts = account.counts()
    assert (counts[RAW_TABLE.name], counts[STAGING_TABLE.name], counts[FACT_TABLE.name]) == (500, 480, 480)


async def test_a_dirty_load_reaches_raw_and_nothing_else(house, account, tmp_path):
    source = weddings(tmp_path, 500, 0.06)
    async with server() as client, workers(client, house.activities()):
        with pytest.raises(WorkflowFailureError) as caught:
            await run(client, asked(source=source))
    assert isinstance(caught.value.cause, ApplicationError)
    counts = account.counts()
    assert caught.value.cause.type == "QualityGateFailed"
    assert (counts[RAW_TABLE.name], counts[STAGING_TABLE.name], counts[FACT_TABLE.name]) == (500, 0, 0)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"source": {"kind": "file", "uri": "file:///nowhere/x.csv", "format": "csv"}}, "source_not_allowed"),
        ({"dataMapping": [{"target": "weddingId", "expression": "(select 1)"}]}, "expression_not_allowed"),
        ({"dataMapping": []}, "missing_column"),
    ],
)
async def test_a_wrong_request_fails_with_one_typed_error_before_the_warehouse(house, account, tmp_path, changes, code):
    source = weddings(tmp_path, 50, 0)
    async with server() as client, workers(client, house.activities()):
        with pytest.raises(WorkflowFailureError) as caught:
            await run(client, asked(**{"source": source, **changes}))
    assert isinstance(caught.value.cause, ApplicationError)
    assert (caught.value.cause.type, caught.value.cause.details[0]["code"]) == ("InvalidInput", code)
    assert account.changes() == []


def test_the_example_of_the_brief_is_accepted_verbatim():
    assert json.loads(asked().model_dump_json(exclude_unset=True)) == EXAMPLE
