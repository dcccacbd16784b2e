"""What a sync tells the health checks: its volume against its kind's history, once per occurrence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.health import Health
from contracts.alerts import AlertKind
from contracts.errors import InvalidInput
from contracts.health import HealthRules, IntegrationKey
from contracts.integration import SyncObservation
from tests.support.health import Checks
from workers.composition import build_health

USUAL = (40, 41, 39, 40, 42, 40)


class Syncs:
    """Syncs of one integration, whose history lies on this weekday."""

    def __init__(self, checks: Checks) -> None:
        access: Any = checks.vendors
        self.checks = checks
        self.health: Health = build_health(checks.database, checks.connections, access, checks.rules)

    async def past(self, *volumes: int) -> None:
        for number, records in enumerate(volumes, 1):
            at = datetime.now(UTC) - timedelta(weeks=number)
            await self.checks.runs.add(self._seen(f"past-{number}", records), at)

    async def run(self, run_id: str, records: int | None, status: str = "success") -> None:
        await self.health.observe_sync(self._seen(run_id, records, status))

    def _seen(self, run_id: str, records: int | None, status: str = "success") -> SyncObservation:
        return SyncObservation(
            organization_id="lumen",
            integration_id="slack-1",
            status=status,
            run_id=run_id,
            series="weddings/incremental",
            records=records,
        )

    async def due(self) -> list[AlertKind]:
        """Tell what is due and return its kinds."""
        later = datetime.now(UTC) + timedelta(days=1)
        due = await self.checks.incidents.collect(later)
        await self.checks.incidents.told(due, later)
        return [one.alert.kind for one in due]


@pytest.fixture
async def syncs(tmp_path: Path) -> AsyncIterator[Syncs]:
    checks = Checks(tmp_path, HealthRules())
    await checks.connect("slack-1")
    yield Syncs(checks)
    await checks.aclose()


async def test_a_sync_that_suddenly_reads_nothing_is_told_once_and_so_is_its_end(syncs: Syncs):
    await syncs.past(*USUAL)
    await syncs.run("run-1", 0)
    await syncs.run("run-1", 0)
    await syncs.run("run-2", 0)
    assert await syncs.due() == [AlertKind.VOLUME_ODD]
    assert await syncs.due() == []
    await syncs.run("run-3", 41)
    assert await syncs.due() == [AlertKind.INTEGRATION_RECOVERED]


async def test_a_volume_within_its_habits_is_told_to_nobody(syncs: Syncs):
    await syncs.past(*USUAL)
    await syncs.run("run-1", 43)
    assert await syncs.due() == []


async def test_without_a_history_of_the_weekday_nothing_is_odd(syncs: Syncs):
    await syncs.past(*USUAL[:4])
    await syncs.run("run-1", 0)
    assert await syncs.due() == []


async def test_a_failed_sync_neither_raises_nor_ends_an_odd_volume(syncs: Syncs):
    await syncs.past(*USUAL)
    await syncs.run("run-1", 0)
    await syncs.run("run-2", None, "failed")
    assert await syncs.due() == [AlertKind.VOLUME_ODD]
    assert await syncs.due() == []


async def test_an_observation_of_an_older_run_without_an_id_still_counts_as_fresh(syncs: Syncs):
    now = datetime.now(UTC)
    seen = SyncObservation(organization_id="lumen", integration_id="slack-1", status="success", synced_at=now)
    await syncs.health.observe_sync(seen)
    stored = await syncs.checks.connections.get("lumen", "slack-1")
    assert stored is not None
    assert stored.last_sync_at == now


async def test_a_check_of_what_is_not_there_says_so(syncs: Syncs):
    with pytest.raises(InvalidInput):
        await syncs.health.check(IntegrationKey(organization_id="lumen", integration_id="nobody", platform="slack"))


async def test_a_check_that_somebody_asks_for_leaves_the_word_alone(syncs: Syncs):
    key = IntegrationKey(organization_id="lumen", integration_id="slack-1", platform="slack")
    assert (await syncs.health.check(key)).status == "healthy"
    assert await syncs.checks.store.board("lumen") == []
