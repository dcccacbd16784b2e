"""Planning deliveries and making their effects stand exactly once."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity

from activities.access import Access
from activities.ports.connector import CheckingConnector, DeliveryConnector
from activities.ports.manifest import Capability
from activities.standing import standing
from activities.storage.connections import ConnectionStore, StoredConnection
from activities.storage.ledger import EffectLedger
from activities.transform import routing as decisions
from contracts.effects import (
    ActionRequest,
    Delivery,
    EffectOutcome,
    EffectStep,
    PlanRouting,
    RoutingPlan,
    TargetPlan,
)
from contracts.errors import InvalidInput, OutcomeUnknown, Transient, WedSyncError
from contracts.integration import IntegrationState
from contracts.notification import DeliveryStatus, TargetSystem

LEASE = timedelta(minutes=2)
"""Longer than any attempt, so that a claim never lapses under a running call."""


class Notify:
    """The verbs of delivery."""

    def __init__(self, access: Access, connections: ConnectionStore, ledger: EffectLedger) -> None:
        self._access = access
        self._connections = connections
        self._ledger = ledger

    @activity.defn(name="notify.plan")
    async def plan(self, request: PlanRouting) -> RoutingPlan:
        """Decide about every target of a routing; one target's trouble never touches another.

        Idempotent: yes, it changes nothing.
        """
        routing = request.routing
        standby = {name for chain in decisions.standby_systems(routing).values() for name in chain}
        return RoutingPlan(
            targets=[
                await self._plan_target(request, target, standby=target.system_id in standby)
                for target in routing.target_systems
            ]
        )

    async def _plan_target(self, request: PlanRouting, target: TargetSystem, *, standby: bool) -> TargetPlan:
        routing = request.routing
        try:
            reason = decisions.refusal(routing, target)
            if reason is not None:
                return TargetPlan(target=target, status=DeliveryStatus.SKIPPED, reason=reason)
            stored = await self._access.stored(routing.organization_id, target.integration_id)
            if stored.state.refuses_work and stored.state is not IntegrationState.RECONNECT_REQUIRED:
                return TargetPlan(target=target, status=DeliveryStatus.HELD, reason=f"integration_{stored.state.value}")
            delivery = Delivery(
                organization_id=routing.organization_id,
                business_key=routing.routing_id,
                notification=routing.source_notification,
                target=target,
                rendered=decisions.rendered(routing, target),
                intent=target.intent,
                answers_to=routing.answers_to,
                occurred_at=request.occurred_at,
            )
            steps = await self._steps(stored, delivery)
        except Transient:
            raise
        except WedSyncError as error:
            return TargetPlan(target=target, status=DeliveryStatus.FAILED, reason=error.detail.code, error=error.detail)
        if standby:
            return TargetPlan(target=target, status=DeliveryStatus.SKIPPED, reason="standby", steps=steps)
        return TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=steps)

    async def _steps(self, stored: StoredConnection, delivery: Delivery) -> list[EffectStep]:
        connector = await self._access.connector_of(stored, DeliveryConnector)
        if delivery.target.system_type != stored.configuration.platform:
            raise InvalidInput(
                "platform_mismatch",
                f"The target {delivery.target.system_id!r} says {delivery.target.system_type}, "
                f"and its integration is {stored.configuration.platform}.",
                action="Correct systemType or integrationId of the target.",
            )
        context = delivery.notification.wedding_context
        about = {
            "notification_id": delivery.notification.notification_id,
            "answers_to": delivery.answers_to,
            "wedding_id": delivery.wedding_id or (context.wedding_id if context else None),
        }
        reversible = connector.manifest.reversible
        steps = connector.plan(delivery)
        return [step.model_copy(update={**about, "reversible": step.kind in reversible}) for step in steps]

    @activity.defn(name="notify.plan_action")
    async def plan_action(self, request: ActionRequest) -> RoutingPlan:
        """Plan one due step of a wedding: e-mails to its participants, or a task in the organisation's CRM.

        Raises:
            InvalidInput: no connected integration can carry the step out, or nobody is there to write to.
        """
        wedding, step = request.wedding, request.step
        if step.action.type == "create_task":
            stored = await self._capable(wedding.organization_id, Capability.TASK, "keep tasks")
            delivery = decisions.task_delivery(wedding, step, _target(stored), request.occurred_at)
            steps = await self._steps(stored, delivery)
            return RoutingPlan(targets=[TargetPlan(target=delivery.target, status=DeliveryStatus.SUCCESS, steps=steps)])
        if step.action.type != "send_email":
            raise InvalidInput(
                "action_unknown",
                f"There is no action named {step.action.type!r}.",
                action="Use send_email or create_task.",
            )
        stored = await self._capable(wedding.organization_id, Capability.EMAIL, "send e-mail")
        plans = []
        for participant in wedding.participants:
            if participant.email and "email" in participant.channels:
                target = _target(stored, recipients=[participant.email])
                delivery = decisions.mail_delivery(wedding, step, participant, target, request.occurred_at)
                steps = await self._steps(stored, delivery)
                plans.append(TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=steps))
        if not plans:
            raise InvalidInput(
                "nobody_to_write_to",
                "No participant of the wedding has an e-mail address and the e-mail channel.",
                action="Add a participant with both.",
            )
        return RoutingPlan(targets=plans)

    async def _capable(self, organization_id: str, capability: Capability, words: str) -> StoredConnection:
        parked = None
        for stored in await self._connections.of_organization(organization_id):
            if capability not in self._access.manifest(stored.configuration.platform).capabilities:
                continue
            if not stored.state.refuses_work:
                return stored
            if stored.state is IntegrationState.RECONNECT_REQUIRED:
                parked = stored
        if parked is not None:
            return parked
        raise InvalidInput(
            "no_capable_integration",
            f"No connected integration of this organisation can {words}.",
            action="Connect or resume one with `wedsync integrations`.",
        )

    @activity.defn(name="notify.apply_effect")
    async def apply_effect(self, step: EffectStep) -> EffectOutcome:
        """Make one effect stand, and answer from the ledger when it already does.

        Idempotent: yes, by `effect_id`: the ledger first, then the vendor, then the call.

        Raises:
            IntegrationPaused: the integration refuses work.
            OutcomeUnknown: the answer was lost; the next attempt looks before it repeats.
            Permanent: the vendor refuses, or the outcome of an at-most-once call cannot be known.
        """
        connector = await self._access.connector(step.organization_id, step.integration_id, DeliveryConnector)
        info = activity.info()
        owner = f"{step.answers_to or info.workflow_id}/{info.workflow_run_id}"
        claim = await self._ledger.claim(step, owner, LEASE)
        found = await standing(connector, self._ledger, step, claim)
        if found is not None:
            return found
        try:
            outcome = await connector.apply(step)
        except OutcomeUnknown:
            await self._ledger.let_go(step)
            raise
        except WedSyncError:
            await self._ledger.withdraw(step)
            raise
        applied_at = await self._ledger.receipt(step, outcome.remote_id)
        return outcome.model_copy(update={"applied_at": applied_at})

    @activity.defn(name="notify.check_effect")
    async def check_effect(self, step: EffectStep) -> None:
        """Ask whether an effect could be made now: of its connection, and of its vendor where that can be asked.

        Idempotent: yes, it changes nothing.

        Raises:
            IntegrationPaused: the integration refuses work.
            AuthExpired: its credential is gone, or it waits to be connected again.
            Permanent: the vendor lacks what the effect needs.
        """
        connector = await self._access.connector(step.organization_id, step.integration_id, DeliveryConnector)
        if isinstance(connector, CheckingConnector):
            await connector.check(step)


def _target(stored: StoredConnection, recipients: list[str] | None = None) -> TargetSystem:
    configuration = stored.configuration
    return TargetSystem(
        system_id=configuration.integration_id,
        system_type=configuration.platform,
        integration_id=configuration.integration_id,
        recipients=recipients or [],
    )
