"""SyncReport with the real activities: which side wins a record that both changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import JsonValue
from temporalio.client import Client

from activities.connectors.crm.hubspot import HubSpot
from activities.ports.records import OutboundRecord
from contracts.dead_letters import LetterDecision
from contracts.errors import InvalidInput
from contracts.integration import Side
from contracts.sync import Books, SynchronizationResult, SyncStatus
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_dead_letters import desk, letters, retry
from tests.orchestration.test_sync_report import ORGANIZATION
from tests.orchestration.test_sync_report_vendors import (  # noqa: F401 - fixtures
    MAPPING,
    House,
    house,
    temporal_for,
    wedsync,
)

EMULATED = ("hubspot", "wedsync")
LATER, EARLIER = datetime.now(UTC) + timedelta(days=400), datetime.now(UTC) - timedelta(days=1)
OWNED_BY_TARGET = [
    {**field, "winner": "target"} if field["target"] in {"venue_name", "guest_count"} else field for field in MAPPING
]
CHANGED_THERE = "Orangery"


class Scene:
    """One wedding that stands at HubSpot, then changes at the source, at HubSpot, or at both."""

    def __init__(self, house: House, client: Client) -> None:  # noqa: F811
        self.house, self.client = house, client

    async def sync(self, **changes: Any) -> SynchronizationResult:
        return await self.house.sync_now(self.client, **changes)

    async def begin(self, **changes: Any) -> None:
        wedsync(self.house.emulators, "scenario", rows=1)
        await self.sync(**changes)

    def change_source(self, at: datetime = LATER) -> None:
        wedsync(self.house.emulators, "touch", count=1, at=at.isoformat())

    async def change_target(self, **values: JsonValue) -> None:
        connector = await self.house.access.connector(ORGANIZATION, "hubspot-main", HubSpot)
        given = OutboundRecord("wed-1001", values or {"venue_name": CHANGED_THERE})
        await connector.upsert("weddings", [connector.prepare("weddings", given)])

    async def target(self) -> dict[str, JsonValue]:
        connector = await self.house.access.connector(ORGANIZATION, "hubspot-main", HubSpot)
        return dict((await connector.read("weddings", ["wed-1001"]))["wed-1001"])

    async def decide(self, winner: Side) -> SynchronizationResult:
        [letter] = await letters(self.house)
        decision = LetterDecision(organization_id=ORGANIZATION, winner=winner, decided_by="planner")
        _, [run] = await desk(self.house, self.client).decide(letter.letter_id, decision)
        return await run.result()


@pytest.fixture
async def scene(house: House, temporal_for: Any) -> AsyncIterator[Scene]:  # noqa: F811
    async with temporal_for() as client:
        yield Scene(house, client)


@pytest.mark.parametrize("strategy", ["target_wins", "newest_wins", "manual"])
async def test_a_record_that_only_the_source_changed_is_written(scene: Scene, strategy: str) -> None:
    await scene.begin(conflictResolution=strategy)
    scene.change_source()
    result = await scene.sync(conflictResolution=strategy)
    assert (result.status, result.books) == (SyncStatus.SUCCESS, Books(read=1, updated=1))


@pytest.mark.parametrize("strategy", ["target_wins", "newest_wins", "manual"])
async def test_a_record_that_only_the_target_changed_stays(scene: Scene, strategy: str) -> None:
    await scene.begin(conflictResolution=strategy)
    await scene.change_target()
    result = await scene.sync(conflictResolution=strategy)
    assert (result.books, (await scene.target())["venue_name"]) == (Books(read=1, unchanged=1), CHANGED_THERE)


async def test_the_source_wins(scene: Scene) -> None:
    await scene.begin()
    scene.change_source()
    await scene.change_target()
    result = await scene.sync()
    assert (result.books.updated, (await scene.target())["venue_name"] != CHANGED_THERE) == (1, True)


async def test_the_target_wins_once_and_what_the_source_says_later_is_written(scene: Scene) -> None:
    await scene.begin()
    scene.change_source()
    await scene.change_target()
    result = await scene.sync(conflictResolution="target_wins")
    assert (result.books.unchanged, (await scene.target())["venue_name"]) == (1, CHANGED_THERE)
    scene.change_source(LATER + timedelta(days=1))
    again = await scene.sync(conflictResolution="target_wins")
    assert (again.books.updated, (await scene.target())["venue_name"] != CHANGED_THERE) == (1, True)


@pytest.mark.parametrize(("at", "target_stays"), [(LATER, False), (EARLIER, True)])
async def test_f45_the_newest_side_wins_and_a_repeat_writes_nothing(
    scene: Scene, at: datetime, *, target_stays: bool
) -> None:
    await scene.begin()
    scene.change_source(at)
    await scene.change_target()
    await scene.sync(conflictResolution="newest_wins")
    assert ((await scene.target())["venue_name"] == CHANGED_THERE) is target_stays
    effects = len(scene.house.emulators.effects("hubspot"))
    repeated = await scene.sync(conflictResolution="newest_wins")
    assert (repeated.books, len(scene.house.emulators.effects("hubspot"))) == (Books(read=1, unchanged=1), effects)


async def test_fields_are_merged_each_from_its_declared_side(scene: Scene) -> None:
    mapping = {"dataMapping": OWNED_BY_TARGET, "conflictResolution": "merge"}
    await scene.begin(**mapping)
    scene.change_source()
    await scene.change_target(venue_name=CHANGED_THERE, total_budget="1")
    result = await scene.sync(**mapping)
    held = await scene.target()
    assert (result.books.updated, held["venue_name"], held["total_budget"] != "1") == (1, CHANGED_THERE, True)
    scene.change_source(LATER + timedelta(days=1))
    await scene.sync(**mapping)
    assert (await scene.target())["venue_name"] == CHANGED_THERE


async def test_a_merged_field_that_is_empty_at_the_target_is_filled(scene: Scene) -> None:
    mapping = {"dataMapping": OWNED_BY_TARGET, "conflictResolution": "merge"}
    await scene.begin(**mapping)
    stood = (await scene.target())["venue_name"]
    await scene.change_target(venue_name="")
    await scene.sync(**mapping)
    assert (await scene.target())["venue_name"] == stood


async def asked(scene: Scene) -> SynchronizationResult:
    await scene.begin()
    scene.change_source()
    await scene.change_target()
    return await scene.sync(conflictResolution="manual")


async def test_a_record_both_changed_is_held_until_somebody_decides(scene: Scene) -> None:
    result = await asked(scene)
    [letter] = await letters(scene.house)
    assert (result.status, result.books.held, letter.asks, letter.due_at) == (SyncStatus.PARTIAL, 1, True, None)
    assert "venue_name" in letter.reason
    assert (await scene.target())["venue_name"] == CHANGED_THERE


@pytest.mark.parametrize("winner", [Side.SOURCE, Side.TARGET])
async def test_a_decision_is_carried_out_and_the_letter_is_gone(scene: Scene, winner: Side) -> None:
    await asked(scene)
    result = await scene.decide(winner)
    stays = (await scene.target())["venue_name"] == CHANGED_THERE
    assert (result.status, stays, await letters(scene.house)) == (SyncStatus.SUCCESS, winner is Side.TARGET, [])
    repeated = await scene.sync(conflictResolution="manual")
    assert repeated.books == Books(read=1, unchanged=1)


async def test_a_decision_does_not_hold_for_a_target_that_changed_again(scene: Scene) -> None:
    await asked(scene)
    await scene.change_target(venue_name="Boathouse")
    result = await scene.decide(Side.SOURCE)
    [letter] = await letters(scene.house)
    assert (result.books.held, letter.decision, (await scene.target())["venue_name"]) == (1, None, "Boathouse")


async def test_a_retry_decides_nothing(scene: Scene) -> None:
    await asked(scene)
    [result] = await retry(scene.house, scene.client)
    assert (result.books.held, (await scene.target())["venue_name"]) == (1, CHANGED_THERE)


async def test_an_open_question_does_not_hold_the_watermark_back(scene: Scene) -> None:
    await asked(scene)
    result = await scene.sync(syncType="incremental", conflictResolution="manual")
    assert result.books.read <= 1
    assert len(await letters(scene.house)) == 1


async def test_nobody_decides_what_was_not_asked(scene: Scene) -> None:
    decision = LetterDecision(organization_id=ORGANIZATION, winner=Side.SOURCE, decided_by="planner")
    with pytest.raises(InvalidInput, match="No decision is asked"):
        await desk(scene.house, scene.client).decide("0" * 32, decision)
