"""What a sync could not bring over becomes dead letters; what it brought over leaves them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from activities.storage.dead_letters import DeadLetters, Outbox, Undelivered
from activities.storage.receipts import Scope
from activities.sync_parts import Parts, StagedRecord
from contracts.dataset import DatasetRef
from contracts.errors import Owner, Permanent
from contracts.sync import ConflictResolutionStrategy, RecordResult, RecordStatus
from contracts.sync_steps import PartList, SyncPlan

_UNDELIVERED = frozenset({RecordStatus.REJECTED, RecordStatus.HELD})


def outbox_of(plan: SyncPlan) -> Outbox:
    """Return the dead letters that a sync by this plan reads and writes."""
    return Outbox(Scope(plan.organization_id, plan.integration_id, plan.target_object), plan.report_id)


@dataclass(frozen=True)
class _Needy:
    """A record that was not brought over, and its place among all records of the run."""

    place: int
    result: RecordResult


class LetterKeeping:
    """Follows the outcomes of a run in the order of its records.

    Args:
        letters: the store.
        plan: of the run.
        known: the record ids that have a letter already.
    """

    def __init__(self, letters: DeadLetters, plan: SyncPlan, known: set[str]) -> None:
        self._letters = letters
        self._outbox = outbox_of(plan)
        self._plan = plan
        self._known = known
        self._seen = 0
        self._needy: list[_Needy] = []
        self._delivered: list[str] = []

    @classmethod
    async def of(cls, letters: DeadLetters, plan: SyncPlan) -> LetterKeeping:
        """Return a keeping that knows the report's letters."""
        return cls(letters, plan, await letters.record_ids(outbox_of(plan)))

    def follow(self, results: Sequence[RecordResult]) -> None:
        """Take the next outcomes."""
        for place, result in enumerate(results, self._seen):
            if result.status in _UNDELIVERED:
                self._needy.append(_Needy(place, result))
            elif result.record_id in self._known:
                self._delivered.append(result.record_id)
        self._seen += len(results)

    async def close(self, parts: Parts, listed: PartList) -> int:
        """Keep and settle letters, and return how many the report has now. Idempotent: yes.

        Args:
            parts: the run's staged files.
            listed: the run's records, in the order of the outcomes.

        Raises:
            Permanent: `outcomes_out_of_order`.
        """
        now = datetime.now(UTC)
        # A record that stands under one id and was refused as another one's duplicate has both.
        await self._letters.settle(self._outbox, self._delivered)
        if self._needy:
            strategy = self._plan.conflict_resolution
            refs = await parts.refs(listed, 0, listed.count)
            for ref, needy in _by_part(self._needy, refs):
                rows = await parts.read(ref, StagedRecord)
                found = [_undelivered(rows[item.place], item.result, strategy) for item in needy]
                await self._letters.keep(self._outbox, self._plan.run_id, found, now)
        if self._plan.whole:
            await self._letters.settle_all_but(self._outbox, self._plan.run_id)
        return await self._letters.count(self._outbox)


def _by_part(needy: Sequence[_Needy], refs: Sequence[DatasetRef]) -> Iterator[tuple[DatasetRef, list[_Needy]]]:
    """Yield each part that holds some of the records, with their places in it."""
    first, left = 0, list(needy)
    for ref in refs:
        inside = [_Needy(item.place - first, item.result) for item in left if item.place < first + ref.rows]
        if inside:
            yield ref, inside
        left = left[len(inside) :]
        first += ref.rows


def _undelivered(row: StagedRecord, result: RecordResult, strategy: ConflictResolutionStrategy) -> Undelivered:
    if row.id != result.record_id:
        raise Permanent(
            "outcomes_out_of_order",
            "The outcomes of a run are not in the order of its records.",
            owner=Owner.ENGINEER,
            action="Compare the run's staged parts with its outcomes.",
            operation="sync.finish",
        )
    return Undelivered(
        key=row.digest if row.anonymous or row.final else row.id,
        record_id=row.id,
        status=result.status,
        reason=result.reason,
        source=row.source or json.dumps(row.properties),
        final=row.final,
        strategy=strategy,
        asks=result.asks,
    )
