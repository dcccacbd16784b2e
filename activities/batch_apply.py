"""Many effects at one connection: by the vendor's batch calls where it has them, side by side where it has none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from activities.ports.connector import BatchDeliveryConnector, DeliveryConnector
from activities.standing import standing
from activities.storage.ledger import EffectLedger
from activities.sync_push import BATCH_REFUSED
from contracts.batch import ApplyProgress, PlannedStep
from contracts.effects import EffectOutcome, EffectStep
from contracts.errors import OutcomeUnknown, Permanent, WedSyncError
from contracts.notification import DeliveryResult, DeliveryStatus

CHUNK = 50
"""Effects claimed and receipted together where each is a vendor call of its own."""
SIDE_BY_SIDE = 10
"""Vendor calls under way at once."""

Answers = dict[str, EffectOutcome | WedSyncError]


class BatchApply:
    """One attempt at the effects of a part at one connection.

    Args:
        connector: the open connection.
        ledger: intents before the calls, receipts after them, for a chunk of effects at a time.
        owner: the run whose effects they are.
        lease: how long a claim keeps other runs out.
        progress: what the attempt before this one had been refused.
        beat: takes the progress after every chunk.
    """

    def __init__(
        self,
        connector: DeliveryConnector,
        ledger: EffectLedger,
        owner: str,
        lease: timedelta,
        progress: ApplyProgress,
        beat: Callable[[ApplyProgress], None],
    ) -> None:
        self._connector = connector
        self._ledger = ledger
        self._owner = owner
        self._lease = lease
        self._results = {item.effect_id: item for item in progress.refused}
        self._refused = list(progress.refused)
        self._beat = beat
        self._stopped = False
        self.vendor_calls = progress.vendor_calls

    async def apply(self, rows: Sequence[PlannedStep]) -> list[DeliveryResult]:
        """Return one result per effect, in the rows' order; of those begun before `stop` was called.

        Raises:
            Transient: some effects wait for the vendor; the others stand and have their receipts.
            AuthExpired: the vendor refuses the credential; likewise.
        """
        # One kind after the other fills the vendor's batch calls.
        left = sorted((row for row in rows if row.step.effect_id not in self._results), key=lambda row: row.step.kind)
        size = max([CHUNK, *self._connector.manifest.delivery_batch.values()])
        for start in range(0, len(left), size):
            if self._stopped:
                break
            await self._chunk({row.step.effect_id: row for row in left[start : start + size]})
        return [self._results[row.step.effect_id] for row in rows if row.step.effect_id in self._results]

    def stop(self) -> None:
        """Begin no further chunk."""
        self._stopped = True

    async def _chunk(self, rows: dict[str, PlannedStep]) -> None:
        steps = [row.step for row in rows.values()]
        claims = await self._ledger.claim_all(steps, self._owner, self._lease)
        answers: Answers = {}
        fresh = []
        for step in steps:
            try:
                found = await standing(self._connector, self._ledger, step, claims[step.effect_id])
            except WedSyncError as error:
                answers[step.effect_id] = error
                continue
            if found is None:
                fresh.append(step)
            else:
                answers[step.effect_id] = found
        sent = await self._send(fresh)
        applied_at = await self._record(fresh, sent)
        self._settle(rows, {**answers, **sent}, applied_at)
        self._beat(ApplyProgress(refused=self._refused, vendor_calls=self.vendor_calls))
        # What waits is told after what stands has its receipts.
        for answer in (*answers.values(), *sent.values()):
            if isinstance(answer, WedSyncError) and not _final(answer):
                raise answer

    async def _record(self, steps: Sequence[EffectStep], sent: Answers) -> datetime | None:
        stands = {key: answer.remote_id for key, answer in sent.items() if isinstance(answer, EffectOutcome)}
        unsent = [
            step
            for step in steps
            if isinstance(sent[step.effect_id], WedSyncError) and not isinstance(sent[step.effect_id], OutcomeUnknown)
        ]
        if unsent:
            await self._ledger.withdraw(*unsent)
        return await self._ledger.receipts(stands) if stands else None

    def _settle(self, rows: dict[str, PlannedStep], answers: Answers, applied_at: datetime | None) -> None:
        for key, answer in answers.items():
            row = rows[key]
            told = DeliveryResult(
                notification_id=row.notification_id, effect_id=key, kind=row.step.kind, status=DeliveryStatus.SUCCESS
            )
            if isinstance(answer, EffectOutcome):
                seen = {"remote_id": answer.remote_id, "replayed": answer.replayed}
                self._results[key] = told.model_copy(update={**seen, "delivered_at": answer.applied_at or applied_at})
            elif _final(answer):
                failed = told.model_copy(update={"status": DeliveryStatus.FAILED, "error": answer.detail})
                self._results[key] = failed
                self._refused.append(failed)

    async def _send(self, steps: Sequence[EffectStep]) -> Answers:
        sizes = self._connector.manifest.delivery_batch
        answers = await self._one_by_one([step for step in steps if step.kind not in sizes])
        if isinstance(self._connector, BatchDeliveryConnector):
            for group in _groups([step for step in steps if step.kind in sizes], sizes):
                answers.update(await self._together(self._connector, group))
        return answers

    async def _together(self, connector: BatchDeliveryConnector, steps: Sequence[EffectStep]) -> Answers:
        """Send one batch; halve a batch refused as a whole until the culprit stands alone."""
        self.vendor_calls += 1
        try:
            return dict(await connector.apply_batch(steps))
        except Permanent as error:
            if error.detail.code != BATCH_REFUSED or len(steps) == 1:
                return {step.effect_id: error for step in steps}
            middle = len(steps) // 2
            first = await self._together(connector, steps[:middle])
            return {**first, **await self._together(connector, steps[middle:])}
        except WedSyncError as error:
            return {step.effect_id: error for step in steps}

    async def _one_by_one(self, steps: Sequence[EffectStep]) -> Answers:
        turn = asyncio.Semaphore(SIDE_BY_SIDE)
        answers: Answers = {}
        stopped: list[WedSyncError] = []

        async def send(step: EffectStep) -> None:
            async with turn:
                if stopped:
                    answers[step.effect_id] = stopped[0]
                    return
                self.vendor_calls += 1
                try:
                    answers[step.effect_id] = await self._connector.apply(step)
                except WedSyncError as error:
                    answers[step.effect_id] = error
                    if not _final(error) and not isinstance(error, OutcomeUnknown):
                        # The vendor has no room or no time now: the rest would only be refused as well.
                        stopped.append(error)

        await asyncio.gather(*(send(step) for step in steps))
        return answers


def _final(error: WedSyncError) -> bool:
    """Return whether the error is the last word on its effect alone."""
    return isinstance(error, Permanent)


def _groups(steps: Sequence[EffectStep], sizes: Mapping[str, int]) -> Iterator[list[EffectStep]]:
    """Yield steps of one kind, no more than its size, no two about one object; those about one in their order."""
    left = list(steps)
    while left:
        size = sizes[left[0].kind]
        group: list[EffectStep] = []
        objects: set[str] = set()
        rest = []
        for step in left:
            about = step.object_id or step.effect_id
            if step.kind == left[0].kind and len(group) < size and about not in objects:
                group.append(step)
            else:
                rest.append(step)
            objects.add(about)
        yield group
        left = rest
