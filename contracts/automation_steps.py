"""What the verbs of automations take and answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from contracts.automation import AnchoredInstant, SystemAction, WorkflowOrchestration
from contracts.automation_run import AutomationEvent, WeddingNews
from contracts.base import Contract, Instant, JsonObject, OpaqueId, ShortText, Text
from contracts.effects import StandingEffect
from contracts.notification import WeddingContext
from contracts.sync import SyncPriority
from contracts.wedding import Participant


class ComposeAction(Contract):
    """Input of `automations.compose`: one action, and what its words and its system are chosen from."""

    organization_id: OpaqueId
    action: SystemAction
    routing_id: OpaqueId
    """The same id means the same effects."""
    wedding: WeddingContext | None = None
    participants: Annotated[list[Participant], Field(max_length=100)] = []
    priority: SyncPriority = SyncPriority.NORMAL
    facts: JsonObject
    asks: bool = False
    """Whether buttons to approve and to reject are added."""
    answers_to: ShortText
    """The workflow that takes the answers."""


class NotificationKey(Contract):
    """Names a notification of an organisation."""

    organization_id: OpaqueId
    notification_id: OpaqueId


class ActionAccount(Contract):
    """What the ledger knows of an action."""

    effects: Annotated[list[StandingEffect], Field(max_length=500)] = []
    """Those that stand."""
    attempts: int = Field(default=0, ge=0)
    first_attempt_at: Instant | None = None


class Judge(Contract):
    """Input of `automations.judge`."""

    conditions: Annotated[list[Text], Field(max_length=20)]
    facts: JsonObject
    name: ShortText


class Judgement(Contract):
    """Whether all conditions hold."""

    holds: bool


class FindInstant(Contract):
    """Input of `automations.instant`."""

    anchor: AnchoredInstant
    wedding: WeddingContext | None = None


class FoundInstant(Contract):
    """When the anchor comes; None while the wedding has no date."""

    instant: Instant | None = None


class AutomationRunKey(Contract):
    """Names a run."""

    organization_id: OpaqueId
    orchestration_id: OpaqueId


class TriggerEvent(Contract):
    """What may start saved automations: input of `TriggerAutomations`."""

    organization_id: OpaqueId
    event_id: OpaqueId
    """The same event told twice starts everything once."""
    wedding_id: OpaqueId | None = None
    properties: Annotated[dict[str, ShortText], Field(max_length=50)] = {}
    """The wedding's properties that changed, by wire name, with their new values."""
    name: ShortText = ""
    """The event's name, when it is an event."""
    data: JsonObject = {}
    news: WeddingNews | None = None
    participants: Annotated[list[Participant], Field(max_length=100)] = []


class Triggering(Contract):
    """What an event starts, and which runs it concerns."""

    starts: Annotated[list[WorkflowOrchestration], Field(max_length=200)] = []
    tell: Annotated[list[AutomationRunKey], Field(max_length=2_000)] = []


class StartAutomation(Contract):
    """Input of `automations.start`."""

    asked: WorkflowOrchestration
    execution_timeout: timedelta
    priority_key: int = Field(ge=1, le=5)


class StartedAutomation(Contract):
    """Whether the run was not there before."""

    fresh: bool


class TellAutomation(Contract):
    """Input of `automations.tell`."""

    key: AutomationRunKey
    news: WeddingNews | None = None
    event: AutomationEvent | None = None


class ToldAutomation(Contract):
    """Whether the run was there to be told."""

    there: bool


class TriggerResult(Contract):
    """What an event started, and whom it was told."""

    event_id: OpaqueId
    started: Annotated[list[OpaqueId], Field(max_length=200)] = []
    told: int = Field(default=0, ge=0)
