"""Telling people about a change of state, each change once."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.alerts import Alert, AlertPlan
    from contracts.names import WorkflowType, routing_workflow_id
    from workflows import policies
    from workflows.visibility import detail_of

_DELIVERED_WITHIN = timedelta(hours=24)


async def tell(alert: Alert) -> None:
    """Have the alert delivered along its organisation's routes, without waiting for the delivery.

    Idempotent: yes, by `alert.alert_id`: a repeat, by whichever workflow, starts nothing. A plan that cannot be made
    is logged and never the caller's failure; a caller that must know takes `deliver`.
    """
    try:
        await deliver(alert)
    except (ActivityError, ApplicationError) as error:  # a local activity's failure comes unwrapped
        if is_cancelled_exception(error):
            raise
        workflow.logger.warning("an alert was not told: %s", detail_of(error).code)


async def deliver(alert: Alert) -> None:
    """Do as `tell`, and let the caller see that no plan could be made.

    Raises:
        ApplicationError: the routes could not be read; nothing was started.
    """
    plan = await workflow.execute_local_activity(
        "alerts.plan", alert, result_type=AlertPlan, **policies.local_options(policies.LOCAL)
    )
    if plan.routing is None:
        return
    notification = plan.routing.source_notification
    try:
        await workflow.start_child_workflow(
            WorkflowType.ROUTE_NOTIFICATION,
            plan.routing,
            id=routing_workflow_id(plan.routing.organization_id, plan.routing.routing_id),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            execution_timeout=_DELIVERED_WITHIN,
            priority=policies.priority(notification.priority, plan.routing.organization_id),
            static_summary=f"Alert: {alert.kind}",
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("the alert %s was told before", alert.alert_id)
