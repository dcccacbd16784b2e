"""TransformReport: its decisions with fake activities, and whole transformations of real files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.access import Access
from activities.security.envelope import MasterKey
from activities.sources import Sources
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database
from activities.storage.staging import Staging
from activities.transformations import Transformations
from contracts.dataset import DatasetRef
from contracts.names import DATA_QUEUE, ORCHESTRATION_QUEUE
from contracts.sync import Books
from contracts.transformation import DataTransformation, SourceColumns, TransformedData
from emulators.wedding_files import write
from emulators.wedding_rows import DataSet
from tests.support.temporal import polling, time_skipping
from workflows.transform_report import TransformReport

EXAMPLE: dict[str, Any] = {
    "transformationId": "transform-1",
    "organizationId": "lumen-studios",
    "source": {"kind": "file", "uri": "file:///data/weddings.csv", "format": "csv"},
    "dataFilters": [{"field": "status", "operator": "ne", "value": "cancelled"}],
    "transformationRules": [
        {"ruleId": "worth-it", "condition": "double(price) > 5000.0", "reason": "the fee is below the threshold"}
    ],
    "dataMapping": [
        {"target": "weddingId", "expression": "upper(wedding_id)"},
        {"target": "guests", "expression": "adults + children"},
        {"target": "revenue", "expression": "round(price * nights, 2)"},
        {"target": "day", "source": "event_day", "required": True},
    ],
}
REF = DatasetRef(key="lumen-studios/x", rows=90, size_bytes=1, sha256="0" * 64)


def asked(**changes: Any) -> DataTransformation:
    return DataTransformation.model_validate({**EXAMPLE, **changes})


@asynccontextmanager
async def server() -> AsyncIterator[Client]:
    async with time_skipping() as environment:
        yield environment.client


def workers(client: Client, activities: list[Any]) -> AbstractAsyncContextManager[None]:
    return polling(client, [TransformReport], activities, DATA_QUEUE)


async def run(activities: list[Any], request: DataTransformation) -> TransformedData:
    async with server() as client, workers(client, activities):
        return await client.execute_workflow(
            TransformReport.run, request, id=f"transform-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
        )


async def failure_of(activities: list[Any], request: DataTransformation) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as caught:
        await run(activities, request)
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause


class FakeTransformations:
    """Activities under the real names that say what a test wants."""

    def __init__(self, *, rejected: int = 10, quarantined: int = 10) -> None:
        self.books = Books(read=90 + rejected, created=90, rejected=rejected)
        self.quarantined = quarantined

    def activities(self) -> list[Any]:
        return [self.check, self.run]

    @activity.defn(name="transform.check")
    async def check(self, request: DataTransformation) -> SourceColumns:
        return SourceColumns()

    @activity.defn(name="transform.run")
    async def run(self, request: DataTransformation) -> TransformedData:
        return TransformedData(
            transformation_id=request.transformation_id,
            parts=[REF],
            quarantine=REF.model_copy(update={"rows": self.quarantined}),
            books=self.books,
        )


async def test_books_that_the_files_bear_out_are_the_result():
    done = await run(FakeTransformations().activities(), asked())
    assert (done.books.read, done.books.created, done.books.rejected) == (100, 90, 10)


async def test_books_that_the_quarantine_does_not_bear_out_fail_the_run():
    failure = await failure_of(FakeTransformations(quarantined=9).activities(), asked())
    assert (failure.type, failure.details[0]["code"]) == ("Permanent", "books_not_closed")


class House:
    """The real activities over a store and a staging area of their own."""

    def __init__(self, folder: Path) -> None:
        key = MasterKey(bytes(32))
        self.folder = folder
        self.staging = Staging(f"file://{folder}/objects", key, folder / "scratch")
        self.database = Database(f"sqlite:///{folder}/store.db")
        connections = ConnectionStore(self.database, key)
        access = Access(connections, SealedSecretStore(self.database, key), self._nowhere)
        self._real = Transformations(Sources(access, self.staging, [folder]), self.staging)

    @staticmethod
    async def _nowhere(_platform: str) -> str | None:
        return None

    def activities(self) -> list[Any]:
        return [self._real.check, self._real.run]

    async def opened(self, ref: DatasetRef | None) -> Path:
        assert ref is not None
        return await self.staging.fetch(ref, self.folder)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    await made.database.aclose()


def weddings(folder: Path, file_format: str = "csv", rows: int = 1_500) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write a file and return it as a source beside its rows."""
    for one in ("parquet", file_format):
        write(DataSet(rows, 7, 0.0), folder / f"weddings.{one}", file_format=one, layout="raw-csv")
    source = {"kind": "file", "uri": (folder / f"weddings.{file_format}").as_uri(), "format": file_format}
    return source, pq.read_table(folder / "weddings.parquet").to_pylist()


