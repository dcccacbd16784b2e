"""A push's bulk job: the same one after a lost worker, another one where it was never at work."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.ports.records import BulkStage, OutboundRecord, UpsertAnswer
from activities.security.envelope import MasterKey
from activities.storage.staging import Staging
from activities.sync_bulk import BulkPush
from activities.sync_parts import Parts
from contracts.errors import OutcomeUnknown, Transient
from contracts.sync import ConflictResolutionStrategy, SynchronizationType
from contracts.sync_steps import PartList, PushParts

RECORDS = [OutboundRecord(f"wed-{number}", {}) for number in range(3)]


class Vendor:
    """A vendor that remembers what it was asked, and whose jobs are in the stage a test wants."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stages: list[BulkStage] = []
        self.loses_the_hand_over = False

    async def begin_bulk(self, object_type: str) -> str:
        self.asked.append("begin")
        return f"job-{self.asked.count('begin')}"

    async def load_bulk(self, job_id: str, records: list[OutboundRecord]) -> None:
        self.asked.append(f"load {job_id}")
        if self.loses_the_hand_over:
            raise OutcomeUnknown("vendor_no_answer", "No answer came.")

    async def bulk_stage(self, job_id: str) -> BulkStage:
        self.asked.append(f"look {job_id}")
        return self.stages.pop(0) if self.stages else BulkStage.ENDED

    async def bulk_results(self, job_id: str) -> UpsertAnswer:
        self.asked.append(f"results {job_id}")
        return UpsertAnswer([], 4)

    async def abandon_bulk(self, job_id: str) -> None:
        self.asked.append(f"abandon {job_id}")


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    key = MasterKey(bytes(32))
    return Parts(Staging(f"file://{tmp_path}/objects", key, tmp_path / "scratch"), "lumen-studios", "run")


def attempt(vendor: Vendor, parts: Parts, number: int = 0, bulk_from: int | None = 2) -> BulkPush:
    """Return the job of an attempt that knows nothing but what is staged."""
    job = PushParts(
        organization_id="lumen-studios",
        integration_id="crm-main",
        run_id="run",
        object_type="weddings",
        sync_type=SynchronizationType.FULL_SYNC,
        conflict_resolution=ConflictResolutionStrategy.SOURCE_WINS,
        batch_size=200,
        bulk_from=bulk_from,
        parts=PartList(),
        first=0,
        count=1,
    )
    return BulkPush(vendor, job, parts, number, lambda calls: None)  # type: ignore[arg-type]


async def lost(vendor: Vendor, parts: Parts) -> None:
    """Play an attempt that ends between the hand-over and its answer."""
    vendor.loses_the_hand_over = True
    with pytest.raises(OutcomeUnknown):
        await attempt(vendor, parts).write(RECORDS)
    vendor.loses_the_hand_over = False
    vendor.asked.clear()


@pytest.mark.parametrize(("bulk_from", "records", "taken"), [(2, 2, False), (2, 3, True), (None, 9_999, False)])
async def test_more_records_than_the_threshold_are_a_job(
    vendor: Vendor, parts: Parts, bulk_from: int | None, records: int, *, taken: bool
) -> None:
    assert await attempt(vendor, parts, bulk_from=bulk_from).takes(records) is taken


@pytest.mark.parametrize("stage", [BulkStage.WORKING, BulkStage.ENDED])
async def test_a_successor_waits_for_the_job_of_a_lost_worker(vendor: Vendor, parts: Parts, stage: BulkStage) -> None:
    await lost(vendor, parts)
    vendor.stages = [stage]
    await attempt(vendor, parts).write(RECORDS)
    assert vendor.asked == ["look job-1", "look job-1", "results job-1"]


async def test_a_job_that_is_still_open_is_given_up_for_another(vendor: Vendor, parts: Parts) -> None:
    await lost(vendor, parts)
    vendor.stages = [BulkStage.OPEN]
    await attempt(vendor, parts).write(RECORDS)
    assert vendor.asked == ["look job-1", "abandon job-1", "begin", "load job-1", "look job-1", "results job-1"]


async def test_a_job_the_vendor_has_forgotten_is_begun_anew(vendor: Vendor, parts: Parts) -> None:
    await lost(vendor, parts)
    vendor.stages = [BulkStage.GONE]
    await attempt(vendor, parts).write(RECORDS)
    assert vendor.asked[:2] == ["look job-1", "begin"]


async def test_a_job_that_somebody_aborts_is_left_to_the_next_attempt(vendor: Vendor, parts: Parts) -> None:
    vendor.stages = [BulkStage.GONE]
    with pytest.raises(Transient) as caught:
        await attempt(vendor, parts).write(RECORDS)
    assert caught.value.detail.code == "bulk_job_gone"
    assert not await attempt(vendor, parts).takes(1)


async def test_few_records_wait_for_a_job_that_has_yet_to_tell_its_results(vendor: Vendor, parts: Parts) -> None:
    await lost(vendor, parts)
    assert await attempt(vendor, parts).takes(1)


async def test_a_settled_job_is_asked_no_more(vendor: Vendor, parts: Parts) -> None:
    push = attempt(vendor, parts)
    await push.write(RECORDS)
    await push.settle()
    assert not await attempt(vendor, parts).takes(1)


async def test_a_job_belongs_to_the_parts_it_was_begun_for(vendor: Vendor, parts: Parts) -> None:
    await lost(vendor, parts)
    assert not await attempt(vendor, parts, number=10).takes(1)
