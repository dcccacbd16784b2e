"""What an event sets going: the saved automations it triggers, and the runs it concerns."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from contracts.automation import WorkflowOrchestration
    from contracts.automation_run import AutomationEvent, AutomationRunKey, TriggerEvent, Triggering, TriggerResult
    from contracts.names import WorkflowType, automation_workflow_id
    from workflows import policies
    from workflows.visibility import tag


@workflow.defn(name=WorkflowType.TRIGGER_AUTOMATIONS)
class TriggerAutomations:
    """Starts runs that outlive it."""

    @workflow.run
    async def run(self, event: TriggerEvent) -> TriggerResult:
        """Start every saved automation that the event triggers, and tell it to the runs of the same wedding.

        Idempotent: yes, the ids of the runs are made of the event's.
        """
        about = {"wedding_id": event.wedding_id} if event.wedding_id else {}
        tag(organization_id=event.organization_id, run_kind="trigger", outcome="running", **about)
        found: Triggering = await workflow.execute_local_activity(
            "automations.match", event, result_type=Triggering, **policies.local_options(policies.LOCAL)
        )
        told = 0
        for key in found.tell:
            told += await self._tell(key, event)
        started = [asked.orchestration_id for asked in found.starts if await self._start(asked)]
        tag(outcome="success")
        return TriggerResult(event_id=event.event_id, started=started, told=told)

    async def _start(self, asked: WorkflowOrchestration) -> bool:
        try:
            await workflow.start_child_workflow(
                WorkflowType.RUN_AUTOMATION.value,
                asked,
                id=automation_workflow_id(asked.organization_id, asked.orchestration_id),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                execution_timeout=policies.AUTOMATION_TIMEOUT,
                priority=policies.priority(asked.priority, asked.organization_id),
                static_summary=f"Automation {asked.definition_id} of {asked.wedding_id or 'no wedding'}",
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def _tell(self, key: AutomationRunKey, event: TriggerEvent) -> bool:
        """Return whether the run was there to be told."""
        handle = workflow.get_external_workflow_handle(
            automation_workflow_id(key.organization_id, key.orchestration_id)
        )
        try:
            if event.news is not None:
                await handle.signal("wedding_changed", event.news)
            if event.name:
                data = {**event.data, "properties": dict(event.properties)}
                await handle.signal("event", AutomationEvent(event_id=event.event_id, name=event.name, data=data))
        except ApplicationError:
            return False
        return True
