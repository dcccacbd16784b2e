"""Changed records as one job of the vendor, found again by its id after a lost worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from activities.ports.records import BulkRecordConnector, BulkStage, OutboundRecord, UpsertAnswer
from activities.sync_parts import Parts
from contracts.dataset import DatasetRef
from contracts.errors import Transient
from contracts.sync_steps import PushParts

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_LOAD_CALLS = 2


class BulkPush:
    """The bulk job of parts that are pushed together.

    The id of a job is staged before the job is loaded, because a heartbeat reaches the server seconds later. What is
    left is a job whose id nobody knows, and that one is open and has done nothing. The vendor upserts by our record
    id, so that even a job done twice changes nothing further.

    Args:
        connector: the open vendor connection.
        job: object type, and from how many records on a job is worth it.
        parts: the run's staged files.
        number: the first of the parts that are pushed together; a job is theirs alone.
        on_call: told after every vendor call.
    """

    def __init__(
        self, connector: BulkRecordConnector, job: PushParts, parts: Parts, number: int, on_call: Callable[[int], None]
    ) -> None:
        self._connector = connector
        self._job = job
        self._parts = parts
        self._on_call = on_call
        self._note = f"parts/bulk-{number:06d}.job"

    async def takes(self, records: int) -> bool:
        """Return whether so many changed records go as a job, or an earlier job has yet to tell its results."""
        if self._job.bulk_from is None:
            return False
        return records > self._job.bulk_from or bool(await self._parts.note(self._note))

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
            await self.settle()
            raise Transient(
                "bulk_job_gone",
                "The vendor no longer has the bulk job of this push; the next attempt begins another.",
                operation="sync.push_records",
            )
        answer = await self._connector.bulk_results(job_id)
        self._on_call(answer.vendor_calls)
        return answer

    async def settle(self) -> None:
        """Forget the job, because its results are kept or cannot be had."""
        await self._parts.put_note(self._note, "")

    async def _under_way(self) -> str | None:
        """Return an earlier attempt's job if the vendor has its records."""
        job_id = await self._parts.note(self._note)
        if not job_id:
            return None
        stage = await self._stage(job_id)
        if stage in {BulkStage.WORKING, BulkStage.ENDED}:
            return job_id
        if stage is BulkStage.OPEN:
            # Nobody knows whether it was loaded, and an open job has done nothing.
            await self._connector.abandon_bulk(job_id)
            self._on_call(1)
        return None

    async def _begun(self, records: Sequence[OutboundRecord]) -> str:
        job_id = await self._connector.begin_bulk(self._job.object_type)
        self._on_call(1)
        await self._parts.put_note(self._note, job_id)
        await self._connector.load_bulk(job_id, records)
        self._on_call(_LOAD_CALLS)
        return job_id

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
