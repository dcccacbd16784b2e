"""A published data set's records: each is told apart by its place, whatever the system refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from activities.ports.datasets import PublishAnswer, PublishRequest
from activities.security.envelope import MasterKey
from activities.storage.staging import Staging
from activities.sync_dataset import build_dataset
from activities.sync_parts import Parts
from activities.sync_publication import StagedProgress, published
from contracts.errors import QualityGateFailed, Transient
from contracts.sync import Books, RecordResult, RecordStatus
from contracts.sync_steps import SyncPlan

ROWS = 30_000
"""More than one thread of the typing reads at a time."""


@dataclass
class System:
    """A BI system that refuses the rows whose `guests` are among `strangers`."""

    strangers: set[int] = field(default_factory=set)
    loses: int = 0
    reason: str = "unknown"
    asked: list[PublishRequest] = field(default_factory=list)

    async def publish(self, request: PublishRequest) -> PublishAnswer:
        self.asked.append(request)
        guests = [value for path in request.files for value in pq.read_table(path)["guests"].to_pylist()]
        refused = {number: self.reason for number, value in enumerate(guests) if value in self.strangers}
        request.check_refused(len(refused))
        return PublishAnswer("model", len(guests) - len(refused) - self.loses, 3, refused)


def plan(ratio: float = 1.0) -> SyncPlan:
    given = {
        "organizationId": "lumen",
        "integrationId": "bi",
        "runId": "run",
        "platform": "tableau",
        "mode": "dataset",
        "targetObject": "Bookings",
        "source": {},
        "reportId": "weddings",
        "syncType": "full_sync",
        "conflictResolution": "source_wins",
        "batchSize": 1,
        "maxRejectedRatio": ratio,
    }
    return SyncPlan.model_validate(given)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    key = MasterKey(bytes(32))
    return Parts(Staging(f"file://{tmp_path}/objects", key, tmp_path / "scratch"), "lumen", "run")


async def publish(system: Any, parts: Parts, folder: Path, ratio: float = 1.0) -> tuple[Books, list[RecordResult]]:
    """Publish records of which every seventh was rejected before, and return what became of them."""
    rows = folder / "rows.ndjson"
    lines = [
        {"id": f"wed-{number}", "properties": {"guests": number}, "rejected": "" if number % 7 else "no date"}
        for number in range(ROWS)
    ]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    dataset = build_dataset([rows], ["guests"], folder)
    pushed = await published(system, plan(ratio), dataset, parts, folder)
    return pushed.books, await parts.read(pushed.outcomes, RecordResult)


async def test_the_refused_row_is_the_record_it_came_from(parts: Parts, tmp_path: Path) -> None:
    strangers = {1, 15_002, 29_999}
    books, results = await publish(System(strangers), parts, tmp_path)
    early = -(-ROWS // 7)
    assert books == Books(read=ROWS, updated=ROWS - early - 3, rejected=early + 3)
    assert {row.record_id for row in results if row.reason == "unknown"} == {f"wed-{one}" for one in strangers}
    assert sum(row.status is RecordStatus.REJECTED for row in results) == books.rejected
    assert len({row.record_id for row in results}) == ROWS


async def test_a_system_that_holds_fewer_rows_than_it_says_is_red(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(Transient, match="published rows"):
        await publish(System(loses=1), parts, tmp_path)


async def test_the_share_that_may_be_rejected_counts_those_of_before(parts: Parts, tmp_path: Path) -> None:
    early, system = -(-ROWS // 7), System({1, 2})
    await publish(system, parts, tmp_path, (early + 2.5) / ROWS)
    with pytest.raises(QualityGateFailed):
        await publish(system, parts, tmp_path, (early + 1.5) / ROWS)
    asked = len(system.asked)
    with pytest.raises(QualityGateFailed):
        await publish(system, parts, tmp_path, (early - 0.5) / ROWS)
    assert len(system.asked) == asked, "records rejected before are too many without asking the system"


async def test_a_reason_too_long_for_a_record_is_cut(parts: Parts, tmp_path: Path) -> None:
    _, results = await publish(System({1}, reason="x" * 5_000), parts, tmp_path)
    assert {row.reason for row in results if row.record_id == "wed-1"} == {"x" * 500}


async def test_a_note_is_found_by_the_next_attempt_and_not_by_another_run(parts: Parts, tmp_path: Path) -> None:
    await StagedProgress(parts).note("job-1")
    assert await StagedProgress(parts).noted() == "job-1"
    key = MasterKey(bytes(32))
    other = Parts(Staging(f"file://{tmp_path}/objects", key, tmp_path / "scratch"), "lumen", "another-run")
    assert await StagedProgress(other).noted() == ""
