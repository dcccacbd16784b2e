"""SyncReport with the real activities: what cannot be brought over is kept, tried again, and let go once it stands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from activities.storage.dead_letters import Outbox
from activities.storage.receipts import Scope
from contracts import names
from contracts.dead_letters import DeadLetter, RetryDeadLetters
from contracts.errors import InvalidInput
from contracts.names import WorkflowType
from contracts.sync import Books, DataSynchronizationRequest, SynchronizationResult, SyncStatus
from starters.dead_letters import DeadLetterDesk
from starters.runs import Run
from starters.starting import start_or_join
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_report import ORGANIZATION
from tests.orchestration.test_sync_report_vendors import (  # noqa: F401 - fixtures
    EMULATED,
    MAPPING,
    House,
    house,
    temporal_for,
    wedsync,
)
from tests.support.emulators import Emulators
from workflows.policies import RUN_TIMEOUT, priority

EMULATED = EMULATED  # noqa: PLW0127 - which stand-ins the fixture serves
TOLERANT = {"errorHandling": {"maxRejectedRatio": 1.0}}
OUTBOX = Outbox(Scope(ORGANIZATION, "hubspot-main", "weddings"), "weddings")


async def letters(house: House) -> list[DeadLetter]:  # noqa: F811
    return (await house.letters.listed(ORGANIZATION))[0]


async def make_due(house: House) -> None:  # noqa: F811
    await house.letters.hasten(ORGANIZATION, None, [], datetime.now(UTC) - timedelta(seconds=1))


def refuse_half(emulated: Emulators) -> None:
    """Have HubSpot refuse every second record of the next batch for good."""
    emulated.fault("hubspot", "partial_batch", path="batch.upsert", status=400, count=1)


def desk(house: House, client: Client) -> DeadLetterDesk:  # noqa: F811
    async def start(request: DataSynchronizationRequest) -> Run[SynchronizationResult]:
        target = request.target_integration.integration_id
        workflow_id = names.sync_workflow_id(request.organization_id, target, request.sync_id)
        fair = priority(request.priority, request.organization_id)
        return await start_or_join(
            client,
            WorkflowType.SYNC_REPORT,
            request,
            SynchronizationResult,
            workflow_id,
            fair,
            "Dead letters",
            RUN_TIMEOUT,
        )

    return DeadLetterDesk(house.letters, start)


async def retry(house: House, client: Client, *letter_ids: str) -> list[SynchronizationResult]:  # noqa: F811
    asked = RetryDeadLetters(organization_id=ORGANIZATION, letter_ids=list(letter_ids))
    _, runs = await desk(house, client).retry(asked)
    return [await run.result() for run in runs]


async def test_every_rejected_record_is_kept_with_its_reason_and_leaves_once_it_is_mended(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=400, dirtyRatio=0.05)
    async with temporal_for() as client:
        result = await house.sync_now(client)
        kept = await letters(house)
        rejected = sorted(row.record_id for row in await house.outcomes(result) if row.status == "rejected")
        assert sorted(letter.record_id for letter in kept) == rejected
        assert all(letter.reason for letter in kept)
        assert result.dead_letters == len(kept) == result.books.rejected > 0
        wedsync(emulators, "scenario", rows=400, dirtyRatio=0.0)
        mended = await house.sync_now(client)
    assert (mended.status, mended.dead_letters, await letters(house)) == (SyncStatus.SUCCESS, 0, [])


async def test_a_refused_record_is_taken_along_when_its_time_has_come_and_then_stands(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=10)
    refuse_half(emulators)
    async with temporal_for() as client:
        await house.connect("hubspot", {"accessToken": "sandbox-hubspot-token"}, dataMapping=MAPPING, **TOLERANT)
        first = await house.sync_now(client)
        assert (first.books.rejected, first.dead_letters) == (5, 5)
        early = await house.sync_now(client, syncType="incremental")
        assert (early.books, early.retried) == (Books(), 0)
        await make_due(house)
        later = await house.sync_now(client, syncType="incremental")
    assert (later.books, later.retried, later.dead_letters) == (Books(read=5, created=5), 5, 0)
    assert len(emulators.objects("hubspot", "weddings")) == 10


async def test_what_the_source_hands_over_anew_goes_before_the_letter(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=10)
    refuse_half(emulators)
    async with temporal_for() as client:
        await house.connect("hubspot", {"accessToken": "sandbox-hubspot-token"}, dataMapping=MAPPING, **TOLERANT)
        await house.sync_now(client)
        await make_due(house)
        changed = wedsync(emulators, "touch", count=10)["changed"]
        result = await house.sync_now(client, syncType="incremental")
    assert (result.books.read, result.retried, result.dead_letters) == (len(changed), 0, 0)


async def test_letters_that_are_refused_again_do_not_make_the_next_sync_red(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=200, dirtyRatio=0.05)
    async with temporal_for() as client:
        first = await house.sync_now(client)
        await make_due(house)
        again = await house.sync_now(client, syncType="incremental")
        kept = await letters(house)
    due = [letter for letter in kept if not letter.final]
    assert (again.status, again.retried) == (SyncStatus.PARTIAL, len(due))
    assert again.dead_letters == first.dead_letters
    assert {letter.attempts for letter in due} == {2}


async def test_a_command_tries_letters_again_and_the_same_command_joins(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=10)
    refuse_half(emulators)
    async with temporal_for() as client:
        await house.connect("hubspot", {"accessToken": "sandbox-hubspot-token"}, dataMapping=MAPPING, **TOLERANT)
        await house.sync_now(client)
        wanted = (await letters(house))[0].letter_id
        await house.letters.hasten(ORGANIZATION, None, [], datetime.now(UTC) + timedelta(days=1))
        [result] = await retry(house, client, wanted)
        assert (result.books, result.dead_letters) == (Books(read=1, created=1), 4)
        with pytest.raises(InvalidInput, match="None of these"):
            await retry(house, client, wanted)
        [rest] = await retry(house, client)
    assert (rest.books, await letters(house)) == (Books(read=4, created=4), [])


async def test_a_retry_maps_the_record_by_the_mapping_of_now(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=3)
    wrong = [*MAPPING[:-1], {"source": "venueName", "target": "satisfaction_score"}]
    async with temporal_for() as client:
        await house.connect("hubspot", {"accessToken": "sandbox-hubspot-token"}, dataMapping=wrong, **TOLERANT)
        first = await house.sync_now(client)
        assert (first.books.rejected, first.dead_letters) == (3, 3)
        await house.connect("hubspot", {"accessToken": "sandbox-hubspot-token"}, dataMapping=MAPPING, **TOLERANT)
        [result] = await retry(house, client)
    assert (result.books, await letters(house)) == (Books(read=3, created=3), [])


async def test_f28_exactly_the_poisoned_record_is_kept(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    wedsync(emulators, "scenario", rows=100)
    poisoned = {"expression": "CASE WHEN weddingId = 'wed-1042' THEN 'no such option' ELSE status END"}
    mapping = [field for field in MAPPING if field["target"] != "booking_status"]
    mapping.append({"target": "booking_status", **poisoned})
    async with temporal_for() as client:
        result = await house.sync_now(client, dataMapping=mapping)
        [kept] = await letters(house)
    assert (result.books.created, kept.record_id) == (99, "wed-1042")


async def test_nothing_of_a_letters_record_is_readable_in_the_store(
    house: House,  # noqa: F811
    temporal_for: Any,  # noqa: F811
    emulators: Emulators,  # noqa: F811
    tmp_path: Path,
) -> None:
    wedsync(emulators, "scenario", rows=20)
    refuse_half(emulators)
    async with temporal_for() as client:
        await house.connect("hubspot", {"accessToken": "sandbox-hubspot-token"}, dataMapping=MAPPING, **TOLERANT)
        await house.sync_now(client)
    held = [due.source for due in await house.letters.due(OUTBOX, datetime.now(UTC) + timedelta(days=2))]
    assert held
    couples = [json.loads(source)["clientName"].encode() for source in held]
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    assert [couple for couple in couples if couple in stored] == []


async def test_letters_are_their_organisations_alone(house: House, temporal_for: Any, emulators: Emulators) -> None:  # noqa: F811
    wedsync(emulators, "scenario", rows=100, dirtyRatio=0.1)
    async with temporal_for() as client:
        await house.sync_now(client)
    kept = await letters(house)
    assert kept
    assert await house.letters.listed("other-studios") == ([], 0)
    ids = [letter.letter_id for letter in kept]
    assert await house.letters.hasten("other-studios", None, ids, datetime.now(UTC)) == []
