"""SyncReport with the real activities: damaged files, stores that fail at the worst moment, and very many records."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle

from activities.connectors.crm.hubspot import HubSpot
from activities.storage.receipts import Receipt, Scope
from contracts.errors import Transient
from contracts.names import ORCHESTRATION_QUEUE
from contracts.sync import Books, SyncStatus
from contracts.sync_steps import ExtractedReport, SyncPlan
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_report import ORGANIZATION, FakeSync, asked, server, workers
from tests.orchestration.test_sync_report_vendors import (  # noqa: F401 - fixtures
    MAPPING,
    House,
    house,
    temporal_for,
    wedsync,
)
from tests.support.emulators import Emulators
from tests.support.small_disk import filled, small_disk  # noqa: F401 - a fixture
from tests.support.temporal import real_server
from workflows.sync_report import SyncReport

EMULATED = ("hubspot", "wedsync")


def damage(folder: Path) -> None:
    """Flip a byte in the middle of the first staged part."""
    [part] = folder.rglob("parts/000000.ndjson")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)


def damaging(house: House, folder: Path, times: int) -> list[Any]:  # noqa: F811
    """Return the house's activities, whose extracts are damaged `times` times."""
    extract, left = house.sync.extract, [None] * times

    @activity.defn(name="sync.extract")
    async def extract_and_damage(plan: SyncPlan) -> ExtractedReport:
        found = await extract(plan)
        if left:
            left.pop()
            damage(folder)
        return found

    return [*(one for one in house.activities() if one != extract), extract_and_damage]


async def test_f12_a_damaged_staged_file_is_extracted_again_and_not_pushed(
    house: House,  # noqa: F811
    emulators: Emulators,  # noqa: F811
    tmp_path: Path,
) -> None:
    wedsync(emulators, "scenario", rows=20)
    async with server() as client, workers(client, damaging(house, tmp_path, 1), "hubspot"):
        result = await house.sync_now(client)
    assert (result.status, result.books) == (SyncStatus.SUCCESS, Books(read=20, created=20))
    assert len(emulators.objects("hubspot", "weddings")) == 20


async def test_f12_files_that_stay_damaged_fail_the_run_with_nothing_written(
    house: House,  # noqa: F811
    emulators: Emulators,  # noqa: F811
    tmp_path: Path,
) -> None:
    wedsync(emulators, "scenario", rows=20)
    async with server() as client, workers(client, damaging(house, tmp_path, 2), "hubspot"):
        with pytest.raises(WorkflowFailureError):
            await house.sync_now(client)
    assert emulators.objects("hubspot", "weddings") == []


@pytest.mark.parametrize("lost", range(4))
async def test_f3_a_push_lost_between_effect_and_receipt_sends_one_batch_again(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    lost: int,
) -> None:
    record, calls = house.receipts.record, []

    async def losing(scope: Scope, receipts: Sequence[Receipt]) -> None:
        calls.append(len(receipts))
        if len(calls) == lost + 1:
            raise Transient("store_unavailable", "The store does not answer.")
        await record(scope, receipts)

    monkeypatch.setattr(house.receipts, "record", losing)
    wedsync(emulators, "scenario", rows=400)
    async with temporal_for() as client:
        result = await house.sync_now(client)
    created = Counter(
        effect["objectId"] for effect in emulators.effects("hubspot") if effect["kind"] == "weddings.created"
    )
    assert (result.books.read, len(created), set(created.values())) == (400, 400, {1})
    assert sum(calls) == 500


async def test_f2_a_push_that_fails_in_the_middle_does_not_begin_anew(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=1_000)
    emulators.fault("hubspot", "status", path="batch.upsert", status=503, count=3, probability=0.5, seed=7)
    async with temporal_for() as client:
        result = await house.sync_now(client)
    upserts = [one for one in emulators.requests("hubspot") if one["path"].endswith("/batch/upsert")]
    answered = [one for one in upserts if one["status"] == 200]
    assert (result.books, len(answered)) == (Books(read=1_000, created=1_000), 10)


async def test_f55_a_hundred_parts_of_a_thousand_records_are_a_small_history() -> None:
    fake = FakeSync(parts=100)
    async with server() as client, workers(client, fake.activities(), "hubspot"):
        handle = await client.start_workflow(
            SyncReport.run, asked(), id=f"sync-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
        )
        await handle.result()
        history = await handle.fetch_history()
    assert len(fake.pushed) == 50
    assert len(history.events) < 500
    assert sum(event.ByteSize() for event in history.events) < 200_000


async def why(handle: WorkflowHandle[Any, Any]) -> str:
    """Return what the waiting activity of a run failed with, as the server has it."""
    found = await handle.describe()
    return "".join(str(one.last_failure) for one in found.raw_description.pending_activities)


@pytest.mark.parametrize("full_from", ["the start", "the push"])
async def test_f11_a_sync_waits_for_room_on_its_disk_and_then_brings_every_record_once(
    small_disk: Path,  # noqa: F811
    emulators: Emulators,  # noqa: F811
    full_from: str,
) -> None:
    wedsync(emulators, "scenario", rows=300)
    async with House.opened(emulators, small_disk) as crowded, real_server() as client:
        await crowded.connect("hubspot", {"accessToken": "sandbox-hubspot-token"}, dataMapping=MAPPING)
        await (await crowded.access.connector(ORGANIZATION, "hubspot-main", HubSpot)).provision()
        extract, filler = crowded.sync.extract, small_disk / "filler"

        @activity.defn(name="sync.extract")
        async def extract_and_fill(plan: SyncPlan) -> ExtractedReport:
            found = await extract(plan)
            if full_from == "the push":
                filled(small_disk)
            return found

        steps = [*(one for one in crowded.activities() if one != extract), extract_and_fill]
        async with workers(client, steps, "hubspot"):
            if full_from == "the start":
                filled(small_disk)
            handle = await client.start_workflow(
                SyncReport.run, asked(), id=f"sync-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
            )
            while "storage_full" not in await why(handle):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.1)
            filler.unlink()
            result = await handle.result()
    created = Counter(one["objectId"] for one in emulators.effects("hubspot") if one["kind"] == "weddings.created")
    assert (result.books, len(created), set(created.values())) == (Books(read=300, created=300), 300, {1})
