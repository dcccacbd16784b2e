"""SyncReport with the real activities into the emulated Salesforce: many changed records are one bulk job."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

from activities.storage.database import metadata
from activities.sync_bulk import groups
from contracts.dataset import DatasetRef, DataSource
from contracts.sync import Books, ConflictResolutionStrategy, SynchronizationResult, SynchronizationType, SyncStatus
from contracts.sync_steps import ExtractedReport, PartList, PushParts, SyncMode, SyncPlan
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_report import ORGANIZATION, server, workers
from tests.orchestration.test_sync_report_vendors import House, wedsync
from tests.support.emulators import Emulators
from workflows.pushing import jobs_of

EMULATED = ("salesforce", "wedsync")
MAPPING = [
    {"source": "clientName", "target": "Name"},
    {"source": "weddingDate", "target": "Wedding_Date__c"},
    {"source": "venueName", "target": "Venue_Name__c"},
    {"source": "guestCount", "target": "Guest_Count__c"},
    {"source": "totalBudget", "target": "Total_Budget__c"},
    {"source": "status", "target": "Booking_Status__c"},
    {"source": "satisfactionScore", "target": "Satisfaction_Score__c"},
]
ROWS = 2_500
CLOSE = {"method": "PATCH", "path": "jobs/ingest/"}


@pytest.fixture
async def house(emulators: Emulators, tmp_path: Path) -> AsyncIterator[House]:  # noqa: F811
    found = House(emulators, tmp_path)
    async with found.database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await found.connect(
        "salesforce",
        {"accessToken": "sandbox-salesforce-token"},
        dataMapping=MAPPING,
        errorHandling={"maxRejectedRatio": 0.2},
    )
    yield found
    await found.aclose()


@asynccontextmanager
async def temporal(house: House) -> AsyncIterator[Client]:
    async with server() as client, workers(client, house.activities(), "salesforce"):
        yield client


async def sync(house: House, client: Client, **changes: Any) -> SynchronizationResult:
    return await house.sync_now(client, targetIntegration={"integrationId": "salesforce-main"}, **changes)


def kinds(house: House) -> Counter[str]:
    return Counter(effect["kind"] for effect in house.emulators.effects("salesforce"))


def collections(house: House) -> int:
    return sum("composite/sobjects" in request["path"] for request in house.emulators.requests("salesforce"))


async def test_many_records_are_one_job_and_a_repeat_writes_nothing(house: House) -> None:
    wedsync(house.emulators, "scenario", rows=ROWS)
    async with temporal(house) as client:
        first = await sync(house, client)
        assert (first.status, first.books) == (SyncStatus.SUCCESS, Books(read=ROWS, created=ROWS))
        assert kinds(house) == {"job.created": 1, "Wedding__c.created": ROWS}
        again = await sync(house, client)
        assert again.books == Books(read=ROWS, unchanged=ROWS)
        assert kinds(house) == {"job.created": 1, "Wedding__c.created": ROWS}
    assert collections(house) == 0


async def test_few_changed_records_of_a_big_report_are_no_job(house: House) -> None:
    wedsync(house.emulators, "scenario", rows=ROWS)
    async with temporal(house) as client:
        await sync(house, client)
        changed = wedsync(house.emulators, "touch", count=300)["changed"]
        some = await sync(house, client, syncType="incremental", batchSize=200)
    assert some.books.updated == len(set(changed)) == 300
    assert (kinds(house)["job.created"], collections(house)) == (1, 2)


@pytest.mark.parametrize(
    ("path", "method"),
    [("jobs/ingest/", "PATCH"), ("failedResults$", "GET"), ("jobs/ingest/[^/]+$", "GET")],
    ids=["hand-over", "result file", "look"],
)
async def test_a_lost_answer_is_followed_by_the_same_job(house: House, path: str, method: str) -> None:
    wedsync(house.emulators, "scenario", rows=ROWS)
    house.emulators.fault("salesforce", "drop_after_effect", method=method, path=path, count=1)
    async with temporal(house) as client:
        result = await sync(house, client)
    assert result.books == Books(read=ROWS, created=ROWS)
    assert kinds(house) == {"job.created": 1, "Wedding__c.created": ROWS}


@pytest.mark.parametrize(("path", "method"), [("jobs/ingest$", "POST"), ("batches$", "PUT")])
async def test_a_job_that_was_never_handed_over_is_begun_anew(house: House, path: str, method: str) -> None:
    wedsync(house.emulators, "scenario", rows=ROWS)
    house.emulators.fault("salesforce", "drop_after_effect", method=method, path=path, count=1)
    async with temporal(house) as client:
        result = await sync(house, client)
    assert result.books == Books(read=ROWS, created=ROWS)
    assert kinds(house) == {"job.created": 2, "Wedding__c.created": ROWS}


async def test_f27_locked_rows_of_a_job_are_sent_again_until_all_stand(house: House) -> None:
    wedsync(house.emulators, "scenario", rows=ROWS)
    house.emulators.fault("salesforce", "partial_batch", **CLOSE, count=1)
    async with temporal(house) as client:
        result = await sync(house, client)
    assert result.books == Books(read=ROWS, created=ROWS)
    assert kinds(house)["Wedding__c.created"] == ROWS


async def test_rows_that_a_job_refuses_are_rejected_with_their_code(house: House) -> None:
    wedsync(house.emulators, "scenario", rows=ROWS)
    house.emulators.fault("salesforce", "partial_batch", **CLOSE, status=400, count=1)
    async with temporal(house) as client:
        with pytest.raises(WorkflowFailureError) as caught:
            await sync(house, client)
    assert "too_many_rejected" in str(caught.value.__cause__.details[0])
    assert kinds(house)["Wedding__c.created"] == ROWS // 2


async def test_a_job_refused_as_a_whole_ends_the_run_red(house: House) -> None:
    wedsync(house.emulators, "scenario", rows=ROWS)
    mapping = [*MAPPING, {"source": "venueName", "target": "Nonexistent__c"}]
    async with temporal(house) as client:
        with pytest.raises(WorkflowFailureError) as caught:
            await sync(house, client, dataMapping=mapping)
    assert "bulk_refused" in str(caught.value.__cause__.details[0])
    assert kinds(house) == {"job.created": 1}


@pytest.mark.parametrize(
    ("bulk_from", "read", "counts"),
    [
        (None, 25_000, [1] * 25),
        (2_000, 25_000, [10, 10, 5]),
        (2_000, 2_000, [1, 1]),
        (2_000, 2_001, [3]),
        (2_000, 1_200_000, [20] * 60),
    ],
)
def test_a_report_is_cut_into_pushes_that_each_fill_a_job(bulk_from: int | None, read: int, counts: list[int]) -> None:
    plan = SyncPlan(
        organization_id=ORGANIZATION,
        integration_id="salesforce-main",
        run_id="run",
        platform="salesforce",
        mode=SyncMode.RECORDS,
        target_object="Wedding__c",
        source=DataSource(),
        report_id="weddings",
        sync_type=SynchronizationType.FULL_SYNC,
        conflict_resolution=ConflictResolutionStrategy.SOURCE_WINS,
        batch_size=200,
        bulk_from=bulk_from,
        max_rejected_ratio=0,
    )
    parts = PartList(manifest=part(0), count=math.ceil(read / 1_000))
    assert [job.count for job in jobs_of(plan, ExtractedReport(parts=parts, read=read, rejected=0))] == counts


def part(rows: int) -> DatasetRef:
    return DatasetRef(key="o/x", rows=rows, size_bytes=0, sha256="0" * 64)


def push(bulk_from: int | None) -> PushParts:
    return PushParts(
        organization_id=ORGANIZATION,
        integration_id="salesforce-main",
        run_id="run",
        object_type="Wedding__c",
        sync_type=SynchronizationType.FULL_SYNC,
        conflict_resolution=ConflictResolutionStrategy.SOURCE_WINS,
        batch_size=200,
        bulk_from=bulk_from,
        bulk_size=2_500,
        parts=PartList(),
        first=0,
        count=1,
    )


@pytest.mark.parametrize(
    ("bulk_from", "rows", "sizes"),
    [
        (None, [1_000, 1_000], [1, 1]),
        (2_000, [1_000, 1_000, 1_000, 400], [2, 2]),
        (2_000, [9_000, 1], [1, 1]),
        (2_000, [], []),
    ],
)
def test_parts_are_pushed_together_as_far_as_one_job_takes_them(
    bulk_from: int | None, rows: list[int], sizes: list[int]
) -> None:
    assert [len(some) for some in groups([part(count) for count in rows], push(bulk_from))] == sizes
