"""How far notifications came, carried to every system that shows it."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.engagement import (
        CarriedStates,
        CarryStates,
        EngagementSource,
        NotificationState,
        ObservedState,
        StateSyncDetail,
        StateSynchronization,
        StateSyncResult,
        StateTarget,
        TrackedEngagement,
        TrackEngagement,
    )
    from contracts.names import WorkflowType, system_queue
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.visibility import detail_of, tag
    from workflows.waiting import WaitsForReconnection


@workflow.defn(name=WorkflowType.SYNC_NOTIFICATION_STATES)
class SyncNotificationStates(WaitsForReconnection):
    """One system's trouble never touches another."""

    @workflow.run
    async def run(self, sync: StateSynchronization) -> StateSyncResult:
        """Carry the furthest known state of each notification to every target and say what changed."""
        tag(organization_id=sync.organization_id, run_kind="notification_states", outcome="running")
        tracked = await asyncio.gather(*(self._track(sync, source) for source in sync.engagement))
        engaged = [one for one in tracked if isinstance(one, TrackedEngagement)]
        furthest = _furthest([*sync.states, *(state for one in engaged for state in one.states)])
        carried = await asyncio.gather(*(self._carry(sync, target, furthest) for target in sync.target_systems))
        details = [detail for group in carried for detail in group]
        details += [one for one in tracked if isinstance(one, StateSyncDetail)]
        failed = sum(detail.error is not None for detail in details)
        tag(outcome="partial_failure" if failed else "success")
        return StateSyncResult(
            sync_id=sync.sync_id,
            successful_syncs=len(details) - failed,
            failed_syncs=failed,
            sync_details=details,
            engagement=[one.result for one in engaged],
        )

    async def _track(self, sync: StateSynchronization, source: EngagementSource) -> TrackedEngagement | StateSyncDetail:
        async def track() -> TrackedEngagement:
            tracked: TrackedEngagement = await workflow.execute_activity(
                "states.track",
                TrackEngagement(organization_id=sync.organization_id, source=source),
                result_type=TrackedEngagement,
                task_queue=system_queue(source.system_type),
                summary=f"{source.system_type}: what people made of a message",
                priority=policies.connection_priority(SyncPriority.LOW, sync.organization_id, source.integration_id),
                **policies.INTERACTIVE.options(),
            )
            return tracked

        try:
            return await self.through_reconnection(source.integration_id, track)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            detail = detail_of(error)
            return StateSyncDetail(
                notification_id=source.tracking.message_id,
                system_id=source.system_id,
                state=NotificationState.SENT,
                changed=False,
                reason=detail.code,
                error=detail,
            )

    async def _carry(
        self, sync: StateSynchronization, target: StateTarget, states: list[ObservedState]
    ) -> list[StateSyncDetail]:
        # A system is not told what it told itself.
        others = [state for state in states if state.system_id != target.system_id]
        if not others:
            return []

        async def carry() -> CarriedStates:
            carried: CarriedStates = await workflow.execute_activity(
                "states.carry",
                CarryStates(organization_id=sync.organization_id, target=target, states=others),
                result_type=CarriedStates,
                task_queue=system_queue(target.system_type),
                summary=f"{target.system_type}: {len(others)} states",
                priority=policies.connection_priority(SyncPriority.LOW, sync.organization_id, target.integration_id),
                **policies.MESSAGES.options(),
            )
            return carried

        try:
            return list((await self.through_reconnection(target.integration_id, carry)).details)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            detail = detail_of(error)
            return [
                StateSyncDetail(
                    notification_id=state.notification_id,
                    system_id=target.system_id,
                    state=state.state,
                    changed=False,
                    reason=detail.code,
                    error=detail,
                )
                for state in others
            ]


def _furthest(states: list[ObservedState]) -> list[ObservedState]:
    """Return one state per notification: the furthest, and of equal ones the earliest."""
    found: dict[str, ObservedState] = {}
    for state in sorted(states, key=lambda one: (-one.state.rank, one.occurred_at)):
        found.setdefault(state.notification_id, state)
    return [found[name] for name in sorted(found)]
