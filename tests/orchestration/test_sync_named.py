"""SyncReport with the real activities: single records, as they change and as they are named."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

from activities.connectors.crm.hubspot import HubSpot
from contracts import names
from contracts.sync import Books, SynchronizationResult
from starters.starting import tell_or_start
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_dead_letters import letters
from tests.orchestration.test_sync_report import ORGANIZATION, asked, workers
from tests.orchestration.test_sync_report_vendors import (  # noqa: F401 - fixtures
    MAPPING,
    House,
    house,
    temporal_for,
    wedsync,
)
from tests.support.emulators import Emulators
from tests.support.temporal import real_server
from workflows.policies import RUN_TIMEOUT, priority

EMULATED = ("hubspot", "wedsync")


async def changed(client: Client, record_id: str) -> SynchronizationResult:
    """Say that a record changed, and return what became of it."""
    request = asked(syncType="real_time", recordIds=[record_id])
    workflow_id = names.live_sync_workflow_id(ORGANIZATION, "hubspot-main", "weddings", record_id)
    kind, fair = names.WorkflowType.SYNC_REPORT, priority(request.priority, ORGANIZATION)
    run = await tell_or_start(
        client,
        kind,
        request,
        SynchronizationResult,
        workflow_id,
        fair,
        "Live",
        RUN_TIMEOUT,
        signal=names.RECORD_CHANGED,
    )
    return await run.result()


async def held(house: House, record_id: str) -> dict[str, Any]:  # noqa: F811
    connector = await house.access.connector(ORGANIZATION, "hubspot-main", HubSpot)
    return dict((await connector.read("weddings", [record_id]))[record_id])


async def source(house: House, record_id: str) -> dict[str, Any]:  # noqa: F811
    [page] = [page async for page in house._source(ORGANIZATION).pages("weddings", record_ids=[record_id])]
    return dict(page.records[0])


async def test_a_changed_record_reaches_the_vendor_alone_and_soon(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=50)
    async with temporal_for() as client:
        began = time.monotonic()
        result = await changed(client, "wed-1007")
        took = time.monotonic() - began
    assert result.books == Books(read=1, created=1)
    assert [one["properties"]["wedsync_id"] for one in emulators.objects("hubspot", "weddings")] == ["wed-1007"]
    assert took < 60


async def test_f43_whatever_the_order_of_events_the_newest_state_stands(
    house: House,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=1)
    async with real_server() as client, workers(client, house.activities(), "hubspot"):
        runs = [asyncio.create_task(changed(client, "wed-1001"))]
        for _ in range(5):
            wedsync(emulators, "touch", count=1)
            runs.append(asyncio.create_task(changed(client, "wed-1001")))
            await asyncio.sleep(0.05)
        results = await asyncio.gather(*runs)
    now = await source(house, "wed-1001")
    assert all(result.books.closed for result in results)
    assert (await held(house, "wed-1001"))["guest_count"] == str(now["guestCount"])


async def test_a_late_run_does_not_write_an_older_version_over_a_newer_one(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    now = datetime.now(UTC)
    wedsync(emulators, "scenario", rows=1)
    wedsync(emulators, "touch", count=1, at=(now + timedelta(days=2)).isoformat())
    async with temporal_for() as client:
        await changed(client, "wed-1001")
        stood = await held(house, "wed-1001")
        wedsync(emulators, "touch", count=1, at=(now + timedelta(days=1)).isoformat())
        late = await changed(client, "wed-1001")
        assert (late.books, await held(house, "wed-1001")) == (Books(read=1, unchanged=1), stood)
        whole = await house.sync_now(client)
    assert whole.books == Books(read=1, updated=1)


async def test_named_records_are_synced_and_those_that_are_not_there_are_counted(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=20)
    named = ["wed-1001", "wed-1005", "wed-1009", "wed-9999"]
    async with temporal_for() as client:
        result = await house.sync_now(client, syncType="batch", recordIds=named)
        later = await house.sync_now(client, syncType="incremental")
    assert (result.books, result.absent) == (Books(read=3, created=3), 1)
    assert later.books == Books(read=20, created=17, unchanged=3)


async def test_a_changed_record_that_is_rejected_is_kept_and_not_red(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=5)
    wrong = [*MAPPING[:-1], {"source": "venueName", "target": "satisfaction_score"}]
    async with temporal_for() as client:
        result = await house.sync_now(client, syncType="real_time", recordIds=["wed-1001"], dataMapping=wrong)
    assert (result.status, result.books.rejected) == ("partial", 1)
    assert [letter.record_id for letter in await letters(house)] == ["wed-1001"]


@pytest.mark.parametrize(
    "request_",
    [
        {"syncType": "full_sync", "recordIds": ["wed-1001"]},
        {"syncType": "incremental", "recordIds": ["wed-1001"]},
        {"syncType": "real_time", "recordIds": ["wed-1001", "wed-1002"]},
    ],
)
async def test_records_are_named_only_where_that_means_something(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    request_: dict[str, Any],
) -> None:
    async with temporal_for() as client:
        with pytest.raises(WorkflowFailureError) as caught:
            await house.sync_now(client, **request_)
    assert caught.value.cause.details[0]["code"] == "record_ids_misplaced"  # type: ignore[attr-defined]


async def test_a_change_that_became_visible_late_is_not_lost(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=5)
    async with temporal_for() as client:
        await house.sync_now(client)
        [late] = wedsync(emulators, "touch", count=1, at=(datetime.now(UTC) - timedelta(minutes=2)).isoformat())[
            "changed"
        ]
        result = await house.sync_now(client, syncType="incremental")
        again = await house.sync_now(client, syncType="incremental")
    assert (result.books, again.books) == (Books(read=1, updated=1), Books(read=1, unchanged=1))
    assert [row.record_id for row in await house.outcomes(result)] == [late]
