"""Records on their way to a vendor: what changed is written in batches, what was acknowledged never again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from activities.ports.connector import OutboundRecord, RecordConnector, UpsertAnswer
from activities.storage.receipts import Receipt, Receipts, Scope
from activities.sync_bulk import BulkPush
from activities.sync_parts import StagedRecord
from activities.transform.records import fingerprint, stands
from contracts.errors import InvalidInput, Permanent
from contracts.sync import ConflictResolutionStrategy, RecordResult, RecordStatus, SynchronizationType
from contracts.sync_steps import PushParts

BATCH_REFUSED = "batch_refused"
"""The code of a refusal that concerns a whole batch although one record is to blame."""

_ACKNOWLEDGED = frozenset({RecordStatus.CREATED, RecordStatus.UPDATED, RecordStatus.UNCHANGED})
_LOOKS_AT_TARGET = frozenset({ConflictResolutionStrategy.TARGET_WINS, ConflictResolutionStrategy.MANUAL})
_READS_NOTHING = frozenset({SynchronizationType.INCREMENTAL, SynchronizationType.REAL_TIME})


@dataclass(frozen=True)
class Candidate:
    """A record in the vendor's formats, its fingerprint, and the vendor's last acknowledgement of it."""

    record: OutboundRecord
    fingerprint: str
    receipt: Receipt | None

    @property
    def known(self) -> bool:
        """Whether the vendor has acknowledged exactly this content."""
        return self.receipt is not None and self.receipt.fingerprint == self.fingerprint

    def unchanged(self, reason: str = "") -> RecordResult:
        """Return the outcome of a record that is not written."""
        remote_id = self.receipt.remote_id if self.receipt else None
        return self.result(RecordStatus.UNCHANGED, remote_id, reason)

    def result(self, status: RecordStatus, remote_id: str | None = None, reason: str = "") -> RecordResult:
        """Return an outcome of this record."""
        return RecordResult(record_id=self.record.record_id, status=status, remote_id=remote_id, reason=reason)


class PartPush:
    """One part of a sync, or a few at once, pushed with receipts.

    A record whose receipt this run wrote is done. One whose receipt has the same fingerprint is unchanged; a full sync
    also asks the vendor, so that what was changed there is mended where the source wins. The rest is written.

    Args:
        connector: the open vendor connection.
        receipts: what the vendor has acknowledged so far.
        job: object type, kind of sync and who wins.
        key: 32 secret bytes for fingerprints.
        on_call: told after every vendor call.
        bulk: takes many changed records as one job, where the vendor has such a thing.
    """

    def __init__(
        self,
        connector: RecordConnector,
        receipts: Receipts,
        job: PushParts,
        key: bytes,
        on_call: Callable[[int], None],
        bulk: BulkPush | None = None,
    ) -> None:
        self._connector = connector
        self._bulk = bulk
        self._receipts = receipts
        self._job = job
        self._key = key
        self._on_call = on_call
        self._scope = Scope(job.organization_id, job.integration_id, job.object_type)
        self._batch_size = min(job.batch_size, connector.manifest.batch_size)
        self._results: dict[str, RecordResult] = {}
        self.waiting = 0
        """Records the vendor could not take for the moment."""

    async def push(self, rows: Sequence[StagedRecord]) -> list[RecordResult]:
        """Return one outcome per row, in the rows' order.

        Raises:
            AuthExpired: the vendor refuses the credential; acknowledged batches have their receipts.
            Transient: likewise, for time-outs, 5xx and 429.
        """
        early: list[RecordResult | None] = []
        candidates: dict[str, Candidate] = {}
        known = await self._receipts.load(self._scope, [row.id for row in rows if not row.rejected])
        for row in rows:
            candidate, refusal = self._prepared(row, known.get(row.id))
            if candidate is not None:
                candidates[row.id] = candidate
            early.append(refusal)
        await self._write(await self._decide(list(candidates.values())))
        return [self._results[row.id] if done is None else done for row, done in zip(rows, early, strict=True)]

    def _prepared(self, row: StagedRecord, receipt: Receipt | None) -> tuple[Candidate | None, RecordResult | None]:
        reason = row.rejected
        if not reason:
            try:
                record = self._connector.prepare(self._job.object_type, OutboundRecord(row.id, row.properties))
                return Candidate(record, fingerprint(self._key, record.properties), receipt), None
            except InvalidInput as error:
                reason = error.detail.message
        return None, RecordResult(record_id=row.id, status=RecordStatus.REJECTED, reason=reason)

    async def _decide(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Settle what needs no write and return what does."""
        writes, to_read = [], []
        for item in candidates:
            if item.known and item.receipt is not None and item.receipt.run_id == self._job.run_id:
                self._settle(item.result(item.receipt.outcome, item.receipt.remote_id))
            elif self._needs_look(item):
                to_read.append(item)
            elif item.known:
                self._settle(item.unchanged())
            else:
                writes.append(item)
        for batch in _batches(to_read, self._batch_size):
            held = await self._connector.read(self._job.object_type, [item.record.record_id for item in batch])
            self._on_call(1)
            writes += [item for item in batch if self._wants_write(item, held.get(item.record.record_id))]
        return writes

    def _needs_look(self, item: Candidate) -> bool:
        if self._job.conflict_resolution in _LOOKS_AT_TARGET:
            return not item.known
        return item.known and self._job.sync_type not in _READS_NOTHING

    def _wants_write(self, item: Candidate, held: Mapping[str, JsonValue] | None) -> bool:
        if held is None:
            return True
        if stands(item.record.properties, held):
            self._settle(item.unchanged())
            return False
        if self._job.conflict_resolution not in _LOOKS_AT_TARGET or self._untouched(item, held):
            return True
        if self._job.conflict_resolution is ConflictResolutionStrategy.MANUAL:
            self._settle(item.result(RecordStatus.HELD, reason="the target was changed too: somebody has to decide"))
        else:
            self._settle(item.unchanged("the target was changed too, and the target wins"))
        return False

    def _untouched(self, item: Candidate, held: Mapping[str, JsonValue]) -> bool:
        """Return whether the vendor still holds what we last wrote."""
        if item.receipt is None:
            return False
        ours = OutboundRecord(item.record.record_id, {name: held.get(name) for name in item.record.properties})
        try:
            prepared = self._connector.prepare(self._job.object_type, ours)
        except InvalidInput:
            return False
        return fingerprint(self._key, prepared.properties) == item.receipt.fingerprint

    async def _write(self, candidates: Sequence[Candidate]) -> None:
        if candidates and self._bulk is not None and await self._bulk.takes(len(candidates)):
            answer = await self._bulk.write([item.record for item in candidates])
            await self._acknowledge(candidates, answer)
            await self._bulk.settle()
            return
        for batch in _batches(candidates, self._batch_size):
            await self._send(batch)

    async def _send(self, batch: Sequence[Candidate]) -> None:
        """Upsert one batch and record its receipts; halve a batch refused as a whole until the culprit stands alone."""
        try:
            answer = await self._connector.upsert(self._job.object_type, [item.record for item in batch])
        except Permanent as error:
            self._on_call(1)
            if error.detail.code != BATCH_REFUSED:
                raise
            if len(batch) == 1:
                self._settle(batch[0].result(RecordStatus.REJECTED, reason=error.detail.message))
                return
            middle = len(batch) // 2
            await self._send(batch[:middle])
            await self._send(batch[middle:])
            return
        self._on_call(answer.vendor_calls)
        await self._acknowledge(batch, answer)

    async def _acknowledge(self, batch: Sequence[Candidate], answer: UpsertAnswer) -> None:
        words = {result.record_id: result for result in answer.results}
        results = [
            words.get(item.record.record_id, item.result(RecordStatus.HELD, reason="the vendor said nothing about it"))
            for item in batch
        ]
        receipts = [
            Receipt(result.record_id, item.fingerprint, result.remote_id, self._job.run_id, result.status)
            for item, result in zip(batch, results, strict=True)
            if result.status in _ACKNOWLEDGED
        ]
        if receipts:
            await self._receipts.record(self._scope, receipts)
        for result in results:
            self.waiting += result.status is RecordStatus.HELD
            self._settle(result)

    def _settle(self, result: RecordResult) -> None:
        self._results[result.record_id] = result


def _batches(items: Sequence[Candidate], size: int) -> Iterator[Sequence[Candidate]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