@pytest.mark.parametrize("file_format", ["csv", "ndjson", "parquet"])
async def test_every_record_is_filtered_judged_and_mapped(house: House, tmp_path: Path, file_format: str):
    source, rows = weddings(tmp_path, file_format)
    done = await run(house.activities(), asked(source=source))
    kept = [row for row in rows if row["status"] != "cancelled"]
    good = {row["wedding_id"].upper(): row for row in kept if row["price"] > 5_000}
    found = {row["weddingId"]: row for row in pq.read_table(await house.opened(done.parts[0])).to_pylist()}
    assert (done.books.read, done.books.created) == (len(kept), len(good)) == (len(kept), len(found))
    assert 0 < len(good) < len(kept) < len(rows)
    for name, row in good.items():
        assert (found[name]["guests"], found[name]["day"]) == (row["adults"] + row["children"], row["event_day"])
        assert abs(Decimal(str(found[name]["revenue"])) - Decimal(str(row["price"])) * row["nights"]) <= Decimal("0.01")


async def test_the_published_example_is_carried_out(house: House, tmp_path: Path):
    example = json.loads((Path(__file__).parents[2] / "examples" / "transform-report.json").read_text())
    path = tmp_path / "weddings.ndjson"
    write(DataSet(200, 7, 0.0), path, file_format="ndjson")
    source = {"kind": "file", "uri": path.as_uri(), "format": "ndjson"}
    done = await run(house.activities(), DataTransformation.model_validate({**example, "source": source}))
    table = pq.read_table(await house.opened(done.parts[0]))
    assert (table.num_rows, done.books.rejected) == (done.books.created, 0)
    assert table.column_names == ["weddingId", "month", "revenuePerGuest"]


async def test_a_rejected_record_is_told_by_its_id_and_reason(house: House, tmp_path: Path):
    source, rows = weddings(tmp_path)
    done = await run(house.activities(), asked(source=source, dataFilters=[]))
    told = [json.loads(line) for line in (await house.opened(done.quarantine)).read_text().splitlines()]
    assert {one["recordId"] for one in told} == {row["wedding_id"] for row in rows if row["price"] <= 5_000}
    assert {one["reason"] for one in told} == {"rule worth-it: the fee is below the threshold"}


async def test_a_repeat_ends_in_the_same_files(house: House, tmp_path: Path):
    source, _ = weddings(tmp_path)
    first, again = [await run(house.activities(), asked(source=source)) for _ in range(2)]
    assert (first.parts[0].key, first.books) == (again.parts[0].key, again.books)
    objects = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
    assert len(objects) == 2


async def test_nothing_personal_lies_in_the_clear(house: House, tmp_path: Path):
    path = tmp_path / "canary.csv"
    path.write_text(
        "wedding_id,status,price,nights,adults,children,event_day,client\nw-1,x,9000,1,2,3,2027-06-12,canary-anna\n"
    )
    mapping = [*EXAMPLE["dataMapping"], {"target": "client", "source": "client"}]
    source = {"kind": "file", "uri": path.as_uri(), "format": "csv"}
    done = await run(house.activities(), asked(source=source, dataMapping=mapping))
    path.unlink()
    clear = [one for one in tmp_path.rglob("*") if one.is_file() and b"canary-anna" in one.read_bytes()]
    assert (done.books.created, clear) == (1, [])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"dataMapping": [{"target": "x", "expression": "(select 1)"}]}, "expression_not_allowed"),
        ({"dataMapping": [{"target": "x", "source": "nowhere"}]}, "missing_column"),
        ({"dataFilters": [{"field": "nowhere", "operator": "eq", "value": 1}]}, "missing_column"),
        ({"transformationRules": [{"ruleId": "r", "condition": "price >"}]}, "rule_unparsable"),
        ({"source": {"kind": "file", "uri": "file:///etc/passwd", "format": "csv"}}, "source_not_allowed"),
        ({"source": {"kind": "wedsync"}}, "report_missing"),
    ],
)
async def test_a_wrong_request_fails_with_one_typed_error_and_leaves_nothing(
    house: House, tmp_path: Path, changes: dict[str, Any], code: str
):
    source, _ = weddings(tmp_path, rows=10)
    failure = await failure_of(house.activities(), asked(**{"source": source, **changes}))
    assert (failure.type, failure.details[0]["code"]) == ("InvalidInput", code)
    assert list((tmp_path / "objects").rglob("*")) == []
