"""Automations across systems as they are written down: chains, conditions, actions in parallel, messages (WS-334)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, JsonObject, OpaqueId, ShortText, Text
from contracts.facts import LocalTime
from contracts.integration import Platform
from contracts.notification import CRMContact, WeddingContext
from contracts.sync import SyncPriority
from contracts.wedding import LONGEST_OFFSET, Anchor, Participant

_LONGEST_DELAY_MS = 315_360_000_000
MOST_RUNS = 1_000
"""The largest limit of a step in a loop."""
RETRACT, KEEP = "retract", "keep"
"""The words of `SystemAction.compensation` that name no action."""


class OnFailure(StrEnum):
    """What a failed action does to the automation."""

    CONTINUE = "continue"
    STOP = "stop"
    COMPENSATE = "compensate"


class OnCancel(StrEnum):
    """What happens to the effects that stand when an automation is cancelled."""

    KEEP = "keep"
    COMPENSATE = "compensate"


class TriggerKind(StrEnum):
    """What starts a saved automation; `manual` is started by name only."""

    MANUAL = "manual"
    PROPERTY_CHANGE = "property_change"
    EVENT = "event"
    ANCHOR = "anchor"


class ActionKind(StrEnum):
    """What an action does; the system that does it is chosen by capability unless the action names one."""

    SEND_EMAIL = "send_email"
    SEND_MESSAGE = "send_message"
    CREATE_TASK = "create_task"
    CHANGE_STATUS = "change_status"
    CREATE_EVENT = "create_event"


class ActionParameters(Contract):
    """The parameters actions know; texts are Jinja2 over `wedding`, `trigger`, `events` and `steps`."""

    template: OpaqueId | None = None
    """A template of the library, in place of title and message."""
    title: ShortText = ""
    message: Text = ""
    recipients: Annotated[list[OpaqueId], Field(max_length=20)] = ["couple"]
    """Participants or roles that e-mails and messages go to."""
    channel_id: OpaqueId | None = None
    """The channel of a chat that a message goes to, in place of recipients."""
    task_type: ShortText = "task"
    contacts: Annotated[list[CRMContact], Field(max_length=20)] = []
    metadata: JsonObject = {}
    """Facts for the system, such as `newStatus`; see `NotificationMetadata`."""
    settings: JsonObject = {}
    """The target's own settings, such as the project of a task."""


class SystemAction(Contract):
    """One action at one system; `delay` is in milliseconds after the step before it."""

    action_id: OpaqueId
    type: ShortText
    """One of `ActionKind`."""
    system_type: Platform | None = None
    integration_id: OpaqueId | None = None
    """Where the action is carried out; the first connected integration that can, when absent."""
    parameters: JsonObject = {}
    """See `ActionParameters`."""
    delay: int = Field(default=0, ge=0, le=_LONGEST_DELAY_MS)
    on_failure: OnFailure | None = None
    """In place of that of the actions it is carried out with."""
    compensation: ShortText = RETRACT
    """`retract` takes the effects back, `keep` leaves them, any other word names one of the chain's `compensations`."""


class MultiSystemAction(Contract):
    """Actions that are carried out side by side."""

    coordination_id: OpaqueId
    actions: Annotated[list[SystemAction], Field(min_length=1, max_length=50)]
    on_failure: OnFailure = OnFailure.STOP


class WorkflowCondition(Contract):
    """A branch: the step that follows when `condition` (CEL over the trigger's data) holds, and the one otherwise."""

    condition_id: OpaqueId
    condition: Text
    then_step: OpaqueId
    else_step: OpaqueId | None = None


class AnchoredInstant(Contract):
    """An instant that belongs to the wedding and moves with it, counted as `activities.transform.instants` says."""

    anchor: ShortText = Anchor.WEDDING_DATE.value
    """`wedding_date` or `ceremony_time`."""
    offset: timedelta = Field(default=timedelta(), ge=-LONGEST_OFFSET, le=LONGEST_OFFSET)
    at: LocalTime | None = None
    """The clock at the venue on the day that `offset` leads to."""
    send_when_past: bool = False
    """Whether what waits is carried out although its instant was past when the wait began."""


class StepWait(Contract):
    """What a step waits for before it acts: one of time, an instant, an anchor, an event."""

    duration: timedelta | None = None
    until: Instant | None = None
    anchor: AnchoredInstant | None = None
    event: ShortText = ""
    timeout: timedelta | None = None
    """How long an event is waited for."""
    timeout_step: OpaqueId | None = None
    """Where the chain goes on when the event did not come; the step itself when absent."""


class OnDeadline(StrEnum):
    """What nobody's answer means."""

    REJECT = "reject"
    APPROVE = "approve"


class Approval(Contract):
    """How the approval of a step is asked for, and what follows from no answer and from a no."""

    deadline: timedelta = timedelta(days=7)
    on_deadline: OnDeadline = OnDeadline.REJECT
    rejected_step: OpaqueId | None = None
    """Where the chain goes on after a no; it ends when absent."""
    on_rejection: OnFailure = OnFailure.STOP
    """`compensate` takes back what the chain has done, when a no ends it."""
    ask: SystemAction | None = None
    """The message that asks; buttons for both answers are added to it."""


