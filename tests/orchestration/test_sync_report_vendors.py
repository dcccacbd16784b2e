"""SyncReport with the real activities, against the emulated vendors."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio.client import Client

from activities.access import Access
from activities.connectors.crm.hubspot import HubSpot
from activities.connectors.source.wedsync import WedSyncReports
from activities.ports.connection import Connection
from activities.ports.records import OutboundRecord
from activities.security.envelope import MasterKey
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, metadata
from activities.storage.dead_letters import DeadLetters
from activities.storage.receipts import Receipts
from activities.storage.report_schemas import ReportSchemas
from activities.storage.staging import Staging
from activities.sync import Sync
from activities.sync_parts import Parts
from activities.sync_preview import SyncPreviews
from activities.sync_removals import SyncRemovals
from contracts.health import HealthRules
from contracts.integration import IntegrationConfiguration, IntegrationState
from contracts.sync import Books, RecordResult, SynchronizationResult, SyncStatus
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_report import ORGANIZATION, asked, run, server, workers
from tests.support.emulators import Emulators
from tests.support.loopback import IN_DEVELOPMENT
from workers.composition import build_health

EMULATED = ("hubspot", "tableau", "wedsync")
MAPPING = [
    {"source": "clientName", "target": "wedding_name"},
    {"source": "weddingDate", "target": "wedding_date"},
    {"source": "venueName", "target": "venue_name"},
    {"source": "guestCount", "target": "guest_count"},
    {"source": "totalBudget", "target": "total_budget"},
    {"source": "status", "target": "booking_status"},
    {"source": "satisfactionScore", "target": "satisfaction_score"},
]


class House:
    """The real sync activities over the emulators, with their own store and staging."""

    def __init__(self, emulated: Emulators, folder: Path) -> None:
        key = MasterKey(bytes(32))
        self.emulators = emulated
        self.database = Database(f"sqlite:///{folder}/store.db")
        self.connections = ConnectionStore(self.database, key)
        self._secrets = SealedSecretStore(self.database, key)
        self.access = Access(self.connections, self._secrets, self._endpoint, IN_DEVELOPMENT)
        self.staging = Staging(f"file://{folder}/objects", key, folder / "scratch")
        self.receipts = Receipts(self.database)
        self.letters = DeadLetters(self.database, key)
        self.sources: list[WedSyncReports] = []
        self.sync = Sync(
            self.access,
            self.staging,
            self.receipts,
            self.letters,
            ReportSchemas(self.database),
            wedsync=self._source,
            import_dirs=[folder],
            fingerprint_key=key.derive("fingerprint"),
        )
        self.previews = SyncPreviews(
            self.access, self.staging, self.receipts, fingerprint_key=key.derive("fingerprint")
        )
        self.removals = SyncRemovals(self.access, self.staging, self.receipts, self._source)

    @classmethod
    @asynccontextmanager
    async def opened(cls, emulated: Emulators, folder: Path) -> AsyncIterator[House]:
        """Yield a house with an empty store."""
        house = cls(emulated, folder)
        async with house.database.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        try:
            yield house
        finally:
            await house.aclose()

    async def _endpoint(self, platform: str) -> str:
        return self.emulators.base_url(platform)

    def _source(self, organization_id: str) -> WedSyncReports:
        base_url = self.emulators.base_url("wedsync")
        credential = {"token": SecretStr("sandbox-wedsync-token")}
        place = (organization_id, "source", "wedsync", base_url, {}, credential)
        self.sources.append(WedSyncReports(Connection(*place, outbound=IN_DEVELOPMENT)))
        return self.sources[-1]

    def activities(self) -> list[Any]:
        steps = self.sync
        return [
            *(steps.prepare, steps.extract, steps.push_records),
            *(steps.publish_dataset, steps.finish, steps.record_watermark),
            self.previews.preview_records,
            *(self.removals.find_removals, self.removals.remove_records),
            build_health(self.database, self.connections, self.access, HealthRules()).observe_sync,
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
        await self.connections.put(IntegrationConfiguration.model_validate(given), IntegrationState.ACTIVE)

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


async def test_a_report_takes_a_call_per_hundred_records_and_a_repeat_writes_nothing(house, temporal_for, emulators):  # noqa: F811
    wedsync(emulators, "scenario", rows=400)
    async with temporal_for() as client:
        first = await house.sync_now(client)
        assert (first.status, first.books) == (SyncStatus.SUCCESS, Books(read=400, created=400))
        assert calls(emulators) == {"upsert": 4}
        mark, ledger = seen(emulators), len(emulators.effects("hubspot"))
        again = await house.sync_now(client)
        assert again.books == Books(read=400, unchanged=400)
        assert calls(emulators, mark) == {"read": 4}
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
