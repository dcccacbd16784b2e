"""SyncReport: its decisions with fake activities, and whole runs against the emulated vendors."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.access import Access
from activities.boundary import as_application_error
from activities.connectors.crm.hubspot import HubSpot
from activities.connectors.source.wedsync import WedSyncReports
from activities.health import Health
from activities.ports.connection import Connection
from activities.ports.connector import OutboundRecord
from activities.security.envelope import MasterKey
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, metadata
from activities.storage.receipts import Receipts
from activities.storage.staging import Staging
from activities.sync import Sync
from activities.sync_parts import Parts
from contracts.dataset import DatasetRef
from contracts.errors import AuthExpired
from contracts.integration import IntegrationConfiguration, IntegrationState, SyncObservation
from contracts.names import DATA_QUEUE, ORCHESTRATION_QUEUE, system_queue
from contracts.sync import Books, DataSynchronizationRequest, RecordResult, SynchronizationResult, SyncStatus
from contracts.sync_steps import (
    ExtractedReport,
    FinishedSync,
    FinishSync,
    PartList,
    PrepareSync,
    PushedRecords,
    PushParts,
    SyncPlan,
    WatermarkRecord,
)
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.support.emulators import Emulators
from tests.support.temporal import polling, time_skipping
from workflows.sync_report import SyncReport

EMULATED = ("hubspot", "tableau", "wedsync")
ORGANIZATION = "lumen-studios"
REF = DatasetRef(key="o/x", rows=0, size_bytes=0, sha256="0" * 64)
MAPPING = [
    {"source": "clientName", "target": "wedding_name"},
    {"source": "weddingDate", "target": "wedding_date"},
    {"source": "venueName", "target": "venue_name"},
    {"source": "guestCount", "target": "guest_count"},
    {"source": "totalBudget", "target": "total_budget"},
    {"source": "status", "target": "booking_status"},
    {"source": "satisfactionScore", "target": "satisfaction_score"},
]


def asked(**changes: Any) -> DataSynchronizationRequest:
    return DataSynchronizationRequest.model_validate(
        {
            "syncId": "sync-0001",
            "organizationId": ORGANIZATION,
            "sourceReportId": "weddings",
            "targetIntegration": {"integrationId": "hubspot-main"},
            **changes,
        }
    )


@asynccontextmanager
async def server() -> AsyncIterator[Client]:
    """A time-skipping Temporal with the project's search attributes."""
    async with time_skipping() as environment:
        yield environment.client


def workers(client: Client, activities: list[Any], *systems: str) -> AbstractAsyncContextManager[None]:
    return polling(client, [SyncReport], activities, DATA_QUEUE, *(system_queue(system) for system in systems))


async def run(client: Client, request: DataSynchronizationRequest) -> SynchronizationResult:
    return await client.execute_workflow(SyncReport.run, request, id=f"sync-{uuid4()}", task_queue=ORCHESTRATION_QUEUE)


