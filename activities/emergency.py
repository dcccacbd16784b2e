"""Planning whom an emergency alerts, and how they learn that it is over."""

from __future__ import annotations

from datetime import datetime

from temporalio import activity

from activities.access import Access
from activities.ports.delivery import DeliveryConnector
from activities.ports.manifest import Capability
from activities.storage.escalation_policies import EscalationPolicyStore
from activities.storage.ledger import EffectLedger, LedgerEntry
from activities.transform import emergency_words as words
from activities.transform.escalation import Selection, chain_of, channel_of, select
from contracts.effects import Correction, Delivery, EffectStep, Rendered, StandingEffect, TargetPlan
from contracts.emergency import (
    AlertedTarget,
    ClosingPlan,
    EmergencyAlert,
    EscalationPlan,
    PlanClosing,
    PlanEscalation,
)
from contracts.errors import ErrorKind, InvalidInput, Transient, WedSyncError
from contracts.names import effect_id
from contracts.notification import DeliveryStatus, SourceNotification, TargetSystem

_VOICE_SETTING = "channel"
"""The setting by which a system of numbers is told to call; without it, it writes."""


class Emergency:
    """The verbs of emergencies.

    Args:
        access: opens the connectors.
        ledger: knows what stands.
        policies: the saved ones.
    """

    def __init__(self, access: Access, ledger: EffectLedger, policies: EscalationPolicyStore) -> None:
        self._access = access
        self._ledger = ledger
        self._policies = policies

    @activity.defn(name="emergency.plan")
    async def plan(self, request: PlanEscalation) -> EscalationPlan:
        """Decide whom to alert now, with the calls that do it; preferences and quiet hours are not asked.

        Idempotent: yes, it changes nothing.

        Raises:
            InvalidInput: the policy or the level is not there.
            Transient: nobody at all can be planned for, and that may pass.
        """
        chosen = await self._selection(request)
        names = [one.system_id for one in chosen.targets]
        for name in tuple(names):
            names += [substitute for substitute in chain_of(name, chosen.known) if substitute not in names]
        known = [await self._alerted(request, chosen, name) for name in dict.fromkeys(names)]
        failed = [one.plan.error for one in known if one.plan.error is not None]
        if len(failed) == len(known) and any(one.kind is ErrorKind.TRANSIENT for one in failed):
            raise Transient("nobody_plannable", "No target of the level can be planned for at this moment.")
        return EscalationPlan(
            level=chosen.level,
            ack_within=chosen.ack_within,
            last=chosen.last,
            repeat_every=chosen.repeat_every,
            targets=list(dict.fromkeys(one.system_id for one in chosen.targets)),
            known=known,
        )

    async def _selection(self, request: PlanEscalation) -> Selection:
        alert = request.alert
        policy = await self._policies.get(alert.organization_id, alert.policy_id) if alert.policy_id else None
        return select(alert, policy, request.level, request.occurred_at)

    async def _alerted(self, request: PlanEscalation, chosen: Selection, name: str) -> AlertedTarget:
        target = chosen.known[name]
        key = effect_id(request.alert.alert_id, f"repetition-{request.repetition}")
        notification = words.while_it_lasts(request.alert, request.repetition)
        delivery = _delivery(request.alert, key, notification, target, request.occurred_at)
        return AlertedTarget(
            plan=await self._planned(delivery),
            level=chosen.levels[name],
            channel=channel_of(target),
            failover=chain_of(name, chosen.known),
        )

    async def _planned(self, delivery: Delivery) -> TargetPlan:
        """Return the plan of one target; what hinders it hinders no other."""
        target = delivery.target
        try:
            steps = await self._steps(delivery)
        except WedSyncError as error:
            return TargetPlan(target=target, status=DeliveryStatus.FAILED, reason=error.detail.code, error=error.detail)
        return TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=steps)

    async def _steps(self, delivery: Delivery) -> list[EffectStep]:
        target = delivery.target
        connector = await self._access.connector(delivery.organization_id, target.integration_id, DeliveryConnector)
        if connector.manifest.system != target.system_type:
            raise InvalidInput(
                "platform_mismatch",
                f"The target {target.system_id!r} says {target.system_type}, "
                f"and its integration is {connector.manifest.system}.",
                action="Correct systemType or integrationId of the target.",
            )
        about = {"notification_id": delivery.notification.notification_id, "wedding_id": delivery.wedding_id}
        return [step.model_copy(update=about) for step in connector.plan(delivery)]

    @activity.defn(name="emergency.plan_closing")
    async def plan_closing(self, request: PlanClosing) -> ClosingPlan:
        """Decide how everybody who was alerted learns that it is over, from what the ledger says stands.

        Messages that can be corrected are corrected, calls that can be taken back are, and whoever cannot see a
        correction is told in writing.

        Idempotent: yes, it changes nothing.
        """
        alert = request.alert
        entries = await self._entries(alert)
        standing = [one.standing for one in entries if one.standing is not None and one.retracted_at is None]
        # An incident that is acknowledged before it is opened would stay open.
        pending = set() if request.last_look else {one.integration_id for one in entries if one.standing is None}
        corrections: list[Correction] = []
        notices: dict[str, EffectStep] = {}
        told: set[str] = set()
        for target in await self._alerted_targets(request):
            for step in await self._closing_steps(request, target, told):
                corrected = [effect for effect in standing if self._corrects(step, effect)]
                corrections += [Correction(effect=effect, step=step) for effect in corrected]
                if not corrected and step.integration_id not in pending:
                    notices.setdefault(step.effect_id, step)
        return ClosingPlan(
            corrections=corrections,
            retractions=[effect for effect in standing if self._still_calls(effect)],
            notices=list(notices.values()),
            in_flight=sum(one.standing is None for one in entries),
        )

    async def _entries(self, alert: EmergencyAlert) -> list[LedgerEntry]:
        found = await self._ledger.of_notification(alert.organization_id, alert.notification.notification_id)
        mine = activity.info().workflow_id
        return [one for one in found if one.workflow_id == mine]

    async def _alerted_targets(self, request: PlanClosing) -> list[TargetSystem]:
        asked = PlanEscalation(alert=request.alert, level=0, repetition=1, occurred_at=request.occurred_at)
        known = (await self._selection(asked)).known
        return [known[name] for name in dict.fromkeys(request.alerted) if name in known]

    async def _closing_steps(self, request: PlanClosing, target: TargetSystem, told: set[str]) -> list[EffectStep]:
        """Return the steps that tell one target, none when its people are told already or it cannot be planned for."""
        alert = request.alert
        written = self._in_writing(target)
        channel = channel_of(written)
        if channel in told:
            return []
        told.add(channel)
        notification = words.once_it_is_over(alert, request.state)
        aside = notification.model_copy(update={"notification_id": effect_id(alert.alert_id, "over")})
        key = effect_id(alert.alert_id, "over", request.state.outcome)
        plan = await self._planned(_delivery(alert, key, aside, written, request.occurred_at))
        return plan.steps

    def _in_writing(self, target: TargetSystem) -> TargetSystem:
        """Return the target that writes where this one calls: nobody is called to hear that they need not answer."""
        if not self._capable(target.system_type, Capability.MESSAGE):
            return target
        settings = {name: value for name, value in target.settings.items() if name != _VOICE_SETTING}
        return target.model_copy(update={"settings": settings})

    def _corrects(self, step: EffectStep, effect: StandingEffect) -> bool:
        """Return whether `step` may be written over `effect`: the same object's, of a kind that can be corrected."""
        mine = (step.integration_id, step.kind, step.object_id) == (
            effect.integration_id,
            effect.kind,
            effect.object_id,
        )
        return mine and effect.kind in self._access.manifest(effect.system).correctable

    def _still_calls(self, effect: StandingEffect) -> bool:
        return (
            self._capable(effect.system, Capability.CALL)
            and effect.kind in self._access.manifest(effect.system).reversible
        )

    def _capable(self, system: str, capability: Capability) -> bool:
        return capability in self._access.manifest(system).capabilities


def _delivery(
    alert: EmergencyAlert, key: str, notification: SourceNotification, target: TargetSystem, occurred_at: datetime
) -> Delivery:
    context = notification.wedding_context
    return Delivery(
        organization_id=alert.organization_id,
        business_key=key,
        notification=notification,
        target=target,
        rendered=Rendered(subject=notification.title),
        wedding_id=context.wedding_id if context else None,
        occurred_at=occurred_at,
    )
