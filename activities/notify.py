"""Planning deliveries and making their effects stand exactly once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import activity

from activities.access import Access
from activities.planning import Planner, Reach, decision_of
from activities.ports.delivery import CheckingConnector, DeliveryConnector
from activities.ports.manifest import Capability
from activities.remembering import once
from activities.standing import standing
from activities.storage.connections import ConnectionStore, StoredConnection, unknown_integration
from activities.storage.ledger import EffectLedger
from activities.transform import routing as decisions
from activities.transform.judging import Message
from activities.transform.pace import Word
from contracts.decisions import Stage, Verdict
from contracts.effects import (
    ActionRequest,
    Delivery,
    EffectOutcome,
    EffectStep,
    GiveBack,
    PlanRouting,
    RoutingPlan,
    TargetPlan,
)
from contracts.errors import InvalidInput, OutcomeUnknown, Transient, WedSyncError
from contracts.integration import IntegrationState
from contracts.notification import DeliveryStatus, TargetSystem
from contracts.wedding import Participant

LEASE = timedelta(minutes=2)
"""Longer than any attempt, so that a claim never lapses under a running call."""

_STATUS = {
    Verdict.SKIP: DeliveryStatus.SKIPPED,
    Verdict.HOLD: DeliveryStatus.HELD,
    Verdict.FAIL: DeliveryStatus.FAILED,
}


class Notify:
    """The verbs of delivery."""

    def __init__(self, access: Access, connections: ConnectionStore, ledger: EffectLedger, planner: Planner) -> None:
        self._access = access
        self._connections = connections
        self._ledger = ledger
        self._planner = planner

    @activity.defn(name="notify.plan")
    async def plan(self, request: PlanRouting) -> RoutingPlan:
        """Decide about every target of a routing and every recipient, as of now; one's trouble never touches another.

        Recipients who get the message now are counted for it. Idempotent: yes, once for a routing and target.
        """
        routing, again = request.routing, request.again
        targets = _asked(request)
        wishes = await self._planner.wishes(
            routing.organization_id, (address for target in targets for address in target.recipients)
        )
        voice, versions = await self._planner.voice(
            wishes, routing.source_notification.type, again.template_versions if again else {}
        )
        names = frozenset(target.integration_id for target in targets)
        found = await once(
            ("connections", routing.organization_id, names),
            lambda: self._connections.named(routing.organization_id, names),
        )
        drafts = [await self._draft(request, target, found.get(target.integration_id), voice) for target in targets]
        reaches = [draft for draft in drafts if isinstance(draft, Reach)]
        judged = iter(await self._planner.decided(reaches, wishes, request.occurred_at))
        return RoutingPlan(
            targets=[next(judged) if isinstance(draft, Reach) else draft for draft in drafts],
            template_versions=versions,
        )

    async def _draft(
        self, request: PlanRouting, target: TargetSystem, stored: StoredConnection | None, voice: decisions.Voice
    ) -> Reach | TargetPlan:
        """Return how a target would be reached, or the plan of one that is not, whoever its recipients are."""
        routing, now = request.routing, request.occurred_at
        standby = request.again is None and target.system_id in decisions.standbys(routing)
        try:
            reason = decisions.refusal(routing, target)
            if reason is not None:
                return _kept(target, Word(Stage.RULE, reason, Verdict.SKIP), now)
            if stored is None:
                raise unknown_integration(target.integration_id)
            if stored.state.refuses_work and stored.state is not IntegrationState.RECONNECT_REQUIRED:
                return _kept(target, Word(Stage.CONNECTION, f"integration_{stored.state.value}", Verdict.HOLD), now)
            delivery = Delivery(
                organization_id=routing.organization_id,
                business_key=routing.routing_id,
                notification=routing.source_notification,
                target=target,
                rendered=decisions.rendered(routing, target, voice),
                intent=target.intent,
                answers_to=routing.answers_to,
                occurred_at=now,
            )
            message = Message.of(
                routing.source_notification,
                request.again.began_at if request.again else now,
                released=request.again is not None and request.again.released,
            )
            said = [Word(Stage.RULE, "rules_hold" if routing.routing_rules else "no_rule", Verdict.ALLOW)]
            reach = await self._planner.reach(stored, delivery, message, said)
        except Transient:
            raise
        except WedSyncError as error:
            word = Word(Stage.CONNECTION, error.detail.code, Verdict.FAIL, detail=error.detail.message[:255])
            return _kept(target, word, now).model_copy(update={"error": error.detail})
        if standby:
            # People are judged when they are written to, which a standby may never do.
            steps = list(reach.steps.get("", []))
            return _kept(target, Word(Stage.FAILOVER, "standby", Verdict.SKIP), now).model_copy(update={"steps": steps})
        return reach

    @activity.defn(name="notify.give_back")
    async def give_back(self, request: GiveBack) -> None:
        """Uncount messages that reached nobody. Idempotent: yes."""
        await self._planner.give_back(request)

    @activity.defn(name="notify.plan_action")
    async def plan_action(self, request: ActionRequest) -> RoutingPlan:
        """Plan one due step of a wedding: e-mails to its participants, or a task in the organisation's CRM.

        Participants who get the message now are counted for it. Idempotent: yes, once for a step.

        Raises:
            InvalidInput: no connected integration can carry the step out, or nobody is there to write to.
        """
        wedding, step, now = request.wedding, request.step, request.occurred_at
        if step.action.type == "create_task":
            stored = await self._capable(wedding.organization_id, Capability.TASK, "keep tasks")
            wishes = await self._planner.wishes(wedding.organization_id)
            delivery = decisions.task_delivery(wedding, step, _target(stored), now)
            reach = await self._planner.reach(stored, delivery, decisions.step_message(wedding, step, delivery))
            return RoutingPlan(targets=await self._planner.decided([reach], wishes, now))
        if step.action.type != "send_email":
            raise InvalidInput(
                "action_unknown",
                f"There is no action named {step.action.type!r}.",
                action="Use send_email or create_task.",
            )
        stored = await self._capable(wedding.organization_id, Capability.EMAIL, "send e-mail")
        written = self._planner.waiting(
            wedding.organization_id, step, [one for one in wedding.participants if "email" in one.channels]
        )
        if not written:
            raise InvalidInput(
                "nobody_to_write_to",
                "No participant of the wedding has an e-mail address and the e-mail channel.",
                action="Add a participant with both.",
            )
        wishes = await self._planner.wishes(wedding.organization_id, (one.email or "" for one in written))
        voice, versions = await self._planner.voice(wishes, step.action.template or "", {})
        reaches = [await self._to_participant(request, stored, one, voice) for one in written]
        return RoutingPlan(targets=await self._planner.decided(reaches, wishes, now), template_versions=versions)

    async def _to_participant(
        self, request: ActionRequest, stored: StoredConnection, one: Participant, voice: decisions.Voice
    ) -> Reach:
        target = _target(stored, recipients=[one.email or ""])
        wedding, step = request.wedding, request.step
        delivery = decisions.mail_delivery(wedding, step, one, target, request.occurred_at, voice)
        reach = await self._planner.reach(stored, delivery, decisions.step_message(wedding, step, delivery))
        return replace(reach, time_zone=one.time_zone, quiet_hours=one.quiet_hours)

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


def _asked(request: PlanRouting) -> list[TargetSystem]:
    """Return the targets to plan: all of the routing's, or the one that is planned anew."""
    again = request.again
    if again is None:
        return request.routing.target_systems
    return [
        target.model_copy(update={"recipients": again.recipients or target.recipients})
        for target in request.routing.target_systems
        if target.system_id == again.system_id
    ]


def _kept(target: TargetSystem, word: Word, now: datetime) -> TargetPlan:
    """Return the plan of a target that nothing is sent to now, for one reason."""
    return TargetPlan(
        target=target,
        status=_STATUS[word.verdict],
        reason=word.code,
        decisions=[decision_of(word, target.system_id, now)],
    )


def _target(stored: StoredConnection, recipients: list[str] | None = None) -> TargetSystem:
    configuration = stored.configuration
    return TargetSystem(
        system_id=configuration.integration_id,
        system_type=configuration.platform,
        integration_id=configuration.integration_id,
        recipients=recipients or [],
    )
