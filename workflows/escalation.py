"""One repetition of an emergency: every channel at most once, failures taken over at once and tried again beside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.effects import EffectOutcome, EffectStep
    from contracts.emergency import AlertDelivery, AlertedTarget, EscalationPlan
    from contracts.errors import NON_RETRYABLE, ErrorDetail, ErrorKind
    from contracts.names import EMERGENCY_QUEUE
    from contracts.notification import DeliveryStatus
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.visibility import detail_of

T = TypeVar("T")


class Repetition:
    """Alerts targets level by level.

    Args:
        number: of the repetition, from 1.
        note: told of every delivery, and again when it changes.
    """

    def __init__(self, number: int, note: Callable[[AlertDelivery], None]) -> None:
        self._number = number
        self._note = note
        self._known: dict[str, AlertedTarget] = {}
        self._answers: dict[str, asyncio.Task[bool]] = {}
        """By channel: whether it was reached within its time."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._deliveries: dict[str, AlertDelivery] = {}
        """By channel: what was last noted."""
        self._dead: set[str] = set()
        """Channels whose vendor took the alert and did not deliver it."""

    def alert(self, plan: EscalationPlan) -> asyncio.Task[list[bool]]:
        """Begin to alert all targets of a plan; the task answers whether each, or a stand-in, was reached."""
        self._known |= {one.plan.target.system_id: one for one in plan.known}
        return self._begin(self._alert_all(plan.targets))

    def not_delivered(self, effect_id: str, error: ErrorDetail) -> None:
        """Learn that a vendor did not deliver what it took; whoever stands in for the channel is alerted at once."""
        target = next((one for one in self._known.values() if _brings(one, effect_id)), None)
        if target is None or target.channel not in self._deliveries or target.channel in self._dead:
            return
        self._dead.add(target.channel)
        self._note(_failed(self._deliveries[target.channel], error))
        self._begin(self._stand_in(target))

    def reaches_nobody(self, names: list[str]) -> bool:
        """Return whether it is certain that none of these targets, or of their stand-ins, was reached."""
        if not self._dead:
            return False
        lines = ([self._known[name], *self._stand_ins(self._known[name])] for name in names)
        return all(self._is_lost(target) for line in lines for target in line)

    def _is_lost(self, target: AlertedTarget) -> bool:
        answer = self._answers.get(target.channel)
        ended = answer is not None and answer.done() and not answer.cancelled() and answer.exception() is None
        return target.channel in self._dead or (ended and answer is not None and not answer.result())

    def stop(self) -> None:
        """Begin nothing any more, and repeat nothing; calls that are with a vendor end by themselves."""
        for task in list(self._tasks):
            task.cancel()

    async def _alert_all(self, names: list[str]) -> list[bool]:
        return await asyncio.gather(*(self._alert(self._known[name]) for name in names))

    async def _alert(self, target: AlertedTarget) -> bool:
        """Reach a target, else the first of its stand-ins that is reached."""
        reached = await self._answer(target)
        return (reached and target.channel not in self._dead) or await self._stand_in(target)

    async def _stand_in(self, target: AlertedTarget) -> bool:
        """Reach the first of a target's stand-ins that is reached."""
        for one in self._stand_ins(target):
            if one.channel not in self._dead and await self._answer(one, target.plan.target.system_id):
                return True
        return False

    def _stand_ins(self, target: AlertedTarget) -> list[AlertedTarget]:
        return [self._known[name] for name in target.failover if name in self._known]

    def _answer(self, target: AlertedTarget, in_place_of: str | None = None) -> asyncio.Task[bool]:
        """Return whether a channel answers, alerting it when this repetition has not done so yet."""
        if target.channel not in self._answers:
            self._answers[target.channel] = self._begin(self._reach(target, in_place_of))
        return self._answers[target.channel]

    async def _reach(self, target: AlertedTarget, in_place_of: str | None) -> bool:
        delivery = AlertDelivery(
            level=target.level,
            repetition=self._number,
            system_id=target.plan.target.system_id,
            status=DeliveryStatus.HELD,
            in_place_of=in_place_of,
        )
        self._deliveries[target.channel] = delivery
        if target.plan.status is not DeliveryStatus.SUCCESS or not target.plan.steps:
            self._note(_failed(delivery, target.plan.error))
            return False

        def report(changes: dict[str, object]) -> None:
            if target.channel not in self._dead:
                self._note(delivery.model_copy(update=changes))

        calls = _Calls(target.plan.steps, report)
        for step in target.plan.steps:
            self._begin(calls.insist(step))
        try:
            await workflow.wait_condition(
                lambda: calls.stand or calls.stumbled,
                timeout=policies.FAILS_OVER_AFTER,
                timeout_summary="Until a stand-in is alerted",
            )
        except TimeoutError:
            calls.report()
        return calls.stand

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Calls:
    """The calls that alert one target, each tried once and then repeated while that is of use."""

    def __init__(self, steps: list[EffectStep], report: Callable[[dict[str, object]], None]) -> None:
        self._left = {step.effect_id for step in steps}
        self._hopeless = False
        self._failing = False
        self._error: ErrorDetail | None = None
        self._delivered_at: datetime | None = None
        self._report = report

    @property
    def stand(self) -> bool:
        """Whether the vendor has taken every one of them."""
        return not self._left

    @property
    def stumbled(self) -> bool:
        """Whether one of them has failed, and not only waits a moment for its turn."""
        return self._failing

    def report(self) -> None:
        """Say how far they are."""
        status = DeliveryStatus.HELD
        if self.stand:
            status = DeliveryStatus.SUCCESS
        elif self._hopeless:
            status = DeliveryStatus.FAILED
        error = None if self.stand else self._error
        self._report({"status": status, "delivered_at": self._delivered_at, "error": error})

    async def insist(self, step: EffectStep) -> None:
        """Make one call, and make it again in the background when it may succeed later."""
        try:
            outcome = await _apply(step, policies.once(policies.EMERGENCY))
        except ActivityError as error:
            if not self._stumble(error):
                return
            try:
                outcome = await _apply(step, policies.EMERGENCY.options())
            except ActivityError as repeated:
                self._stumble(repeated, finally_=True)
                return
        self._left.discard(step.effect_id)
        self._delivered_at = outcome.applied_at or workflow.now()
        if self.stand:
            self.report()

    def _stumble(self, error: ActivityError, *, finally_: bool = False) -> bool:
        """Note a failure and return whether repeating the call is of use; raises what was cancelled."""
        if is_cancelled_exception(error):
            raise error
        self._error = detail_of(error)
        again = not finally_ and self._error.kind not in NON_RETRYABLE
        self._hopeless = self._hopeless or not again
        self._failing = self._failing or not _its_turn_comes(self._error)
        self.report()
        return again


def _its_turn_comes(error: ErrorDetail) -> bool:
    """Return whether a call only waits for room within a limit, for less time than a stand-in would be given."""
    wait = error.retry_after_s
    limit = policies.FAILS_OVER_AFTER.total_seconds()
    return error.kind is ErrorKind.RATE_LIMITED and wait is not None and wait < limit


async def _apply(step: EffectStep, options: policies.ActivityOptions) -> EffectOutcome:
    outcome: EffectOutcome = await workflow.execute_activity(
        "notify.apply_effect",
        step,
        result_type=EffectOutcome,
        task_queue=EMERGENCY_QUEUE,
        summary=f"{step.system}: {step.kind}",
        priority=policies.connection_priority(SyncPriority.CRITICAL, step.organization_id, step.integration_id),
        **options,
    )
    return outcome


def _brings(target: AlertedTarget, effect_id: str) -> bool:
    return any(step.effect_id == effect_id for step in target.plan.steps)


def _failed(delivery: AlertDelivery, error: ErrorDetail | None) -> AlertDelivery:
    return delivery.model_copy(update={"status": DeliveryStatus.FAILED, "error": error})
