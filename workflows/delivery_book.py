"""The books of one routing: what became of every effect, and of every target by them."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.effects import EffectOutcome, EffectStep, StandingEffect, TargetPlan
    from contracts.errors import ErrorDetail, ErrorKind
    from contracts.notification import DeliveryResult, DeliveryStatus, SystemRoutingResult

CALLED_OFF = ErrorDetail(
    kind=ErrorKind.TRANSIENT, code="called_off", message="The effect was called off before it was known to stand."
)
"""What an effect says whose delivery was told to stop."""


@dataclass
class Entry:
    """One planned effect of a target, and what became of it so far."""

    system_id: str
    step: EffectStep
    result: DeliveryResult
    under_way: bool = False

    @property
    def called_off(self) -> bool:
        """Whether it was told to stop, so that what came of it is open."""
        return self.result.error is not None and self.result.error.code == CALLED_OFF.code

    @property
    def status(self) -> DeliveryStatus:
        """What became of it."""
        return self.result.status

    def note(
        self, status: DeliveryStatus, *, outcome: EffectOutcome | None = None, error: ErrorDetail | None = None
    ) -> DeliveryResult:
        """Write down what became of it, and return that; what is not said again stays."""
        changes: dict[str, object] = {"status": status}
        if error is not None:
            changes["error"] = error
        if outcome is not None:
            changes |= {
                "remote_id": outcome.remote_id,
                "replayed": outcome.replayed,
                "delivered_at": outcome.applied_at,
                "error": None,
            }
        self.result = self.result.model_copy(update=changes)
        return self.result

    def standing(self) -> StandingEffect:
        """Return the effect as one that stands."""
        return StandingEffect(
            **self.step.model_dump(exclude={"payload", "reversible"}),
            remote_id=self.result.remote_id,
            workflow_id=workflow.info().workflow_id,
            applied_at=self.result.delivered_at or workflow.now(),
        )


class DeliveryBook:
    """Every effect that a routing planned, by effect id, in the order planned."""

    def __init__(self, notification_id: str) -> None:
        self._notification_id = notification_id
        self._entries: dict[str, Entry] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether no further effect is to be begun."""
        return self._closed or workflow.cancellation_reason() is not None

    def close(self) -> None:
        """Let no further effect be begun."""
        self._closed = True

    def still(self) -> bool:
        """Return whether nothing is under way."""
        return not any(one.under_way for one in self._entries.values())

    def plan(self, target: TargetPlan) -> list[Entry]:
        """Enter a target's steps, which nobody has tried yet, and return its entries."""
        return [self.entry(target.target.system_id, step) for step in target.steps]

    def replan(self, target: TargetPlan) -> None:
        """Enter a target's steps in the place of those that nobody has tried."""
        stale = [one for one in self.of(target.target.system_id) if one.status is DeliveryStatus.NEVER_TRIED]
        for one in stale:
            del self._entries[one.step.effect_id]
        self.plan(target)

    def entry(self, system_id: str, step: EffectStep) -> Entry:
        """Return the entry of a step."""
        if step.effect_id not in self._entries:
            blank = DeliveryResult(
                notification_id=self._notification_id,
                effect_id=step.effect_id,
                kind=step.kind,
                status=DeliveryStatus.NEVER_TRIED,
            )
            self._entries[step.effect_id] = Entry(system_id, step, blank)
        return self._entries[step.effect_id]

    def of(self, system_id: str) -> list[Entry]:
        """Return a target's entries."""
        return [one for one in self._entries.values() if one.system_id == system_id]

    def every(self, *wanted: DeliveryStatus) -> list[Entry]:
        """Return the entries of these statuses."""
        return [one for one in self._entries.values() if one.status in wanted]

    def delivered(self, system_id: str) -> bool:
        """Return whether every effect of a target stands."""
        return all(one.status is DeliveryStatus.SUCCESS for one in self.of(system_id))

    def result(self, target: TargetPlan, reason: str = "", failed_over_to: str | None = None) -> SystemRoutingResult:
        """Return what became of a target that was to be delivered to.

        Args:
            target: as planned.
            reason: why its delivery ended, where nothing of its own failed.
            failed_over_to: who has the message in its place.
        """
        entries = self.of(target.target.system_id)
        failed = [one for one in entries if one.status is DeliveryStatus.FAILED]
        first = next((one.result.error for one in [*failed, *entries] if one.result.error), None)
        return SystemRoutingResult(
            system_id=target.target.system_id,
            system_type=target.target.system_type,
            status=_status_of([one.status for one in entries], told=bool(reason)),
            reason=reason or (first.code if first else ""),
            delivery_results=[one.result for one in entries],
            success_count=sum(one.status is DeliveryStatus.SUCCESS for one in entries),
            failure_count=len(failed),
            failed_over_to=failed_over_to,
            error=first,
        )


def _status_of(statuses: list[DeliveryStatus], *, told: bool) -> DeliveryStatus:
    """Return the status of a target by those of its effects: the worst, in the order of what somebody has to do."""
    for worst in (
        DeliveryStatus.UNKNOWN,
        DeliveryStatus.FAILED,
        DeliveryStatus.NOT_REVERSIBLE,
        DeliveryStatus.RETRACTED,
        DeliveryStatus.SKIPPED,
    ):
        if worst in statuses:
            return worst
    # A target for which the system has nothing to do is reached, unless it was kept from it.
    kept_back = DeliveryStatus.NEVER_TRIED in statuses or (told and not statuses)
    return DeliveryStatus.HELD if kept_back else DeliveryStatus.SUCCESS
