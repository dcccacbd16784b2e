"""Many effects at one connection: by the vendor's batch calls where it has them, side by side where it has none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

from activities.ports.delivery import BatchDeliveryConnector, DeliveryConnector
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
Together = Callable[[int], Awaitable[AbstractAsyncContextManager[None]]]


class BatchApply:
    """One attempt at the effects of a part at one connection.

    Args:
        connector: the open connection.
        together: admits a few of its vendor requests at once.
        ledger: intents before the calls, receipts after them, for a chunk of effects at a time.
        owner: the run whose effects they are.
        lease: how long a claim keeps other runs out.
        progress: what the attempt before this one had been refused.
        beat: takes the progress after every chunk.
    """

    def __init__(
        self,
        connector: DeliveryConnector,
        together: Together,
        ledger: EffectLedger,
        owner: str,
        lease: timedelta,
        progress: ApplyProgress,
        beat: Callable[[ApplyProgress], None],
    ) -> None:
        self._connector = connector
        self._admitted = together
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
        """Make one call per effect, a few side by side; when the vendor has no room, the rest waits."""
        answers: Answers = {}
        for start in range(0, len(steps), SIDE_BY_SIDE):
            group = steps[start : start + SIDE_BY_SIDE]
            answers.update(await self._side_by_side(group))
            stopped = next((answer for answer in answers.values() if _no_room(answer)), None)
            if stopped is not None:
                return {**{step.effect_id: stopped for step in steps}, **answers}
        return answers

    async def _side_by_side(self, steps: Sequence[EffectStep]) -> Answers:
        try:
            async with await self._admitted(len(steps)):
                told = await asyncio.gather(*(self._one(step) for step in steps))
        except WedSyncError as error:
            if len(steps) == 1:
                return {steps[0].effect_id: error}
            # There may be room for some of them.
            answers: Answers = {}
            for step in steps:
                answers.update(await self._side_by_side([step]))
                if _no_room(answers[step.effect_id]):
                    return {**dict.fromkeys((item.effect_id for item in steps), answers[step.effect_id]), **answers}
            return answers
        return dict(zip((step.effect_id for step in steps), told, strict=True))

    async def _one(self, step: EffectStep) -> EffectOutcome | WedSyncError:
        self.vendor_calls += 1
        try:
            return await self._connector.apply(step)
        except WedSyncError as error:
            return error


def _no_room(answer: EffectOutcome | WedSyncError) -> bool:
    """Return whether the vendor cannot be asked now, so that the next effect would only be refused as well."""
    return isinstance(answer, WedSyncError) and not isinstance(answer, Permanent | OutcomeUnknown)


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
