"""One notification to many systems, each effect exactly once, each target with its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.effects import EffectOutcome, PlanRouting, RoutingPlan, TargetPlan
    from contracts.names import WorkflowType
    from contracts.notification import (
        CrossSystemRouting,
        DeliveryStatus,
        FailureStrategy,
        RoutingResult,
        SystemRoutingResult,
    )
    from contracts.results import untouched
    from workflows import policies
    from workflows.coordination import Coordination
    from workflows.delivery_book import CALLED_OFF, DeliveryBook, Entry
    from workflows.delivery_places import standbys
    from workflows.effects import apply_effect
    from workflows.visibility import detail_of, tag
    from workflows.waiting import WaitsForReconnection


@workflow.defn(name=WorkflowType.ROUTE_NOTIFICATION)
class RouteNotification(WaitsForReconnection):
    """Plans all targets at once, then delivers to them as their coordination says."""

    @workflow.init
    def __init__(self, routing: CrossSystemRouting) -> None:
        """Open the books of the routing."""
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
            **({"wedding_id": notification.wedding_context.wedding_id} if notification.wedding_context else {}),
        )
        coordination = Coordination(routing, await self.replan(), self._book, self)
        results = await coordination.run()
        overall = coordination.overall(results)
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
        )

    async def replan(self) -> RoutingPlan:
        """Decide about every target as of now."""
        plan: RoutingPlan = await workflow.execute_local_activity(
            "notify.plan",
            PlanRouting(routing=self._routing, occurred_at=workflow.now()),
            result_type=RoutingPlan,
            **policies.local_options(policies.LOCAL),
        )
        return plan

    async def deliver(self, plan: RoutingPlan, target: TargetPlan) -> SystemRoutingResult:
        """Deliver to a target, and to those that stand by for it, in turn, while it fails."""
        line = standbys(self._routing, plan, target)
        result = await self._deliver(target, waits=not line)
        if result.status is not DeliveryStatus.FAILED:
            return result
        for standby in line:
            if (await self._deliver(standby, waits=False)).status is DeliveryStatus.SUCCESS:
                return result.model_copy(update={"failed_over_to": standby.target.system_id})
        return result

    async def _deliver(self, plan: TargetPlan, *, waits: bool) -> SystemRoutingResult:
        if plan.status is not DeliveryStatus.SUCCESS:
            return untouched(plan, plan.status, plan.reason)
        await asyncio.gather(*(self.carry_out(entry, waits=waits) for entry in self._book.plan(plan)))
        return self._book.result(plan)

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
            called_off = is_cancelled_exception(error)
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

    async def _made(self, entry: Entry, *, waits: bool) -> EffectOutcome:
        handling = self._routing.error_handling
        left = handling.retries if handling.on_permanent_failure is FailureStrategy.RETRY else 0
        while True:
            try:
                return await self._made_once(entry, waits=waits)
            except ActivityError as error:
                if not left or is_cancelled_exception(error):
                    raise
            left -= 1
            await workflow.sleep(handling.retry_after, summary=f"Until {entry.system_id} is tried again")

    async def _made_once(self, entry: Entry, *, waits: bool) -> EffectOutcome:
        step, word = entry.step, self._routing.source_notification.priority
        if waits:
            return await self.through_reconnection(step.integration_id, lambda: apply_effect(step, word))
        return await apply_effect(step, word)

    async def reconnected(self, integration_id: str, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step as soon as its connection is not parked."""
        await self.through_reconnection(integration_id, step)
