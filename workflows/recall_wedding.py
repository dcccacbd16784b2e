"""A wedding called back: nothing more goes out, and everything that stands is taken back or set right."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.effects import (
        Correction,
        EffectStep,
        RetractStatus,
        Sighting,
        StandingEffect,
    )
    from contracts.names import WorkflowType
    from contracts.recall import (
        AccountEntry,
        RecallAccount,
        RecallEntry,
        RecallOutcome,
        RecallReport,
        RecallRequest,
        Replanned,
        ReplanRequest,
        StoppedDeliveries,
    )
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.effects import correct_effect, look_for_effect, retract_effect
    from workflows.visibility import detail_of, tag

_LOOK_AGAIN = timedelta(seconds=2)
_LOOKS = 60
"""How often the runs that were told to stop are looked at: what Temporal lists is a moment old."""
_QUIET_LOOKS = 2
_CLAIM_LOOK = timedelta(seconds=10)
_CLAIM_LOOKS = 5
"""An attempt that was under way when its run ended has ended by then: it has 30 seconds."""
_AT_ONCE = 10
_LEFT = frozenset({RecallOutcome.NOT_REVERSIBLE, RecallOutcome.FAILED, RecallOutcome.UNKNOWN})


@workflow.defn(name=WorkflowType.RECALL_WEDDING)
class RecallWedding:
    """Stops what is still to come, then accounts for every effect of the ledger; `progress` is a Query."""

    @workflow.init
    def __init__(self, request: RecallRequest) -> None:
        """Begin an empty report."""
        self._request = request
        self._report = RecallReport(recall_id=request.recall_id, wedding_id=request.wedding_id)
        self._entries: dict[str, RecallEntry] = {}

    @workflow.query
    def progress(self) -> RecallReport:
        """Return the report as far as it is."""
        return self._reported()

    @workflow.run
    async def run(self, request: RecallRequest) -> RecallReport:
        """Return what became of every effect about the wedding; an effect that stays is no failure of the run."""
        tag(
            organization_id=request.organization_id,
            wedding_id=request.wedding_id,
            run_kind="recall",
            outcome="running",
        )
        await self._stop()
        account = await self._account()
        self._report = self._report.model_copy(update={"found": len(account)})
        again = await self._planned_again(account)
        free = asyncio.Semaphore(_AT_ONCE)

        async def undo(entry: AccountEntry) -> None:
            async with free:
                self._entries[entry.effect_id] = await self._undo(entry, again.get(entry.effect_id))
                self._describe()

        await asyncio.gather(*(undo(entry) for entry in account))
        left = any(entry.outcome in _LEFT for entry in self._entries.values())
        status = "partial" if left else "complete"
        self._report = self._report.model_copy(update={"status": status, "finished_at": workflow.now()})
        tag(outcome=status)
        return self._reported()

    async def _stop(self) -> None:
        """Stop the timeline and the runs, and wait until none of them goes on."""
        quiet = 0
        for _ in range(_LOOKS):
            stopped: StoppedDeliveries = await workflow.execute_activity(
                "recall.stop",
                self._request,
                result_type=StoppedDeliveries,
                summary="Stop what is still to come",
                priority=policies.priority(SyncPriority.CRITICAL, self._request.organization_id),
                **policies.STORE.options(),
            )
            runs = [*self._report.stopped_runs, *stopped.running]
            self._report = self._report.model_copy(
                update={"stopped_steps": stopped.stopped_steps, "stopped_runs": list(dict.fromkeys(runs))[:1_000]}
            )
            quiet = 0 if stopped.running else quiet + 1
            if quiet == _QUIET_LOOKS:
                return
            await workflow.sleep(_LOOK_AGAIN, summary="Until the deliveries have stopped")

    async def _account(self) -> list[AccountEntry]:
        """Return the ledger's entries once no attempt is under way, or as they are when one will not end."""
        found = RecallAccount()
        for _ in range(_CLAIM_LOOKS):
            found = await workflow.execute_activity(
                "recall.account",
                self._request,
                result_type=RecallAccount,
                summary="Read the ledger",
                priority=policies.priority(SyncPriority.CRITICAL, self._request.organization_id),
                **policies.STORE.options(),
            )
            if not any(entry.under_way for entry in found.entries):
                break
            await workflow.sleep(_CLAIM_LOOK, summary="Until attempts under way have ended")
        return found.entries

    async def _planned_again(self, account: list[AccountEntry]) -> dict[str, EffectStep]:
        """Return the effects as planned again: in corrected words where they stand, as they were where that is open."""
        corrected = self._request.correction is not None
        wanted: dict[str, list[str]] = {}
        for entry in account:
            if entry.standing is None or (corrected and entry.retracted_at is None):
                wanted.setdefault(entry.workflow_id, []).append(entry.effect_id)
        found: dict[str, EffectStep] = {}
        for workflow_id, effect_ids in wanted.items():
            replanned: Replanned = await workflow.execute_activity(
                "recall.replan",
                ReplanRequest(
                    organization_id=self._request.organization_id,
                    workflow_id=workflow_id,
                    effect_ids=effect_ids,
                    correction=self._request.correction,
                ),
                result_type=Replanned,
                summary="Plan again what was delivered",
                priority=policies.priority(SyncPriority.CRITICAL, self._request.organization_id),
                **policies.STORE.options(),
            )
            found |= {step.effect_id: step for step in replanned.steps}
        return found

    async def _undo(self, entry: AccountEntry, step: EffectStep | None) -> RecallEntry:
        """Return what became of one effect; only its own trouble is in its entry."""
        if entry.retracted_at is not None:
            return _ended(entry, RecallOutcome.GONE_ALREADY)
        try:
            standing = entry.standing or await self._found(entry, step)
            if isinstance(standing, RecallOutcome):
                return _ended(entry, standing)
            if self._request.correction is not None and step is not None and await self._corrected(standing, step):
                return _ended(entry, RecallOutcome.CORRECTED)
            answer = await retract_effect(standing, SyncPriority.CRITICAL, policies.INTERACTIVE)
        except ActivityError as error:
            return _ended(entry, RecallOutcome.FAILED).model_copy(update={"error": detail_of(error)})
        return _ended(entry, _OUTCOMES[answer.status])

    async def _found(self, entry: AccountEntry, step: EffectStep | None) -> StandingEffect | RecallOutcome:
        """Find out whether an effect stands whose answer nobody has."""
        if step is None:
            return RecallOutcome.UNKNOWN
        seen = await look_for_effect(step, SyncPriority.CRITICAL, policies.INTERACTIVE)
        if seen.sighting is not Sighting.STANDS or seen.outcome is None:
            return RecallOutcome.NEVER_APPLIED if seen.sighting is Sighting.ABSENT else RecallOutcome.UNKNOWN
        return StandingEffect(
            **step.model_dump(include=set(StandingEffect.model_fields) & set(EffectStep.model_fields)),
            remote_id=seen.outcome.remote_id,
            workflow_id=entry.workflow_id,
            applied_at=seen.outcome.applied_at or workflow.now(),
        )

    async def _corrected(self, standing: StandingEffect, step: EffectStep) -> bool:
        """Set an effect right; False where its system does not let it be, or has it no more."""
        try:
            await correct_effect(Correction(effect=standing, step=step), SyncPriority.CRITICAL)
        except ActivityError as error:
            if detail_of(error).code not in {"not_correctable", "not_found", "capability_missing"}:
                raise
            return False
        return True

    def _reported(self) -> RecallReport:
        entries = list(self._entries.values())
        counts = Counter(entry.outcome for entry in entries)
        return self._report.model_copy(update={"entries": entries, "counts": dict(counts)})

    def _describe(self) -> None:
        report = self._reported()
        lines = [f"**{len(report.entries)} of {report.found} effects**"]
        lines += [f"- {outcome.value}: {count}" for outcome, count in sorted(report.counts.items())]
        workflow.set_current_details("\n".join(lines))


_OUTCOMES = {
    RetractStatus.RETRACTED: RecallOutcome.RETRACTED,
    RetractStatus.GONE_ALREADY: RecallOutcome.GONE_ALREADY,
    RetractStatus.NOT_REVERSIBLE: RecallOutcome.NOT_REVERSIBLE,
}
_ACTIONS = {
    RecallOutcome.NOT_REVERSIBLE: "It stands: tell those who got it yourself, or change it in the system by hand.",
    RecallOutcome.FAILED: "Remove what the error names and recall again; what is done is not done twice.",
    RecallOutcome.UNKNOWN: "Look in the system's own log whether it went out, and tell those who got it yourself.",
}


def _ended(entry: AccountEntry, outcome: RecallOutcome) -> RecallEntry:
    return RecallEntry(
        effect_id=entry.effect_id,
        integration_id=entry.integration_id,
        system=entry.system,
        kind=entry.kind,
        remote_id=entry.standing.remote_id if entry.standing else None,
        notification_id=entry.notification_id,
        outcome=outcome,
        action=_ACTIONS.get(outcome, ""),
    )
