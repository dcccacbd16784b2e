"""A run of automations: its messages, what it keeps of every step, its result, and what its verbs take."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.automation import WorkflowOrchestration
from contracts.base import Contract, Instant, JsonObject, OpaqueId, ShortText
from contracts.effects import StandingEffect
from contracts.errors import ErrorDetail
from contracts.notification import WeddingContext


class StepAnswer(Contract):
    """A person's answer to a step that waits for approval."""

    step_id: OpaqueId
    answer: Annotated[str, StringConstraints(pattern=r"^(approve|reject)$")]
    actor_id: OpaqueId
    """Who answers: one of the step's `approvalBy`."""
    event_id: OpaqueId | None = None
    """Makes a repeat harmless; a fresh one when absent."""


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


class StepOutcome(StrEnum):
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
    status: StepOutcome = StepOutcome.PENDING
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