class FakeSync:
    """Activities under the real names that answer what a test wants."""

    def __init__(self, *, parts: int = 2, rejected: int = 0, lost: int = 0, held: int = 0, ratio: float = 0.1) -> None:
        self.parts, self.rejected, self.lost, self.held, self.ratio = parts, rejected, lost, held, ratio
        self.pushed: list[int] = []
        self.watermarks: list[WatermarkRecord] = []
        self.observed: list[SyncObservation] = []
        self.refuse_push = False

    def activities(self) -> list[Any]:
        return [self.prepare, self.extract, self.push_records, self.finish, self.record_watermark, self.observe_sync]

    @activity.defn(name="sync.prepare")
    async def prepare(self, given: PrepareSync) -> SyncPlan:
        return SyncPlan.model_validate(
            {
                "organizationId": ORGANIZATION,
                "integrationId": "hubspot-main",
                "runId": given.run_id,
                "platform": "hubspot",
                "mode": "records",
                "targetObject": "weddings",
                "source": {"reportId": "weddings"},
                "reportId": "weddings",
                "syncType": "full_sync",
                "conflictResolution": "source_wins",
                "batchSize": 100,
                "maxRejectedRatio": self.ratio,
            }
        )

    @activity.defn(name="sync.extract")
    async def extract(self, plan: SyncPlan) -> ExtractedReport:
        return ExtractedReport.model_validate(
            {
                "parts": PartList(inline=[REF] * self.parts, count=self.parts),
                "read": 10 * self.parts,
                "rejected": self.rejected,
                "watermark": "2027-01-01T00:00:00Z",
            }
        )

    @activity.defn(name="sync.push_records")
    async def push_records(self, job: PushParts) -> PushedRecords:
        self.pushed.append(job.first)
        if self.refuse_push:
            raise as_application_error(AuthExpired("credential_refused", "The vendor refuses the credential."))
        rejected, held = (self.rejected, self.held) if job.first == 0 else (0, 0)
        books = Books(read=10, created=10 - rejected - held, rejected=rejected, held=held)
        return PushedRecords(outcomes=REF, books=books, vendor_calls=1)

    @activity.defn(name="sync.finish")
    async def finish(self, given: FinishSync) -> FinishedSync:
        total = 10 * len(given.outcomes) - self.lost
        rejected, held = self.rejected, self.held
        books = Books(read=total, created=total - rejected - held, rejected=rejected, held=held)
        return FinishedSync(details_ref=REF, books=books)

    @activity.defn(name="sync.record_watermark")
    async def record_watermark(self, given: WatermarkRecord) -> None:
        self.watermarks.append(given)

    @activity.defn(name="health.observe_sync")
    async def observe_sync(self, seen: SyncObservation) -> None:
        self.observed.append(seen)


async def run_fake(fake: FakeSync) -> SynchronizationResult:
    async with server() as client, workers(client, fake.activities(), "hubspot"):
        return await run(client, asked())


async def test_a_run_tells_its_integration_that_it_is_up_to_date():
    fake = FakeSync()
    await run_fake(fake)
    seen = {(seen.integration_id, seen.status, seen.synced_at is None) for seen in fake.observed}
    assert seen == {("hubspot-main", "success", False)}


async def test_a_failed_run_is_told_and_freshens_nothing():
    fake = FakeSync()
    fake.refuse_push = True
    await failure_of(fake)
    assert {(seen.status, seen.synced_at) for seen in fake.observed} == {("failed", None)}


async def failure_of(fake: FakeSync) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as caught:
        await run_fake(fake)
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause


async def test_a_run_without_rejections_succeeds_and_moves_the_watermark():
    fake = FakeSync()
    result = await run_fake(fake)
    assert (result.status, result.books.created, len(fake.watermarks)) == (SyncStatus.SUCCESS, 20, 1)


async def test_rejections_within_the_ratio_make_the_run_partial():
    result = await run_fake(FakeSync(rejected=2))
    assert (result.status, result.successful_syncs, result.failed_syncs) == (SyncStatus.PARTIAL, 18, 2)


async def test_rejections_above_the_ratio_fail_the_run_before_anything_is_written():
    fake = FakeSync(rejected=3)
    failure = await failure_of(fake)
    assert (failure.details[0]["code"], fake.pushed) == ("too_many_rejected", [])


async def test_books_that_do_not_close_fail_the_run_and_leave_the_watermark():
    fake = FakeSync(lost=1)
    failure = await failure_of(fake)
    assert (failure.type, failure.details[0]["code"], fake.watermarks) == ("Permanent", "books_not_closed", [])


async def test_held_records_leave_the_watermark_where_it_was():
    fake = FakeSync(held=1)
    result = await run_fake(fake)
    assert (result.status, fake.watermarks) == (SyncStatus.PARTIAL, [])


async def test_a_failed_push_starts_no_further_ones():
    fake = FakeSync(parts=30)
    fake.refuse_push = True
    failure = await failure_of(fake)
    assert (failure.type, len(fake.pushed) < 30) == ("AuthExpired", True)


