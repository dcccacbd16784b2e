"""What a sync would do to the records of its target, without doing any of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import JsonValue
from temporalio import activity

from activities.access import Access
from activities.ports.records import RecordConnector
from activities.storage.receipts import Receipts
from activities.storage.staging import Staging
from activities.sync_conflicts import Candidate, Judge, differing
from activities.sync_parts import Parts, StagedRecord
from activities.sync_push import PartPush
from contracts.sync import RecordStatus
from contracts.sync_plan import SHOWN, PlanCounts, PlannedAction, PlannedChange, PreviewedParts, hash_of
from contracts.sync_steps import PushParts

_BLOCKED = frozenset({RecordStatus.REJECTED, RecordStatus.HELD})


class SyncPreviews:
    """The verb of plans.

    Args:
        access: opens the integration's connector.
        staging: the sealed object store.
        receipts: what vendors have acknowledged.
        fingerprint_key: 32 secret bytes, those of the syncs.
    """

    def __init__(self, access: Access, staging: Staging, receipts: Receipts, *, fingerprint_key: bytes) -> None:
        self._access = access
        self._staging = staging
        self._receipts = receipts
        self._key = fingerprint_key

    @activity.defn(name="sync.preview_records")
    async def preview_records(self, job: PushParts) -> PreviewedParts:
        """Decide about the records of some parts as a push would, and read what each write would change.

        Idempotent: yes, it only reads.

        Raises:
            AuthExpired: the vendor refuses the credential.
            Transient: the vendor does not answer.
        """
        connector = await self._access.connector(job.organization_id, job.integration_id, RecordConnector)
        parts = Parts(self._staging, job.organization_id, job.run_id)
        changes, unchanged, calls = list[PlannedChange](), 0, Counter[str]()
        for ref in await parts.refs(job.parts, job.first, job.count):
            rows = await parts.read(ref, StagedRecord)
            found = await self._changes(connector, job, rows, calls)
            changes += found
            unchanged += len(rows) - len(found)
        staged = await parts.write(f"plan/from-{job.first:06d}.ndjson", changes)
        actions = Counter(change.action for change in changes)
        counts = PlanCounts(unchanged=unchanged, **{action.value: actions[action] for action in PlannedAction})
        updates = [change for change in changes if change.action is PlannedAction.UPDATE]
        return PreviewedParts(
            changes=staged,
            counts=counts,
            fields=dict(Counter(name for change in updates for name in change.fields)),
            shown=changes[:SHOWN],
            digest=hash_of(change.model_dump_json() for change in changes),
            vendor_calls=calls["calls"],
        )

    async def _changes(
        self, connector: RecordConnector, job: PushParts, rows: Sequence[StagedRecord], calls: Counter[str]
    ) -> list[PlannedChange]:
        """Return what would change, in the order of the rows."""

        def called(count: int) -> None:
            calls["calls"] += count

        pusher = PartPush(connector, self._receipts, job, self._key, called)
        early, writes = await pusher.decide(rows)
        judge = Judge(connector, job, self._key)
        planned: dict[str, PlannedChange] = {}
        size = min(job.batch_size, connector.manifest.batch_size)
        for start in range(0, len(writes), size):
            batch = writes[start : start + size]
            held = await connector.read(job.object_type, [item.record.record_id for item in batch])
            called(1)
            for item in batch:
                planned[item.record.record_id] = _planned(judge, item, held.get(item.record.record_id))
        results = [pusher.settled.get(row.id) if done is None else done for row, done in zip(rows, early, strict=True)]
        return [
            PlannedChange(record_id=row.id, action=PlannedAction.BLOCKED, reason=result.reason)
            if result is not None and result.status in _BLOCKED
            else planned[row.id]
            for row, result in zip(rows, results, strict=True)
            if result is None or result.status in _BLOCKED
        ]


def _planned(judge: Judge, item: Candidate, held: Mapping[str, JsonValue] | None) -> PlannedChange:
    record = item.record
    if held is None:
        return PlannedChange(
            record_id=record.record_id,
            action=PlannedAction.CREATE,
            fields=sorted(name for name, value in record.properties.items() if value not in (None, "")),
            source=item.fingerprint,
        )
    return PlannedChange(
        record_id=record.record_id,
        action=PlannedAction.UPDATE,
        fields=differing(record.properties, held),
        source=item.fingerprint,
        target=judge.target_of(record, held),
    )
