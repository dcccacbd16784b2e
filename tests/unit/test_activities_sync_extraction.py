"""Reading a source that does not behave: circles, endless pages, pages that overlap, and budgets for trying again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.ports.sources import SourcePage
from activities.security.envelope import MasterKey
from activities.storage.staging import Staging
from activities.sync_extraction import Extraction
from activities.sync_parts import Parts, StagedRecord
from activities.sync_progress import WITHOUT_PROGRESS, spent
from contracts.dataset import DataSource
from contracts.errors import Permanent, Transient
from contracts.sync import ConflictResolutionStrategy, DataFilter, FilterOperator, SynchronizationType
from contracts.sync_steps import ExtractProgress, RetryBudget, SyncMode, SyncPlan

NOW = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(Staging(f"file://{tmp_path}/objects", MasterKey(bytes(32)), tmp_path / "scratch"), "lumen", "run")


def plan(**changes: Any) -> SyncPlan:
    given = SyncPlan(
        organization_id="lumen",
        integration_id="crm",
        run_id="run",
        platform="hubspot",
        mode=SyncMode.RECORDS,
        target_object="weddings",
        source=DataSource(),
        report_id="weddings",
        sync_type=SynchronizationType.FULL_SYNC,
        conflict_resolution=ConflictResolutionStrategy.SOURCE_WINS,
        batch_size=100,
        max_rejected_ratio=0,
    )
    return given.model_copy(update=changes)


def page(cursor: str | None, *numbers: int) -> SourcePage:
    return SourcePage([{"id": f"wed-{number}", "status": "booked"} for number in numbers], cursor)


async def take_all(reading: Extraction, pages: list[SourcePage]) -> None:
    for one in pages:
        await reading.take(one)


def extraction(parts: Parts, folder: Path, progress: ExtractProgress | None = None, **changes: Any) -> Extraction:
    return Extraction(plan(**changes), parts, folder, progress or ExtractProgress())


async def test_f35_records_that_are_on_two_pages_are_taken_once(parts: Parts, tmp_path: Path) -> None:
    reading = extraction(parts, tmp_path)
    for one in (page("a", 1, 2), page("b", 2, 3), page(None, 3, 4)):
        await reading.take(one)
    report = await reading.close()
    rows = [row.id for ref in report.parts.inline for row in await parts.read(ref, StagedRecord)]
    assert (report.read, rows) == (4, ["wed-1", "wed-2", "wed-3", "wed-4"])


async def test_f35_an_empty_page_in_the_middle_is_not_the_end(parts: Parts, tmp_path: Path) -> None:
    reading = extraction(parts, tmp_path)
    for one in (page("a", 1), page("b"), page(None, 2)):
        await reading.take(one)
    assert (await reading.close()).read == 2


async def test_f35_a_repeated_cursor_stops_the_reading(parts: Parts, tmp_path: Path) -> None:
    reading = extraction(parts, tmp_path)
    await reading.take(page("a", 1))
    with pytest.raises(Transient, match="cursor twice"):
        await reading.take(page("a", 2))


@pytest.mark.parametrize("numbers", [(), (1, 2)], ids=["empty", "the same"])
async def test_f35_pages_without_end_stop_the_reading(parts: Parts, tmp_path: Path, numbers: tuple[int, ...]) -> None:
    reading = extraction(parts, tmp_path)
    await reading.take(page("start", 1, 2))
    with pytest.raises(Transient, match="nothing new"):
        await take_all(reading, [page(f"cursor-{number}", *numbers) for number in range(100)])


async def test_many_pages_outside_the_filters_are_progress(parts: Parts, tmp_path: Path) -> None:
    unwanted = DataFilter(field="status", operator=FilterOperator.NOT_EQUALS, value="booked")
    reading = extraction(parts, tmp_path, filters=[unwanted])
    for number in range(100):
        await reading.take(page(f"cursor-{number}", number))
    assert reading.progress.position == 100


async def test_f35_a_circle_that_lasts_ends_the_run(parts: Parts, tmp_path: Path) -> None:
    reading = extraction(parts, tmp_path, ExtractProgress(budget=RetryBudget(progressed_at=NOW, stalled=4)))
    await reading.take(page("a", 1))
    with pytest.raises(Permanent) as caught:
        await reading.take(page("a", 2))
    assert caught.value.detail.code == "source_cursor_repeated"


def test_attempts_without_progress_are_counted_and_end() -> None:
    budget = spent(RetryBudget(), NOW)
    for hours in (1, 6, 12):
        budget = spent(budget, NOW + timedelta(hours=hours))
    assert budget == RetryBudget(progressed_at=NOW, stalled=3)
    with pytest.raises(Permanent) as caught:
        spent(budget, NOW + WITHOUT_PROGRESS + timedelta(seconds=1))
    assert (caught.value.detail.code, caught.value.detail.evidence) == ("no_progress", {"attempts": 4})


def test_a_step_that_progressed_has_its_whole_budget_again() -> None:
    later = NOW + timedelta(days=3)
    assert spent(RetryBudget(progressed_at=later), later + timedelta(hours=11)).stalled == 1