class House:
    """The real sync activities over the emulators, with their own store and staging."""

    def __init__(self, emulated: Emulators, folder: Path) -> None:
        key = MasterKey(bytes(32))
        self.emulators = emulated
        self.database = Database(f"sqlite:///{folder}/store.db")
        self._connections = ConnectionStore(self.database, key)
        self._secrets = SealedSecretStore(self.database, key)
        self.access = Access(self._connections, self._secrets, self._endpoint)
        self.staging = Staging(f"file://{folder}/objects", key, folder / "scratch")
        self.receipts = Receipts(self.database)
        self.sources: list[WedSyncReports] = []
        self.sync = Sync(
            self.access,
            self.staging,
            self.receipts,
            wedsync=self._source,
            import_dirs=[folder],
            fingerprint_key=key.derive("fingerprint"),
        )

    async def _endpoint(self, platform: str) -> str:
        return self.emulators.base_url(platform)

    def _source(self, organization_id: str) -> WedSyncReports:
        base_url = self.emulators.base_url("wedsync")
        credential = {"token": SecretStr("sandbox-wedsync-token")}
        self.sources.append(WedSyncReports(Connection(organization_id, "source", "wedsync", base_url, {}, credential)))
        return self.sources[-1]

    def activities(self) -> list[Any]:
        steps = self.sync
        return [
            *(steps.prepare, steps.extract, steps.push_records),
            *(steps.publish_dataset, steps.finish, steps.record_watermark),
            Health(self.access, self._connections).observe_sync,
        ]

    async def connect(self, platform: str, credential: dict[str, str], **rest: Any) -> None:
        reference = await self._secrets.put(ORGANIZATION, f"{platform}-main", credential)
        settings = rest.pop("settings", {})
        given = {
            "integrationId": f"{platform}-main",
            "organizationId": ORGANIZATION,
            "platform": platform,
            "connectionConfig": {"credentialRef": reference.model_dump(by_alias=True), **settings},
            **rest,
        }
        await self._connections.put(IntegrationConfiguration.model_validate(given), IntegrationState.ACTIVE)

    async def sync_now(self, client: Client, **changes: Any) -> SynchronizationResult:
        return await run(client, asked(**changes))

    async def outcomes(self, result: SynchronizationResult) -> list[RecordResult]:
        assert result.details_ref is not None
        return await Parts(self.staging, ORGANIZATION, "any").read(result.details_ref, RecordResult)

    async def aclose(self) -> None:
        for source in self.sources:
            await source.aclose()
        await self.access.aclose()
        await self.database.aclose()


def wedsync(emulated: Emulators, action: str, **body: Any) -> dict[str, Any]:
    client: httpx.Client = emulated._client
    answer = client.post(f"/_emulators/wedsync/{action}", json={"organizationId": ORGANIZATION, **body})
    answer.raise_for_status()
    return answer.json()


def calls(emulated: Emulators, since: int = 0) -> Counter[str]:
    """Batch calls at the emulated HubSpot, by their last word, answered or not."""
    paths = [request["path"] for request in emulated.requests("hubspot", since)]
    return Counter(path.rsplit("/", 1)[-1] for path in paths if "/batch/" in path)


def seen(emulated: Emulators) -> int:
    return max((request["seq"] for request in emulated.requests("hubspot")), default=0)


@pytest.fixture
async def house(emulators: Emulators, tmp_path: Path) -> AsyncIterator[House]:  # noqa: F811
    found = House(emulators, tmp_path)
    async with found.database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await found.connect(
        "hubspot",
        {"accessToken": "sandbox-hubspot-token"},
        dataMapping=MAPPING,
        errorHandling={"maxRejectedRatio": 0.2},
    )
    await (await found.access.connector(ORGANIZATION, "hubspot-main", HubSpot)).provision()
    yield found
    await found.aclose()


@pytest.fixture
def temporal_for(house: House) -> Iterator[Any]:
    @asynccontextmanager
    async def started() -> AsyncIterator[Client]:
        async with server() as client, workers(client, house.activities(), "hubspot", "tableau"):
            yield client

    return started


