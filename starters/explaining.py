"""The chain of decisions about a message, put together from what its runs and the ledger know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from activities.storage.delivery_receipts import DeliveryReceipt
from activities.storage.ledger import LedgerEntry
from activities.storage.states import KnownState
from contracts.decisions import Decision, Stage, Verdict
from contracts.notification import DeliveryStatus, RoutingResult
from contracts.wedding import StepStatus, WeddingState

_STAGES = list(Stage)
_OF_STEP = {
    StepStatus.PENDING: Verdict.HOLD,
    StepStatus.SENT: Verdict.SEND,
    StepStatus.FAILED: Verdict.FAIL,
}


def chain(decisions: Sequence[Decision], entries: Iterable[LedgerEntry], contact: str | None = None) -> list[Decision]:
    """Return the decisions of a run with what the ledger knows of its effects, target by target, in order.

    Args:
        decisions: the run's own.
        entries: the ledger's, about the same message.
        contact: only what concerns this recipient and the targets as a whole.
    """
    owners = {effect: one for one in decisions for effect in one.effect_ids}
    told = [*decisions]
    for entry in entries:
        told += _of_entry(entry, owners)
    wanted = [one for one in told if contact is None or one.recipient in {None, contact}]
    return sorted(wanted, key=lambda one: (one.system_id, one.recipient or "", one.at, _STAGES.index(one.stage)))


def of_result(result: RoutingResult, at: datetime) -> list[Decision]:
    """Return what a finished routing decided, with its failures and who took over."""
    decisions = list(result.decisions)
    owners = {effect: one for one in decisions for effect in one.effect_ids}
    for system in result.system_results:
        decisions += [
            Decision(
                stage=Stage.ATTEMPT,
                code=item.error.code,
                verdict=Verdict.FAIL,
                system_id=system.system_id,
                recipient=owners[item.effect_id].recipient if item.effect_id in owners else None,
                at=at,
                detail=item.error.message[:255],
            )
            for item in system.delivery_results
            if item.status is not DeliveryStatus.SUCCESS and item.error
        ]
        if system.failed_over_to:
            decisions.append(
                Decision(
                    stage=Stage.FAILOVER,
                    code=f"failed_over_to:{system.failed_over_to}",
                    verdict=Verdict.NOTE,
                    system_id=system.system_id,
                    at=at,
                )
            )
    return decisions


def of_states(states: Iterable[KnownState]) -> list[Decision]:
    """Return what systems told of a message after it had been delivered, by integration."""
    return [
        Decision(
            stage=Stage.STATE,
            code=one.state.value,
            verdict=Verdict.NOTE,
            system_id=one.integration_id,
            at=one.occurred_at,
        )
        for one in states
    ]


def of_receipts(receipts: Iterable[DeliveryReceipt]) -> list[Decision]:
    """Return which messages were taken and not delivered, and why, by integration."""
    return [
        Decision(
            stage=Stage.STATE,
            code=f"undelivered:{one.code}",
            verdict=Verdict.FAIL,
            system_id=one.integration_id,
            at=one.told_at,
            effect_ids=[one.effect_id],
        )
        for one in receipts
        if not one.delivered
    ]


def of_wedding(state: WeddingState, now: datetime) -> list[Decision]:
    """Return when each step of a wedding is due, and what became of it."""
    return [
        Decision(
            stage=Stage.SCHEDULE,
            code=f"{step.status.value}:{step.reason}"[:255] if step.reason else step.status.value,
            verdict=_OF_STEP.get(step.status, Verdict.SKIP),
            system_id="timeline",
            until=step.due_at,
            at=step.done_at or now,
            detail=f"{step.automation}: {step.action.type} {step.action.template or step.action.task_type}"[:255],
            effect_ids=[step.step_id],
        )
        for step in state.steps
    ]


def sentence(decisions: Iterable[Decision]) -> str:
    """Return the chain's outcome in one sentence."""
    decisions = list(decisions)
    receipts = sum(one.stage is Stage.RECEIPT for one in decisions)
    open_holds = [one for one in decisions if one.verdict is Verdict.HOLD and one.until]
    kept = sorted({one.code for one in decisions if one.verdict in {Verdict.SKIP, Verdict.FAIL}})
    parts = [f"{receipts} {'delivery was' if receipts == 1 else 'deliveries were'} acknowledged"]
    if open_holds:
        last = max(open_holds, key=lambda one: one.at)
        parts.append(f"last held by {last.code} until {last.until:%Y-%m-%d %H:%M} UTC")
    if kept:
        parts.append(f"kept or failed by {', '.join(kept)}")
    return "; ".join(parts) + "."


def _of_entry(entry: LedgerEntry, owners: Mapping[str, Decision]) -> list[Decision]:
    owner = owners.get(entry.effect_id)
    system_id = owner.system_id if owner else entry.integration_id
    recipient = owner.recipient if owner else None

    def told(stage: Stage, code: str, at: datetime, detail: str = "") -> Decision:
        return Decision(
            stage=stage,
            code=code,
            verdict=Verdict.NOTE,
            system_id=system_id,
            recipient=recipient,
            at=at,
            detail=detail,
            effect_ids=[entry.effect_id],
        )

    times = "once" if entry.attempts == 1 else f"{entry.attempts} times"
    found = [told(Stage.ATTEMPT, "tried", entry.intended_at, f"{entry.system} {entry.kind}, {times}")]
    if entry.standing is not None:
        remote = f"{entry.system} has it as {entry.standing.remote_id}" if entry.standing.remote_id else entry.system
        found.append(told(Stage.RECEIPT, "acknowledged", entry.standing.applied_at, remote[:255]))
    if entry.retracted_at is not None:
        found.append(told(Stage.COMPENSATION, "taken_back", entry.retracted_at))
    return found
