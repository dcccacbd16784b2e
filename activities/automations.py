"""The verbs of automations: what a run asks of the store, of the ledger and of conditions."""

from __future__ import annotations

from pydantic import ValidationError
from temporalio import activity

from activities.boundary import invalid_input
from activities.connectors.registry import connector_class
from activities.storage.automations import AutomationStore
from activities.storage.connections import ConnectionStore
from activities.storage.ledger import EffectLedger
from activities.transform import instants, rules
from activities.transform.automation_actions import compose
from activities.transform.automation_check import Available, Surroundings, problems
from activities.transform.automation_match import matches
from contracts.automation import AutomationPlan, WorkflowOrchestration
from contracts.automation_check import AutomationCheck
from contracts.automation_steps import (
    ActionAccount,
    AutomationRunKey,
    ComposeAction,
    FindInstant,
    FoundInstant,
    Judge,
    Judgement,
    NotificationKey,
    TriggerEvent,
    Triggering,
)
from contracts.errors import InvalidInput
from contracts.integration import IntegrationState
from contracts.notification import CrossSystemRouting
from contracts.wedding import Anchor, Participant, Wedding

_SHOWN = 5


class Automations:
    """The verbs."""

    def __init__(self, connections: ConnectionStore, ledger: EffectLedger, store: AutomationStore) -> None:
        self._connections = connections
        self._ledger = ledger
        self._store = store

    @activity.defn(name="automations.begin")
    async def begin(self, asked: WorkflowOrchestration) -> None:
        """Refuse an automation that cannot be carried out, else remember its run.

        Idempotent: yes, by the run's id.

        Raises:
            InvalidInput: `automation_invalid`; the evidence names every place.
        """
        found = await check(self._connections, asked.organization_id, asked, asked.participants)
        if found.problems:
            raise refused(found)
        await self._store.register(_key(asked), asked.wedding_id)

    @activity.defn(name="automations.compose")
    async def compose(self, request: ComposeAction) -> CrossSystemRouting:
        """Return the routing that carries an action out.

        Idempotent: yes, it changes nothing.

        Raises:
            InvalidInput: no system can carry it out, nobody is there to write to, or its words cannot be filled in.
        """
        return compose(request, await available(self._connections, request.organization_id))

    @activity.defn(name="automations.judge")
    async def judge(self, request: Judge) -> Judgement:
        """Say whether all conditions hold.

        Idempotent: yes, it changes nothing.

        Raises:
            InvalidInput: a condition reads what is not there, or yields no boolean.
        """
        return Judgement(holds=all(rules.holds(one, request.facts, name=request.name) for one in request.conditions))

    @activity.defn(name="automations.instant")
    async def instant(self, request: FindInstant) -> FoundInstant:
        """Return when an anchor comes.

        Idempotent: yes, it changes nothing.

        Raises:
            InvalidInput: the wedding's time zone is not known.
        """
        context, anchored = request.wedding, request.anchor
        if context is None or (anchored.anchor == Anchor.CEREMONY_TIME and context.wedding_time is None):
            return FoundInstant()
        try:
            wedding = Wedding(
                organization_id="any",
                wedding_id=context.wedding_id,
                wedding_date=context.wedding_date,
                ceremony_time=context.wedding_time,
                time_zone=context.time_zone,
            )
        except ValidationError as error:
            raise invalid_input(error) from error
        return FoundInstant(instant=instants.local_instant(wedding, anchored.offset, anchored.at))

    @activity.defn(name="automations.account")
    async def account(self, key: NotificationKey) -> ActionAccount:
        """Return what the ledger knows of an action.

        Idempotent: yes, it changes nothing.
        """
        entries = await self._ledger.of_notification(key.organization_id, key.notification_id)
        return ActionAccount(
            effects=[one.standing for one in entries if one.standing is not None and one.retracted_at is None],
            attempts=max((one.attempts for one in entries), default=0),
            first_attempt_at=min((one.intended_at for one in entries), default=None),
        )

    @activity.defn(name="automations.ended")
    async def ended(self, key: AutomationRunKey) -> None:
        """Forget a run.

        Idempotent: yes.
        """
        await self._store.ended(key)

    @activity.defn(name="automations.match")
    async def match(self, event: TriggerEvent) -> Triggering:
        """Return the runs that an event starts, and those under way that it concerns.

        Idempotent: yes; the runs it starts are remembered under ids that the event decides.
        """
        told = await self._store.runs(event.organization_id, event.wedding_id)
        starts = matches(await self._store.newest(event.organization_id), event)
        for asked in starts:
            await self._store.register(_key(asked), asked.wedding_id)
        fresh = {asked.orchestration_id for asked in starts}
        return Triggering(starts=starts, tell=[key for key in told if key.orchestration_id not in fresh])


async def check(
    connections: ConnectionStore, organization_id: str, plan: AutomationPlan, participants: list[Participant] | None
) -> AutomationCheck:
    """Return every reason why a plan is refused; without participants, those that do not depend on a wedding."""
    around = Surroundings(await available(connections, organization_id), participants)
    return AutomationCheck(problems=problems(plan, around))


async def available(connections: ConnectionStore, organization_id: str) -> list[Available]:
    """Return the connected integrations, those that are at work first."""
    stored = await connections.of_organization(organization_id)
    kept = [one for one in stored if one.state is not IntegrationState.DISCONNECTED]
    kept.sort(key=lambda one: one.state.refuses_work)
    return [
        Available(one.configuration.integration_id, manifest.system, manifest.family, manifest.capabilities)
        for one in kept
        for manifest in [connector_class(one.configuration.platform).manifest]
    ]


def refused(check: AutomationCheck) -> InvalidInput:
    """Return the error of an automation with problems."""
    shown = [f"{one.place}: {one.message}" for one in check.problems[:_SHOWN]]
    more = len(check.problems) - len(shown)
    return InvalidInput(
        "automation_invalid",
        f"The automation cannot be carried out. {' '.join(shown)}{f' And {more} more.' if more else ''}"[:4_000],
        action="Correct the named places; `wedsync automations check FILE` shows them all.",
        evidence={"problems": [f"{one.place}: {one.code}" for one in check.problems[:100]]},
    )


def _key(asked: WorkflowOrchestration) -> AutomationRunKey:
    return AutomationRunKey(organization_id=asked.organization_id, orchestration_id=asked.orchestration_id)
