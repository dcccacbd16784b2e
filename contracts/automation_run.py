"""A run of automations: its messages, what it keeps of every step, its result, and what its verbs take."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.automation import Anchor, SystemAction, WorkflowOrchestration
from contracts.base import Contract, Instant, JsonObject, OpaqueId, ShortText, Text
from contracts.effects import StandingEffect
from contracts.errors import ErrorDetail
from contracts.notification import WeddingContext
from contracts.sync import SyncPriority
from contracts.wedding import Participant


class AutomationEvent(Contract):
    """Something that happened; runs that wait for an event of this name go on."""

    event_id: OpaqueId
    name: ShortText
    data: JsonObject = {}


class ArrivedEvent(Contract):
    """An event that a run was told."""

    data: JsonObject = {}
    arrived_at: Instant


class WeddingNews(Contract):
    """The facts of a wedding after they changed; anchors move with them."""

    wedding: WeddingContext
    status: ShortText = ""
    """A `cancelled` wedding cancels the run."""


class ActionStatus(StrEnum):
    """What became of one action."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Undone(StrEnum):
    """What became of an action's effects when it was compensated."""

    RETRACTED = "retracted"
    NOT_REVERSIBLE = "not_reversible"
    MADE_UP_FOR = "made_up_for"
    """The named compensation was carried out."""
    KEPT = "kept"
    FAILED = "failed"


class ActionRecord(Contract):
    """One time that an action was carried out."""

    action_id: OpaqueId
    run: int = Field(default=1, ge=1)
    """Which run of its step it belongs to."""
    status: ActionStatus
    reason: ShortText = ""
    """Reason code of whatever is not done."""
    integration_id: OpaqueId | None = None
    notification_id: OpaqueId
    """That of its notification and of its routing."""
    started_at: Instant
    finished_at: Instant
    attempts: int = Field(default=0, ge=0)
    queued_ms: int = Field(default=0, ge=0)
    """How long the first attempt was waited for: a worker, the vendor's limit, the recipient's hours."""
    effects: Annotated[list[StandingEffect], Field(max_length=500)] = []
    undone: Undone | None = None
    error: ErrorDetail | None = None


class StepStatus(StrEnum):
    """What became of one step."""

    PENDING = "pending"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class WaitedFor(StrEnum):
    """What a step's time went to besides its actions."""

    PEOPLE = "people"
    TIMER = "timer"
    EVENT = "event"


class StepRecord(Contract):
    """One step, whether it ran or not; times add up over the runs of a loop."""

    step_id: OpaqueId
    status: StepStatus = StepStatus.PENDING
    reason: ShortText = ""
    runs: int = Field(default=0, ge=0)
    started_at: Instant | None = None
    finished_at: Instant | None = None
    last_run_at: Instant | None = None
    """When the run before this one of a loop ended."""
    answered_by: OpaqueId | None = None
    """Who approved or rejected."""
    waited_ms: dict[WaitedFor, int] = {}
    actions: Annotated[list[ActionRecord], Field(max_length=1_000)] = []


class Phase(StrEnum):
    """How far the present step of a chain is."""

    ENTER = "enter"
    APPROVAL = "approval"
    WAIT = "wait"
    ACT = "act"


class TrackStatus(StrEnum):
    """What became of one chain or sequence."""

    RUNNING = "running"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    REJECTED = "rejected"
    COMPENSATED = "compensated"
    CANCELLED = "cancelled"


class TrackState(Contract):
    """Where a chain or sequence stands: enough to go on from in another run."""

    track_id: OpaqueId
    status: TrackStatus = TrackStatus.RUNNING
    position: OpaqueId | None = None
    """The present step; None before the trigger's anchor has come."""
    phase: Phase = Phase.ENTER
    since: Instant | None = None
    """When the present phase began."""
    approved: bool | None = None
    """The answer to the present approval."""
    answered: bool = False
    """Whether a recipient answered one of its messages."""
    finished_at: Instant | None = None
    steps: Annotated[list[StepRecord], Field(max_length=101)] = []


class AutomationState(Contract):
    """What survives continue-as-new, and what the query `state` shows."""

    tracks: Annotated[list[TrackState], Field(max_length=100)] = []
    wedding: WeddingContext | None = None
    events: Annotated[dict[str, ArrivedEvent], Field(max_length=200)] = {}
    """By event name, the newest of each."""
    seen: Annotated[list[OpaqueId], Field(max_length=500)] = []
    started_at: Instant | None = None
    cancelled: ShortText = ""
    """Why the run was cancelled."""


class AutomationRun(WorkflowOrchestration):
    """Input of `RunAutomation`: an orchestration is enough; one argument, because Temporal types them by count."""

    resumed: AutomationState | None = None
    """What the run before this one ended with; clients leave it out."""


class WorkflowFailure(Contract):
    """A step that failed, and what was done about it."""

    step_id: OpaqueId
    error: ErrorDetail
    recovered_by: ShortText | None = None


class ChainResult(Contract):
    """What became of one chain or sequence, step by step."""

    workflow_id: OpaqueId
    """The chain's or sequence's id."""
    status: TrackStatus
    finished_at: Instant | None = None
    failures: Annotated[list[WorkflowFailure], Field(max_length=1_000)] = []
    steps: Annotated[list[StepRecord], Field(max_length=101)] = []


class RunStatus(StrEnum):
    """The honest sum of the chains."""

    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL_FAILURE = "partial_failure"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WorkflowResult(Contract):
    """What became of all chains and sequences of a run."""

    orchestration_id: OpaqueId
    status: RunStatus
    total_workflows: int = Field(ge=0)
    triggered_successfully: int = Field(ge=0)
    failed: int = Field(ge=0)
    results: Annotated[list[ChainResult], Field(max_length=100)] = []
    started_at: Instant | None = None
    finished_at: Instant | None = None
    reason: ShortText = ""
    """Why it was cancelled."""


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

    anchor: Anchor
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
