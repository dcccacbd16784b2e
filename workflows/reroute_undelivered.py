"""A message that its vendor took and did not deliver: the next system of its line gets it, or people are told."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from contracts.alerts import Alert, AlertKind, Severity
    from contracts.effects import GiveBack
    from contracts.names import WorkflowType, effect_id, routing_workflow_id
    from contracts.notification import CrossSystemRouting, OverallStatus, RoutingResult
    from contracts.sync import SyncPriority
    from contracts.undelivered import LostMessage, Reroute, RerouteOutcome, RerouteResult, UndeliveredEffect
    from workflows import policies
    from workflows.alerts import tell
    from workflows.visibility import detail_of, tag


_TOGETHER = "told-together"


@workflow.defn(name=WorkflowType.REROUTE_UNDELIVERED)
class RerouteUndelivered:
    """Runs once for an effect; the rest of its line is routed once for a target, however many recipients it lost."""

    @workflow.run
    async def run(self, told: UndeliveredEffect) -> RerouteResult:
        """Return what was done; a routing that nobody knows any more is told to the organisation."""
        effect = told.effect
        tag(
            organization_id=effect.organization_id,
            integration_id=effect.integration_id,
            run_kind="reroute",
            outcome="running",
            **({"wedding_id": effect.wedding_id} if effect.wedding_id else {}),
        )
        found = await self._found(told)
        outcome, rest = RerouteOutcome.SETTLED, None
        if not found.settled:
            await self._give_back(effect.organization_id, found)
            outcome, rest = await self._rerouted(found)
        if outcome is RerouteOutcome.UNDELIVERED:
            await self._tell(told, found)
        tag(outcome=outcome.value)
        return RerouteResult(effect_id=effect.effect_id, outcome=outcome, rest=rest)

    async def _found(self, told: UndeliveredEffect) -> Reroute:
        try:
            found: Reroute = await workflow.execute_activity(
                "undelivered.find",
                told,
                result_type=Reroute,
                summary="Who is next in line",
                priority=policies.priority(SyncPriority.HIGH, told.effect.organization_id),
                **policies.STORE.options(),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("the routing of an undelivered effect was not found: %s", detail_of(error).code)
            return Reroute()
        return found

    async def _give_back(self, organization_id: str, found: Reroute) -> None:
        """Uncount who has nothing of it, so that the same person is not taken for reached elsewhere."""
        if found.reserved:
            await workflow.execute_activity(
                "notify.give_back",
                GiveBack(organization_id=organization_id, reserved=found.reserved),
                summary="Uncount who has nothing of it",
                priority=policies.priority(SyncPriority.HIGH, organization_id),
                **policies.STORE.options(),
            )

    async def _rerouted(self, found: Reroute) -> tuple[RerouteOutcome, OverallStatus | None]:
        """Have the rest of the line served, once for a routing and target."""
        routing, system_id = found.routing, found.system_id
        if routing is None or system_id is None:
            return RerouteOutcome.UNDELIVERED, None
        try:
            result = await self._routed(routing, effect_id(routing.routing_id, "after", system_id))
        except WorkflowAlreadyStartedError:
            return RerouteOutcome.JOINED, None
        except (ApplicationError, ChildWorkflowError) as error:
            if is_cancelled_exception(error):
                raise
            return RerouteOutcome.UNDELIVERED, None
        reached = result.overall_status is OverallStatus.SUCCESS
        return RerouteOutcome.REROUTED if reached else RerouteOutcome.UNDELIVERED, result.overall_status

    async def _routed(self, routing: CrossSystemRouting, key: str) -> RoutingResult:
        result: RoutingResult = await workflow.execute_child_workflow(
            WorkflowType.ROUTE_NOTIFICATION,
            routing,
            result_type=RoutingResult,
            id=routing_workflow_id(routing.organization_id, key),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            execution_timeout=policies.RUN_TIMEOUT,
            priority=policies.priority(routing.source_notification.priority, routing.organization_id),
            static_summary=f"{routing.target_systems[0].system_id} in place of a system that did not deliver",
        )
        return result

    async def _tell(self, told: UndeliveredEffect, found: Reroute) -> None:
        """Have the organisation told, with whatever else of the integration is lost; not of such a word itself."""
        effect = told.effect
        if found.notification_type == AlertKind.MESSAGE_UNDELIVERED:
            return
        about = effect.notification_id or effect.effect_id
        if workflow.patched(_TOGETHER):
            await self._note(told, found, about)
            return
        await tell(
            Alert(
                organization_id=effect.organization_id,
                kind=AlertKind.MESSAGE_UNDELIVERED,
                severity=Severity.WARNING,
                since=found.began_at or effect.applied_at,
                integration_ids=[effect.integration_id],
                parts=[about, found.system_id or effect.integration_id],
                sentence=f"{effect.system} did not deliver a message, and nobody is left to stand in: "
                f"{told.error.message} ({told.error.code})",
                action=f"{told.error.action} Look with `wedsync explain {about}`.".strip(),
                falls_back=False,
            )
        )

    async def _note(self, told: UndeliveredEffect, found: Reroute, about: str) -> None:
        effect = told.effect
        await workflow.execute_activity(
            "undelivered.note",
            LostMessage(
                effect_id=effect.effect_id,
                organization_id=effect.organization_id,
                integration_id=effect.integration_id,
                system=effect.system,
                about=about,
                wedding_id=effect.wedding_id,
                since=found.began_at or effect.applied_at,
                reason=f"{told.error.message} ({told.error.code})",
                action=told.error.action,
            ),
            summary="Have people told, with what else was lost",
            priority=policies.priority(SyncPriority.HIGH, effect.organization_id),
            **policies.STORE.options(),
        )
