"""One notification to many systems, each effect exactly once, each target with its own result."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.effects import EffectOutcome, EffectStep, PlanRouting, RoutingPlan, TargetPlan
    from contracts.names import WorkflowType, system_queue
    from contracts.notification import (
        CrossSystemRouting,
        DeliveryResult,
        DeliveryStatus,
        RoutingResult,
        SystemRoutingResult,
    )
    from contracts.results import delivered, overall_status, untouched
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.visibility import detail_of, tag
    from workflows.waiting import WaitsForReconnection


@workflow.defn(name=WorkflowType.ROUTE_NOTIFICATION)
class RouteNotification(WaitsForReconnection):
    """Plans all targets at once, then delivers to them in parallel."""

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
        plan = await workflow.execute_local_activity(
            "notify.plan",
            PlanRouting(routing=routing, occurred_at=workflow.now()),
            result_type=RoutingPlan,
            **policies.local_options(policies.LOCAL),
        )
        results = await self._deliver_all(routing, plan)
        overall = overall_status(results)
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

    async def _deliver_all(self, routing: CrossSystemRouting, plan: RoutingPlan) -> list[SystemRoutingResult]:
        if routing.error_handling.on_permanent_failure == "continue":
            return list(await asyncio.gather(*(self._with_failover(routing, plan, target) for target in plan.targets)))
        results: list[SystemRoutingResult] = []
        for target in plan.targets:
            if any(item.status is DeliveryStatus.FAILED for item in results):
                results.append(untouched(target, DeliveryStatus.HELD, "stopped_after_failure"))
            else:
                results.append(await self._with_failover(routing, plan, target))
        return results

    async def _with_failover(
        self, routing: CrossSystemRouting, plan: RoutingPlan, target: TargetPlan
    ) -> SystemRoutingResult:
        chain = routing.error_handling.failover.get(target.target.system_id) or target.target.failover
        result = await self._deliver(routing, target, waits=not chain)
        if result.status is not DeliveryStatus.FAILED:
            return result
        for name in chain:
            substitute = next((item for item in plan.targets if item.target.system_id == name), None)
            if substitute is not None and substitute.steps:
                ready = substitute.model_copy(update={"status": DeliveryStatus.SUCCESS, "reason": ""})
                substituted = await self._deliver(routing, ready, waits=False)
                if substituted.status is DeliveryStatus.SUCCESS:
                    return result.model_copy(update={"failed_over_to": name})
        return result

    async def _deliver(self, routing: CrossSystemRouting, plan: TargetPlan, *, waits: bool) -> SystemRoutingResult:
        if plan.status is not DeliveryStatus.SUCCESS:
            return untouched(plan, plan.status, plan.reason)
        deliveries = await asyncio.gather(*(self._apply(routing, step, waits=waits) for step in plan.steps))
        return delivered(plan, deliveries)

    async def _apply(self, routing: CrossSystemRouting, step: EffectStep, *, waits: bool) -> DeliveryResult:
        """Make one effect stand; where no other system takes over, wait for a connection that is parked."""
        notification = routing.source_notification
        word = notification.priority
        try:
            if waits:
                outcome = await self.through_reconnection(step.integration_id, lambda: apply_effect(step, word))
            else:
                outcome = await apply_effect(step, word)
        except ActivityError as error:
            return DeliveryResult(
                notification_id=notification.notification_id,
                effect_id=step.effect_id,
                kind=step.kind,
                status=DeliveryStatus.FAILED,
                error=detail_of(error),
            )
        return DeliveryResult(
            notification_id=notification.notification_id,
            effect_id=step.effect_id,
            kind=step.kind,
            status=DeliveryStatus.SUCCESS,
            remote_id=outcome.remote_id,
            replayed=outcome.replayed,
            delivered_at=outcome.applied_at,
        )


async def apply_effect(
    step: EffectStep,
    word: SyncPriority,
    cancellation: workflow.ActivityCancellationType = workflow.ActivityCancellationType.TRY_CANCEL,
) -> EffectOutcome:
    """Make one effect stand through the queue of its system."""
    outcome: EffectOutcome = await workflow.execute_activity(
        "notify.apply_effect",
        step,
        result_type=EffectOutcome,
        task_queue=system_queue(step.system),
        summary=f"{step.system}: {step.kind}",
        priority=policies.connection_priority(word, step.organization_id, step.integration_id),
        cancellation_type=cancellation,
        **policies.INTERACTIVE.options(),
    )
    return outcome
