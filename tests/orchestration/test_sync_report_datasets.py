"""SyncReport into BI systems with the real activities: every row published, or a rejected record with its reason."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

from contracts.errors import ErrorDetail
from contracts.sync import RecordStatus, SyncStatus
from emulators.powerbi import TENANT
from emulators.powerbi_workspace import GROUP
from emulators.sap_models import REGIONS
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_report import server, workers
from tests.orchestration.test_sync_report_vendors import House, wedsync
from tests.support.emulators import Emulators

EMULATED = ("powerbi", "sap_analytics_cloud", "wedsync")
SAP, ROWS = "sap_analytics_cloud", 60
CATERING = [
    {"source": "weddingId", "target": "Wedding"},
    {"source": "weddingDate", "target": "Date"},
    {"source": "venueRegion", "target": "Region"},
    {"source": "supplierId", "target": "Supplier"},
    {"source": "guestCount", "target": "Meals"},
]
OCCUPANCY = [{"source": name, "target": name} for name in ("weddingId", "venueId", "weddingDate", "guestCount")]


@pytest.fixture
async def house(emulators: Emulators, tmp_path: Path) -> AsyncIterator[House]:  # noqa: F811
    async with House.opened(emulators, tmp_path) as found:
        wedsync(emulators, "scenario", rows=ROWS)
        yield found


@pytest.fixture
def temporal_for(house: House) -> Iterator[Any]:
    @asynccontextmanager
    async def started() -> AsyncIterator[Client]:
        async with server() as client, workers(client, house.activities(), "powerbi", SAP):
            yield client

    return started


async def connect_sap(house: House, ratio: float) -> None:
    settings = {"tenant": "lumen", "region": "eu10", "version": "public.WedSync"}
    rest = {"settings": settings, "errorHandling": {"maxRejectedRatio": ratio}, "dataMapping": CATERING}
    await house.connect(SAP, {"accessToken": "sandbox-sap-token"}, **rest)


async def into_sap(house: House, client: Client) -> Any:
    target = {"integrationId": f"{SAP}-main"}
    return await house.sync_now(client, targetIntegration=target, targetObject="Catering_Costs")


def regions(emulated: Emulators) -> dict[str, str]:
    """Return the region of each wedding of the report."""
    found = emulated._client.get("/_emulators/wedsync/reports/weddings/records", params={"limit": ROWS}).json()
    return {record["weddingId"]: record["venueRegion"] for record in found["records"]}


async def test_rows_that_a_bi_system_refuses_are_rejected_records_with_its_reason(house, temporal_for, emulators):  # noqa: F811
    await connect_sap(house, 1.0)
    async with temporal_for() as client:
        result = await into_sap(house, client)
    told = {row.record_id: row for row in await house.outcomes(result)}
    strangers = {wedding for wedding, region in regions(emulators).items() if region not in REGIONS}
    rejected = {wedding for wedding, row in told.items() if row.status is RecordStatus.REJECTED}
    assert 0 < len(strangers) < ROWS
    assert (rejected, result.status, result.books.closed) == (strangers, SyncStatus.PARTIAL, True)
    assert {told[wedding].reason for wedding in rejected} == {"Invalid column value for: Region"}
    assert {fact["row"]["Wedding"] for fact in emulators.objects(SAP, "facts")} == told.keys() - rejected
    assert (result.books.read, result.books.rejected) == (ROWS, len(strangers))


async def test_too_many_refused_rows_fail_the_run_before_anything_is_replaced(house, temporal_for, emulators):  # noqa: F811
    await connect_sap(house, 0.0)
    async with temporal_for() as client:
        with pytest.raises(WorkflowFailureError) as caught:
            await into_sap(house, client)
    detail = ErrorDetail.model_validate(caught.value.cause.details[0])  # type: ignore[attr-defined]
    assert (detail.kind, detail.code) == ("QualityGateFailed", "too_many_rejected")
    assert (emulators.objects(SAP, "facts"), emulators.objects(SAP, "jobs")) == ([], [])


@pytest.mark.parametrize("path", ["datasets$", "rows$", "executeQueries$"])
async def test_f21_a_publication_whose_answers_are_lost_ends_with_every_row_once(
    path,
    house,
    temporal_for,
    emulators,  # noqa: F811
):
    await house.connect(
        "powerbi",
        {"accessToken": "sandbox-powerbi-token"},
        settings={"tenantId": TENANT, "groupId": GROUP},
        dataMapping=OCCUPANCY,
    )
    emulators.fault("powerbi", "drop_after_effect", method="POST", path=path, count=2)
    async with temporal_for() as client:
        result = await house.sync_now(client, targetIntegration={"integrationId": "powerbi-main"})
    held = [row["weddingId"] for push in emulators.objects("powerbi", "pushes") for row in push["rows"]]
    assert sorted(held) == sorted(regions(emulators))
    assert (result.status, result.books.updated) == (SyncStatus.SUCCESS, ROWS)
