"""Changed records as one job of the vendor, found again by its id after a lost worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from activities.ports.connector import BulkRecordConnector, BulkStage, OutboundRecord, UpsertAnswer
from contracts.dataset import DatasetRef
from contracts.errors import Transient
from contracts.sync_steps import PushParts

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_LOAD_CALLS = 2


class BulkPush:
    """The bulk job of a push, at most one at a time.

    The vendor upserts by our record id, so that a job repeated because its id was lost changes nothing further.

    Args:
        connector: the open vendor connection.
        job: object type, and from how many records on a job is worth it.
        job_id: the job that an earlier attempt began.
        on_call: told after every vendor call.
        on_job: told the id of the job that is under way, None once its results are kept.
    """

    def __init__(
        self,
        connector: BulkRecordConnector,
        job: PushParts,
        job_id: str | None,
        *,
        on_call: Callable[[int], None],
        on_job: Callable[[str | None], None],
    ) -> None:
        self._connector = connector
        self._job = job
        self._job_id = job_id
        self._on_call = on_call
        self._on_job = on_job

    def takes(self, records: int) -> bool:
        """Return whether so many changed records go as a job, or an earlier job has yet to tell its results."""
        return self._job_id is not None or (self._job.bulk_from is not None and records > self._job.bulk_from)

    async def write(self, records: Sequence[OutboundRecord]) -> UpsertAnswer:
        """Have the vendor take the records, or wait for the job that has them, and return what became of each.

        Raises:
            Transient: `bulk_job_gone`, somebody aborted the job; the next attempt begins another.
            Permanent: the vendor refused the job as a whole.
        """
        job_id = await self._under_way() or await self._begun(records)
        pause_s = _FIRST_PAUSE_S
        while (stage := await self._stage(job_id)) is BulkStage.WORKING:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if stage is not BulkStage.ENDED:
            self.settle()
            raise Transient(
                "bulk_job_gone",
                "The vendor no longer has the bulk job of this push; the next attempt begins another.",
                operation="sync.push_records",
            )
        answer = await self._connector.bulk_results(job_id)
        self._on_call(answer.vendor_calls)
        return answer

    def settle(self) -> None:
        """Forget the job, because its results are kept or cannot be had."""
        self._job_id = None
        self._on_job(None)

    async def _under_way(self) -> str | None:
        """Return the earlier attempt's job if the vendor has its records."""
        if self._job_id is None:
            return None
        stage = await self._stage(self._job_id)
        if stage in {BulkStage.WORKING, BulkStage.ENDED}:
            return self._job_id
        if stage is BulkStage.OPEN:
            # Nobody knows whether it was loaded, and an open job has done nothing.
            await self._connector.abandon_bulk(self._job_id)
            self._on_call(1)
        self.settle()
        return None

    async def _begun(self, records: Sequence[OutboundRecord]) -> str:
        self._job_id = await self._connector.begin_bulk(self._job.object_type)
        self._on_job(self._job_id)
        self._on_call(1)
        await self._connector.load_bulk(self._job_id, records)
        self._on_call(_LOAD_CALLS)
        return self._job_id

    async def _stage(self, job_id: str) -> BulkStage:
        stage = await self._connector.bulk_stage(job_id)
        self._on_call(1)
        return stage


def groups(refs: Sequence[DatasetRef], job: PushParts) -> Iterator[list[DatasetRef]]:
    """Yield the parts that are pushed together: one by one, or as many as one bulk job takes."""
    most = 0 if job.bulk_from is None else job.bulk_size
    some: list[DatasetRef] = []
    for ref in refs:
        if some and sum(item.rows for item in some) + ref.rows > most:
            yield some
            some = []
        some.append(ref)
    if some:
        yield some
