"""Telling people about a change of state, each change once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.alerts import Alert, AlertPlan
    from contracts.names import WorkflowType, correction_workflow_id, routing_workflow_id
    from workflows import policies
    from workflows.visibility import detail_of

_DELIVERED_WITHIN = timedelta(hours=24)


async def tell(alert: Alert) -> None:
    """Have the alert delivered along its organisation's routes, without waiting for the delivery.

    Idempotent: yes, by `alert.alert_id`: a repeat, by whichever workflow, starts nothing. A plan that cannot be made
    is logged and never the caller's failure; a caller that must know takes `deliver`.
    """
    await _safely(alert, deliver)


async def tell_anew(alert: Alert) -> None:
    """Have what was decided written over the alert that asked, where it can be; otherwise as `tell`."""
    await _safely(alert, _correct)


async def deliver(alert: Alert) -> None:
    """Do as `tell`, and let the caller see that no plan could be made.

    Raises:
        ApplicationError: the routes could not be read; nothing was started.
    """
    await _begin(alert, WorkflowType.ROUTE_NOTIFICATION, routing_workflow_id)


async def _correct(alert: Alert) -> None:
    await _begin(alert, WorkflowType.CORRECT_NOTIFICATION, correction_workflow_id)


async def _safely(alert: Alert, have: Callable[[Alert], Awaitable[None]]) -> None:
    try:
        await have(alert)
    except (ActivityError, ApplicationError) as error:  # a local activity's failure comes unwrapped
        if is_cancelled_exception(error):
            raise
        workflow.logger.warning("an alert was not told: %s", detail_of(error).code)


async def _begin(alert: Alert, kind: WorkflowType, id_of: Callable[[str, str], str]) -> None:
    plan = await workflow.execute_local_activity(
        "alerts.plan", alert, result_type=AlertPlan, **policies.local_options(policies.LOCAL)
    )
    if plan.routing is None:
        return
    notification = plan.routing.source_notification
    try:
        await workflow.start_child_workflow(
            kind,
            plan.routing,
            id=id_of(plan.routing.organization_id, plan.routing.routing_id),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            execution_timeout=_DELIVERED_WITHIN,
            priority=policies.priority(notification.priority, plan.routing.organization_id),
            static_summary=f"Alert: {alert.kind}",
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("the alert %s was told before", alert.alert_id)
