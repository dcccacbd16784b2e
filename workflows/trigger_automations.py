"""What an event sets going: the saved automations it triggers, and the runs it concerns."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.automation import WorkflowOrchestration
    from contracts.automation_run import AutomationEvent
    from contracts.automation_steps import (
        AutomationRunKey,
        StartAutomation,
        StartedAutomation,
        TellAutomation,
        ToldAutomation,
        TriggerEvent,
        Triggering,
        TriggerResult,
    )
    from contracts.names import WorkflowType
    from contracts.sync import SyncPriority
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
        """Return whether the run was not there before."""
        its_priority = policies.priority(asked.priority, asked.organization_id)
        started: StartedAutomation = await workflow.execute_activity(
            "automations.start",
            StartAutomation(
                asked=asked,
                execution_timeout=policies.AUTOMATION_TIMEOUT,
                priority_key=its_priority.priority_key or 0,
            ),
            result_type=StartedAutomation,
            summary=f"Start {asked.definition_id}",
            priority=its_priority,
            **policies.STORE.options(),
        )
        return started.fresh

    async def _tell(self, key: AutomationRunKey, event: TriggerEvent) -> bool:
        """Return whether the run was there to be told."""
        named = None
        if event.name:
            data = {**event.data, "properties": dict(event.properties)}
            named = AutomationEvent(event_id=event.event_id, name=event.name, data=data)
        told: ToldAutomation = await workflow.execute_activity(
            "automations.tell",
            TellAutomation(key=key, news=event.news, event=named),
            result_type=ToldAutomation,
            summary=f"Tell {key.orchestration_id}",
            priority=policies.priority(SyncPriority.HIGH, key.organization_id),
            **policies.STORE.options(),
        )
        return told.there
