"""Records on their way to a vendor: what changed is written in batches, what was acknowledged never again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from activities.ports.records import OutboundRecord, RecordConnector, UpsertAnswer
from activities.storage.receipts import Receipt, Receipts, Scope
from activities.sync_bulk import BulkPush
from activities.sync_conflicts import Candidate, Judge
from activities.sync_parts import StagedRecord
from activities.transform.conflicts import instant
from activities.transform.records import fingerprint
from contracts.errors import InvalidInput, Permanent
from contracts.sync import ConflictResolutionStrategy, RecordResult, RecordStatus, SynchronizationType
from contracts.sync_plan import PlannedChange
from contracts.sync_steps import PushParts

BATCH_REFUSED = "batch_refused"
"""The code of a refusal that concerns a whole batch although one record is to blame."""

_ACKNOWLEDGED = frozenset({RecordStatus.CREATED, RecordStatus.UPDATED, RecordStatus.UNCHANGED})
_LOOKS_BEFORE_WRITING = frozenset(ConflictResolutionStrategy) - {ConflictResolutionStrategy.SOURCE_WINS}
_MENDS_DRIFT = frozenset({ConflictResolutionStrategy.SOURCE_WINS, ConflictResolutionStrategy.MERGE})
_READS_NOTHING = frozenset({SynchronizationType.INCREMENTAL, SynchronizationType.REAL_TIME})


class PartPush:
    """One part of a sync, or a few at once, pushed with receipts.

    A record whose receipt this run wrote is done. One whose receipt has the same fingerprint is unchanged; a full sync
    also asks the vendor, so that what was changed there is mended where the source wins. The rest is written, after a
    look at the vendor where it may have changed too. Only a full sync writes a version that the source says is older
    than what stands, because a source may be set back.

    Args:
        connector: the open vendor connection.
        receipts: what the vendor has acknowledged so far.
        job: object type, kind of sync and who wins.
        key: 32 secret bytes for fingerprints.
        on_call: told after every vendor call.
        bulk: takes many changed records as one job, where the vendor has such a thing.
        planned: the only changes that may be made, by record id; None where nobody planned.
    """

    def __init__(
        self,
        connector: RecordConnector,
        receipts: Receipts,
        job: PushParts,
        key: bytes,
        on_call: Callable[[int], None],
        bulk: BulkPush | None = None,
        planned: Mapping[str, PlannedChange] | None = None,
    ) -> None:
        self._connector = connector
        self._bulk = bulk
        self._receipts = receipts
        self._job = job
        self._key = key
        self._on_call = on_call
        self._judging = Judge(connector, job, key, planned)
        self._scope = Scope(job.organization_id, job.integration_id, job.object_type)
        self._batch_size = min(job.batch_size, connector.manifest.batch_size)
        self._results: dict[str, RecordResult] = {}
        self._noted: list[Receipt] = []
        self.waiting = 0
        """Records the vendor could not take for the moment."""

    async def push(self, rows: Sequence[StagedRecord]) -> list[RecordResult]:
        """Return one outcome per row, in the rows' order.

        Raises:
            AuthExpired: the vendor refuses the credential; acknowledged batches have their receipts.
            Transient: likewise, for time-outs, 5xx and 429.
        """
        early, writes = await self.decide(rows)
        if self._noted:
            await self._receipts.record(self._scope, self._noted)
        await self._write(writes)
        return [self._results[row.id] if done is None else done for row, done in zip(rows, early, strict=True)]

    async def decide(self, rows: Sequence[StagedRecord]) -> tuple[list[RecordResult | None], list[Candidate]]:
        """Return the refusal of each row that was rejected, and what is to be written; writes nothing itself."""
        early: list[RecordResult | None] = []
        candidates: dict[str, Candidate] = {}
        known = await self._receipts.load(self._scope, [row.id for row in rows if not row.rejected])
        for row in rows:
            candidate, refusal = self._prepared(row, known.get(row.id))
            if candidate is not None:
                candidates[row.id] = candidate
            early.append(refusal)
        return early, await self._decide(list(candidates.values()))

    @property
    def settled(self) -> Mapping[str, RecordResult]:
        """The outcomes so far, by record id."""
        return self._results

    def _prepared(self, row: StagedRecord, receipt: Receipt | None) -> tuple[Candidate | None, RecordResult | None]:
        reason = row.rejected
        if not reason:
            try:
                record = self._connector.prepare(self._job.object_type, OutboundRecord(row.id, row.properties))
                return Candidate(record, fingerprint(self._key, record.properties), receipt, row), None
            except InvalidInput as error:
                reason = error.detail.message
        return None, RecordResult(record_id=row.id, status=RecordStatus.REJECTED, reason=reason)

    async def _decide(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Settle what needs no write and return what does."""
        writes, to_read = [], []
        for item in candidates:
            if item.known and item.receipt is not None and item.receipt.run_id == self._job.run_id:
                self._settle(item.result(item.receipt.outcome, item.receipt.remote_id))
            elif item.superseded and self._job.sync_type is not SynchronizationType.FULL_SYNC:
                self._settle(item.unchanged("the target has a newer version already"))
            elif self._needs_look(item):
                to_read.append(item)
            elif item.known:
                self._settle(item.unchanged())
            else:
                writes.append(item)
        for batch in _batches(to_read, self._batch_size):
            writes += await self._judge(batch)
        return writes

    def _needs_look(self, item: Candidate) -> bool:
        strategy = self._job.conflict_resolution
        if not item.known:
            return strategy in _LOOKS_BEFORE_WRITING or self._judging.expects
        return strategy in _MENDS_DRIFT and self._job.sync_type not in _READS_NOTHING

    async def _judge(self, batch: Sequence[Candidate]) -> list[Candidate]:
        """Read what the vendor holds of a batch, settle what is not written, and return what is."""
        held = await self._connector.read(self._job.object_type, [item.record.record_id for item in batch])
        self._on_call(1)
        writes = []
        for item in batch:
            found = self._judging.judge(item, held.get(item.record.record_id))
            if found.write is not None:
                writes.append(found.write)
            if found.outcome is not None:
                self._settle(found.outcome)
            if found.outcome is not None and found.noted is not None and not _receipted(item):
                self._noted.append(self._receipt(item, found.outcome, found.noted))
        return writes

    def _receipt(self, item: Candidate, result: RecordResult, target: str | None) -> Receipt:
        return Receipt(
            item.record.record_id,
            item.fingerprint,
            result.remote_id,
            self._job.run_id,
            result.status,
            None if target == item.fingerprint else target,
            self._job.report_id,
            instant(item.row.changed_at),
        )

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
            self._receipt(item, result, item.target_fingerprint)
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


def _receipted(item: Candidate) -> bool:
    """Return whether the receipt says all of it already; one from before it named the report does not."""
    return item.known and item.receipt is not None and item.receipt.report_id is not None


def _batches(items: Sequence[Candidate], size: int) -> Iterator[Sequence[Candidate]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