class WorkflowStep(Contract):
    """One step of a chain, in this order: approval, wait, conditions, actions side by side, branch."""

    step_id: OpaqueId
    actions: MultiSystemAction | None = None
    branch: WorkflowCondition | None = None
    next_step: OpaqueId | None = None
    approval_by: Annotated[list[OpaqueId], Field(max_length=20)] = []
    """Of whom one must approve before the step runs, as participant or as the answering system knows them."""
    approval: Approval = Approval()
    wait: StepWait | None = None
    conditions: Annotated[list[Text], Field(max_length=20)] = []
    """CEL; the step is passed over unless all hold when it is due."""
    limit: int | None = Field(default=None, ge=1, le=MOST_RUNS)
    """How often the step runs at most; every loop needs a step with a limit."""


class Triggered(Contract):
    """What starts a chain or a sequence."""

    trigger: ShortText = TriggerKind.MANUAL
    """One of `TriggerKind`; in a run, all but an anchor have been met already."""
    trigger_property: ShortText = ""
    """Of `property_change`: the wedding's property, such as `bookingStatus`."""
    trigger_value: ShortText = ""
    """Of `property_change`: its new value; of `event`: the event's name."""
    anchor: AnchoredInstant | None = None
    condition: Text = "true"
    """CEL over the trigger's data; the chain does not run unless it holds."""
    on_cancel: OnCancel = OnCancel.KEEP


class WorkflowChain(Triggered):
    """Steps that follow one another, beginning with the first."""

    chain_id: OpaqueId
    name: ShortText
    trigger: ShortText
    steps: Annotated[list[WorkflowStep], Field(min_length=1, max_length=100)]
    compensations: Annotated[list[SystemAction], Field(max_length=50)] = []
    """Actions that are only carried out to make up for others."""


class SequenceMessage(Contract):
    """One message of a sequence; `delay` is in milliseconds after the one before it."""

    message: Text
    title: ShortText = ""
    delay: int = Field(default=0, ge=0, le=_LONGEST_DELAY_MS)
    conditions: Annotated[list[Text], Field(max_length=20)] = []
    """CEL; all must hold when the message is due, otherwise the sequence ends."""


class MessageSequence(Triggered):
    """Messages to one channel, one after the other, until the recipient answers."""

    sequence_id: OpaqueId
    name: ShortText
    trigger: ShortText
    target_channel: OpaqueId
    """A participant or role, who is written to by e-mail, or the id of a chat's channel."""
    system_type: Platform | None = None
    integration_id: OpaqueId | None = None
    messages: Annotated[list[SequenceMessage], Field(min_length=1, max_length=100)]

    def as_chain(self, participants: Sequence[Participant]) -> WorkflowChain:
        """Return the chain that sends the messages, a step for each; the conditions of a step end it."""
        last = len(self.messages) - 1
        return WorkflowChain(
            **{name: getattr(self, name) for name in Triggered.model_fields},
            chain_id=self.sequence_id,
            name=self.name,
            steps=[
                WorkflowStep(
                    step_id=f"message-{number}",
                    wait=StepWait(duration=timedelta(milliseconds=message.delay)) if message.delay else None,
                    conditions=message.conditions,
                    actions=self._sending(message, participants),
                    next_step=f"message-{number + 1}" if number < last else None,
                )
                for number, message in enumerate(self.messages)
            ],
        )

    def _sending(self, message: SequenceMessage, participants: Sequence[Participant]) -> MultiSystemAction:
        written = any(self.target_channel in {one.participant_id, one.role} for one in participants)
        to: JsonObject = {"recipients": [self.target_channel]} if written else {"channelId": self.target_channel}
        action = SystemAction(
            action_id="send",
            type=ActionKind.SEND_EMAIL if written else ActionKind.SEND_MESSAGE,
            system_type=self.system_type,
            integration_id=self.integration_id,
            parameters={"title": message.title or self.name, "message": message.message, **to},
        )
        return MultiSystemAction(coordination_id="send", actions=[action])


class AutomationPlan(Contract):
    """Chains and sequences that run side by side."""

    chains: Annotated[list[WorkflowChain], Field(max_length=50)] = []
    sequences: Annotated[list[MessageSequence], Field(max_length=50)] = []
    priority: SyncPriority = SyncPriority.NORMAL


class WorkflowOrchestration(AutomationPlan):
    """What a run of automations is started with; it keeps this definition to its end."""

    orchestration_id: OpaqueId
    organization_id: OpaqueId
    wedding_id: OpaqueId | None = None
    wedding: WeddingContext | None = None
    participants: Annotated[list[Participant], Field(max_length=100)] = []
    trigger_data: JsonObject = {}
    definition_id: OpaqueId | None = None
    """The saved definition this is a run of."""
    definition_version: int = 0


class AutomationDefinition(AutomationPlan):
    """A saved automation of an organisation; every change is a new version."""

    definition_id: OpaqueId
    organization_id: OpaqueId
    name: ShortText
    enabled: bool = True
    version: int = Field(default=0, ge=0)
    """Given when it is saved."""