async def test_two_thousand_weddings_take_few_calls_and_a_repeat_writes_nothing(house, temporal_for, emulators):  # noqa: F811
    wedsync(emulators, "scenario", rows=2000)
    async with temporal_for() as client:
        first = await house.sync_now(client)
        assert (first.status, first.books) == (SyncStatus.SUCCESS, Books(read=2000, created=2000))
        assert calls(emulators) == {"upsert": 20}
        mark, ledger = seen(emulators), len(emulators.effects("hubspot"))
        again = await house.sync_now(client)
        assert again.books == Books(read=2000, unchanged=2000)
        assert calls(emulators, mark) == {"read": 20}
        assert len(emulators.effects("hubspot")) == ledger
        changed = set(wedsync(emulators, "touch", count=50)["changed"])
        mark = seen(emulators)
        some = await house.sync_now(client, syncType="incremental")
        assert (some.books.updated, calls(emulators, mark)) == (50, {"upsert": 1})
        written = [row.record_id for row in await house.outcomes(some) if row.status == "updated"]
        assert set(written) == changed


async def test_drift_at_the_vendor_is_mended_by_a_full_sync(house, temporal_for, emulators):  # noqa: F811
    wedsync(emulators, "scenario", rows=20)
    async with temporal_for() as client:
        await house.sync_now(client)
        connector = await house.access.connector(ORGANIZATION, "hubspot-main", HubSpot)
        held = await connector.read("weddings", ["wed-1001"])
        drifted = OutboundRecord("wed-1001", {"venue_name": "Elsewhere"})
        await connector.upsert("weddings", [connector.prepare("weddings", drifted)])
        again = await house.sync_now(client)
        now = await connector.read("weddings", ["wed-1001"])
    assert (again.books.updated, now["wed-1001"]["venue_name"]) == (1, held["wed-1001"]["venue_name"])


async def test_f21_a_lost_answer_doubles_nothing(house, temporal_for, emulators):  # noqa: F811
    wedsync(emulators, "scenario", rows=300)
    emulators.fault("hubspot", "drop_after_effect", path="batch.upsert", count=1)
    async with temporal_for() as client:
        result = await house.sync_now(client)
    assert (result.books.read, result.books.created + result.books.updated) == (300, 300)
    created = [effect["objectId"] for effect in emulators.effects("hubspot") if effect["kind"].endswith(".created")]
    assert len(created) == len(set(created))


async def test_f27_a_partial_batch_is_retried_until_all_records_stand(house, temporal_for, emulators):  # noqa: F811
    wedsync(emulators, "scenario", rows=200)
    emulators.fault("hubspot", "partial_batch", path="batch.upsert", count=1)
    async with temporal_for() as client:
        result = await house.sync_now(client)
    assert result.books.closed
    assert result.books.read == 200


async def test_dirty_rows_are_rejected_with_a_reason_and_the_others_stand(house, temporal_for, emulators):  # noqa: F811
    wedsync(emulators, "scenario", rows=400, dirtyRatio=0.05)
    async with temporal_for() as client:
        result = await house.sync_now(client)
        outcomes = await house.outcomes(result)
    assert (result.status, result.books.read, len(outcomes)) == (SyncStatus.PARTIAL, 400, 400)
    assert all(row.reason for row in outcomes if row.status == "rejected")


async def test_a_report_becomes_tableaus_data_source_with_its_schedule(house, temporal_for, emulators):  # noqa: F811
    wedsync(emulators, "scenario", rows=500)
    await house.connect(
        "tableau",
        {"tokenName": "sandbox-pat", "tokenSecret": "sandbox-tableau-secret"},
        settings={"siteName": "lumen"},
    )
    async with temporal_for() as client:
        result = await house.sync_now(
            client, sourceReportId="revenue", targetIntegration={"integrationId": "tableau-main"}
        )
    names = [item["name"] for item in emulators.objects("tableau", "datasources")]
    schedules = [task["schedule"]["frequency"] for task in emulators.objects("tableau", "tasks")]
    assert (result.status, names, schedules) == (SyncStatus.SUCCESS, ["Wedding Revenue Analytics"], ["Daily"])
    assert result.books == Books(read=500, updated=500)
