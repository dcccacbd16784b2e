"""One notification to many systems, each effect exactly once, each target with its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.decisions import HeldAnswer
    from contracts.effects import EffectOutcome, Hold, PlanRouting, RoutingPlan, TargetPlan
    from contracts.names import WorkflowType
    from contracts.notification import (
        CrossSystemRouting,
        DeliveryMode,
        DeliveryStatus,
        FailureStrategy,
        OverallStatus,
        RoutingResult,
        SystemRoutingResult,
    )
    from contracts.results import combined, delivered, undelivered, untouched
    from workflows.coordination import Coordination
    from workflows.delivery_book import CALLED_OFF, DeliveryBook, Entry
    from workflows.delivery_places import standbys
    from workflows.effects import apply_effect
    from workflows.holding import HoldsMessages, Wait
    from workflows.visibility import detail_of, tag
    from workflows.waiting import WaitsForReconnection


@workflow.defn(name=WorkflowType.ROUTE_NOTIFICATION)
class RouteNotification(HoldsMessages, WaitsForReconnection):
    """Plans all targets at once, then delivers to them as their coordination says."""

    @workflow.init
    def __init__(self, routing: CrossSystemRouting) -> None:
        """Open the books of the routing."""
        super().__init__()
        self._routing = routing
        self._book = DeliveryBook(routing.source_notification.notification_id)

    @workflow.run
    async def run(self, routing: CrossSystemRouting) -> RoutingResult:
        """Return what became of the notification at every target; never fails for a target's sake."""
        started = workflow.time()
        notification = routing.source_notification
        tag(
            organization_id=routing.organization_id,
            run_kind="notification",
            priority=notification.priority.value,
            outcome="running",
            notification_id=notification.notification_id,
            **({"wedding_id": notification.wedding_context.wedding_id} if notification.wedding_context else {}),
        )
        plan = await self.planned(routing)
        coordination = Coordination(routing, plan, self._book, self)
        together = routing.delivery_coordination.chosen is DeliveryMode.ALL_OR_NOTHING
        # A target of which a digest takes everything is not delivered to at all.
        digested = [target for target in plan.targets if target.status is DeliveryStatus.SKIPPED]
        if not together:
            await self._hand_over_all(digested)
        results = await coordination.run()
        overall = coordination.overall(results)
        if together and overall in {OverallStatus.SUCCESS, OverallStatus.SKIPPED}:
            await self._hand_over_all(digested)
        tag(outcome=overall.value)
        workflow.set_current_details(
            "\n".join(f"- `{item.system_id}` {item.status.value} {item.reason}" for item in results)
        )
        return RoutingResult(
            routing_id=routing.routing_id,
            overall_status=overall,
            system_results=results,
            processing_time=int((workflow.time() - started) * 1_000),
            delivery_coordination=routing.delivery_coordination,
            decisions=self._decisions,
        )

    # What a coordination asks for.

    async def replan(self) -> RoutingPlan:
        """Plan every target anew, as of now."""
        return await self._plan(PlanRouting(routing=self._routing, occurred_at=workflow.now()))

    async def stand_in(self, standby: TargetPlan) -> TargetPlan:
        """Return the plan of a target that takes another's place."""
        if standby.steps:
            return standby.model_copy(update={"status": DeliveryStatus.SUCCESS, "reason": ""})
        return await self.planned_again(self._routing, standby.target.system_id)

    async def deliver(self, plan: RoutingPlan, target: TargetPlan) -> SystemRoutingResult:
        """Deliver to a target, and to those that stand by for it, in turn, while it fails."""
        line = standbys(self._routing, plan, target)
        result = await self._deliver(target, waits=not line)
        if result.status is not DeliveryStatus.FAILED:
            return result
        for standby in line:
            substituted = await self._deliver(await self.stand_in(standby), waits=False)
            if substituted.status is DeliveryStatus.SUCCESS:
                return result.model_copy(update={"failed_over_to": standby.target.system_id})
        return result

    async def hand_over(self, target: TargetPlan) -> None:
        """Give those of a target whose digest takes the message to their digests."""
        if target.collected:
            word = self._routing.source_notification.priority
            await self.collected(self._routing.organization_id, target.collected, word)

    async def _hand_over_all(self, targets: Sequence[TargetPlan]) -> None:
        for target in targets:
            await self.hand_over(target)

    async def give_back(self, target: TargetPlan) -> None:
        """Uncount the recipients of a target who have nothing of it."""
        lost = undelivered(target, [self._book.entry(target.target.system_id, step).result for step in target.steps])
        if lost:
            await self.given_back(self._routing.organization_id, lost)

    async def reconnected(self, integration_id: str, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step as soon as its connection is not parked."""
        await self.through_reconnection(integration_id, step)

    async def carry_out(self, entry: Entry, *, waits: bool) -> None:
        """Make one effect stand, and enter what became of it.

        Args:
            entry: the effect; nothing is begun once the books are closed.
            waits: whether a connection that is parked is waited for, because no other system takes over.
        """
        if self._book.closed:
            raise asyncio.CancelledError
        entry.under_way = True
        try:
            outcome = await self._made(entry, waits=waits)
        except ActivityError as error:
            # A call that fails after it was called off is not made again, whatever its own error says.
            called_off = is_cancelled_exception(error) or self._book.closed
            entry.note(DeliveryStatus.FAILED, error=CALLED_OFF if called_off else detail_of(error))
            if called_off:
                raise asyncio.CancelledError from None
        except asyncio.CancelledError:
            entry.note(DeliveryStatus.FAILED, error=CALLED_OFF)
            raise
        else:
            entry.note(DeliveryStatus.SUCCESS, outcome=outcome)
        finally:
            entry.under_way = False

    # How one target is served.

    async def _deliver(self, plan: TargetPlan, *, waits: bool) -> SystemRoutingResult:
        """Serve one target: those who get the message now, those whose digest takes it, and those who wait."""
        if not plan.holds and not plan.collected:
            return await self._deliver_now(plan, waits=waits)
        parts = [self._deliver_later(plan, hold, waits=waits) for hold in plan.holds]
        if plan.steps or not plan.holds:
            parts.append(self._deliver_now(plan, waits=waits))
        await self.hand_over(plan)
        return combined(await asyncio.gather(*parts))

    async def _deliver_now(self, plan: TargetPlan, *, waits: bool) -> SystemRoutingResult:
        if plan.status is not DeliveryStatus.SUCCESS:
            return untouched(plan, plan.status, plan.reason)
        # Not all that the book has of the target: others of its recipients were served before, or will be.
        entries = [self._book.entry(plan.target.system_id, step) for step in plan.steps]
        await asyncio.gather(*(self.carry_out(entry, waits=waits) for entry in entries))
        await self.give_back(plan)
        return delivered(plan, [entry.result for entry in entries])

    async def _deliver_later(self, plan: TargetPlan, hold: Hold, *, waits: bool) -> SystemRoutingResult:
        """Serve recipients as their wait ends, each judged anew: what they want by then counts."""
        wait = Wait(plan.target.system_id, hold)
        parts: list[SystemRoutingResult] = []
        served: list[asyncio.Task[SystemRoutingResult]] = []
        self._waits.append(wait)
        while wait.waiting:
            for answer, recipients in (await wait.next()).items():
                if answer is HeldAnswer.CANCEL:
                    parts.append(untouched(plan, DeliveryStatus.SKIPPED, "cancelled_while_held"))
                else:
                    released = answer is HeldAnswer.RELEASE
                    turn = self._deliver_anew(plan, recipients, released=released, waits=waits)
                    served.append(asyncio.create_task(turn))
        self._waits.remove(wait)
        return combined([*parts, *await asyncio.gather(*served)])

    async def _deliver_anew(
        self, plan: TargetPlan, recipients: list[str], *, released: bool, waits: bool
    ) -> SystemRoutingResult:
        again = await self.planned_again(self._routing, plan.target.system_id, recipients, released=released)
        return await self._deliver(again, waits=waits)

    async def _made(self, entry: Entry, *, waits: bool) -> EffectOutcome:
        handling = self._routing.error_handling
        left = handling.retries if handling.on_permanent_failure is FailureStrategy.RETRY else 0
        while True:
            try:
                return await self._made_once(entry, waits=waits)
            except ActivityError as error:
                if not left or self._book.closed or is_cancelled_exception(error):
                    raise
            left -= 1
            await workflow.sleep(handling.retry_after, summary=f"Until {entry.system_id} is tried again")

    async def _made_once(self, entry: Entry, *, waits: bool) -> EffectOutcome:
        step, word = entry.step, self._routing.source_notification.priority
        if waits:
            return await self.through_reconnection(step.integration_id, lambda: apply_effect(step, word))
        return await apply_effect(step, word)
