"""Delivering the messages about a conflict: questions from its own run, everything else by a run of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from contracts.conflict import Consequence
    from contracts.conflict_steps import ComposedNotice, ComposeNotice
    from contracts.effects import (
        EffectOutcome,
        EffectStep,
        PlanRouting,
        RoutingPlan,
        StandingEffect,
        TargetPlan,
    )
    from contracts.names import WorkflowType, routing_workflow_id
    from contracts.notification import CrossSystemRouting, DeliveryStatus, OverallStatus, RoutingResult
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.effects import standing_effect
    from workflows.visibility import detail_of

Send = Callable[[EffectStep, SyncPriority], Awaitable[EffectOutcome | None]]
_DELIVERED_WITHIN = timedelta(days=30)
_STATUS_OF = {
    OverallStatus.SUCCESS: DeliveryStatus.SUCCESS,
    OverallStatus.SKIPPED: DeliveryStatus.SKIPPED,
    OverallStatus.PARTIAL_FAILURE: DeliveryStatus.FAILED,
    OverallStatus.FAILED: DeliveryStatus.FAILED,
}


async def compose(notice: ComposeNotice) -> CrossSystemRouting | None:
    """Return the notice as a routing, None where nobody would get it."""
    found: ComposedNotice = await workflow.execute_local_activity(
        "conflicts.compose", notice, result_type=ComposedNotice, **policies.local_options(policies.LOCAL)
    )
    return found.routing


async def planned(routing: CrossSystemRouting) -> list[TargetPlan]:
    """Return the decisions about a routing's targets."""
    plan: RoutingPlan = await workflow.execute_local_activity(
        "notify.plan",
        PlanRouting(routing=routing, occurred_at=workflow.now()),
        result_type=RoutingPlan,
        **policies.local_options(policies.LOCAL),
    )
    return plan.targets


async def post(notice: ComposeNotice, posted: list[StandingEffect], send: Send) -> Consequence:
    """Deliver a question from this run itself, so that its answers come here, and add what stands to `posted`.

    Args:
        notice: what is asked.
        posted: where the messages that stand are noted.
        send: makes one effect stand; None when it is no longer wanted.
    """
    name = notice.kind.value
    try:
        routing = await compose(notice)
        if routing is None:
            return Consequence(name=name, status=DeliveryStatus.SKIPPED, reason="nobody_to_ask")
        targets = await planned(routing)
        for step in [step for target in targets for step in target.steps]:
            outcome = await send(step, routing.source_notification.priority)
            if outcome is not None:
                posted.append(standing_effect(step, outcome))
    except (ActivityError, ApplicationError) as error:
        return failed(name, error)
    hindered = next((target for target in targets if target.status is not DeliveryStatus.SUCCESS), None)
    if hindered is not None:
        return Consequence(name=name, status=hindered.status, reason=hindered.reason, error=hindered.error)
    return Consequence(name=name, status=DeliveryStatus.SUCCESS)


async def route(name: str, notice: ComposeNotice) -> tuple[Consequence, RoutingResult | None]:
    """Have a notice routed by a run of its own, which waits for connections and for the right hour."""
    try:
        routing = await compose(notice)
        if routing is None:
            return Consequence(name=name, status=DeliveryStatus.SKIPPED, reason="nobody_to_tell"), None
        result: RoutingResult = await workflow.execute_child_workflow(
            WorkflowType.ROUTE_NOTIFICATION,
            routing,
            result_type=RoutingResult,
            id=routing_workflow_id(routing.organization_id, routing.routing_id),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            execution_timeout=_DELIVERED_WITHIN,
            priority=policies.priority(routing.source_notification.priority, routing.organization_id),
            static_summary=f"Booking conflict: {name}",
        )
    except (ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError) as error:
        return failed(name, error), None
    problem = next((one.error for one in result.system_results if one.error is not None), None)
    reason = next((one.reason for one in result.system_results if one.reason), "")
    return Consequence(name=name, status=_STATUS_OF[result.overall_status], reason=reason, error=problem), result


def failed(name: str, error: Exception) -> Consequence:
    """Return what did not come about; a cancellation is raised on."""
    if is_cancelled_exception(error):
        raise error
    detail = detail_of(error)
    return Consequence(name=name, status=DeliveryStatus.FAILED, reason=detail.code, error=detail)
