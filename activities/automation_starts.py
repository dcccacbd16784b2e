"""Starting the runs of saved automations, and telling those under way what happened."""

from __future__ import annotations

from temporalio import activity
from temporalio.common import Priority, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from contracts.automation import WorkflowOrchestration
from contracts.automation_steps import StartAutomation, StartedAutomation, TellAutomation, ToldAutomation
from contracts.names import ORCHESTRATION_QUEUE, WorkflowType, automation_workflow_id


@activity.defn(name="automations.start")
async def start(request: StartAutomation) -> StartedAutomation:
    """Start a run that outlives whoever asked for it.

    Idempotent: yes, by the run's id; one that ran before is not started again.
    """
    asked: WorkflowOrchestration = request.asked
    try:
        await activity.client().start_workflow(
            WorkflowType.RUN_AUTOMATION.value,
            asked,
            id=automation_workflow_id(asked.organization_id, asked.orchestration_id),
            task_queue=ORCHESTRATION_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            execution_timeout=request.execution_timeout,
            priority=Priority(priority_key=request.priority_key, fairness_key=asked.organization_id),
            static_summary=f"Automation {asked.definition_id} of {asked.wedding_id or 'no wedding'}",
        )
    except WorkflowAlreadyStartedError:
        return StartedAutomation(fresh=False)
    return StartedAutomation(fresh=True)


@activity.defn(name="automations.tell")
async def tell(request: TellAutomation) -> ToldAutomation:
    """Tell a run what happened to its wedding, and the event itself.

    Idempotent: yes, a run takes an event once, and facts that it has already change nothing.
    """
    handle = activity.client().get_workflow_handle(
        automation_workflow_id(request.key.organization_id, request.key.orchestration_id)
    )
    try:
        if request.news is not None:
            await handle.signal("wedding_changed", request.news)
        if request.event is not None:
            await handle.signal("event", request.event)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return ToldAutomation(there=False)
    return ToldAutomation(there=True)
