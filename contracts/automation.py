"""Automations across systems: chains, conditions, actions in parallel, message sequences (WS-334)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, JsonObject, OpaqueId, ShortText, Text
from contracts.errors import ErrorDetail
from contracts.integration import Platform

_LONGEST_DELAY_MS = 315_360_000_000


class OnFailure(StrEnum):
    """What a failed action does to the automation."""

    CONTINUE = "continue"
    STOP = "stop"
    COMPENSATE = "compensate"


class SystemAction(Contract):
    """One action at one system; `delay` is in milliseconds after the step before it."""

    action_id: OpaqueId
    type: ShortText
    system_type: Platform
    integration_id: OpaqueId
    parameters: JsonObject = {}
    delay: int = Field(default=0, ge=0, le=_LONGEST_DELAY_MS)
    compensation: ShortText | None = None
    """The action that takes this one back."""


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


class WorkflowStep(Contract):
    """One step of a chain: actions side by side, a branch, or both."""

    step_id: OpaqueId
    actions: MultiSystemAction | None = None
    branch: WorkflowCondition | None = None
    next_step: OpaqueId | None = None
    approval_by: Annotated[list[OpaqueId], Field(max_length=20)] = []
    """Participants of whom one must approve before the step runs; nobody when empty."""


class WorkflowChain(Contract):
    """Steps that follow one another, beginning with the first."""

    chain_id: OpaqueId
    name: ShortText
    trigger: ShortText
    trigger_property: ShortText = ""
    trigger_value: ShortText = ""
    steps: Annotated[list[WorkflowStep], Field(min_length=1, max_length=100)]


class SequenceMessage(Contract):
    """One message of a sequence; `delay` is in milliseconds after the one before it."""

    message: Text
    delay: int = Field(default=0, ge=0, le=_LONGEST_DELAY_MS)
    conditions: Annotated[list[Text], Field(max_length=20)] = []
    """CEL; all must hold when the message is due."""


class MessageSequence(Contract):
    """Messages to one channel, one after the other."""

    sequence_id: OpaqueId
    name: ShortText
    trigger: ShortText
    target_channel: OpaqueId
    messages: Annotated[list[SequenceMessage], Field(min_length=1, max_length=100)]


class WorkflowOrchestration(Contract):
    """What a run of automations is started with."""

    orchestration_id: OpaqueId
    organization_id: OpaqueId
    wedding_id: OpaqueId | None = None
    chains: Annotated[list[WorkflowChain], Field(max_length=50)] = []
    sequences: Annotated[list[MessageSequence], Field(max_length=50)] = []
    trigger_data: JsonObject = {}


class WorkflowFailure(Contract):
    """A step that failed, and what was done about it."""

    step_id: OpaqueId
    error: ErrorDetail
    recovered_by: ShortText | None = None


class ChainResult(Contract):
    """What became of one chain or sequence."""

    workflow_id: OpaqueId
    status: ShortText
    """triggered, completed, failed, cancelled."""
    finished_at: Instant | None = None
    failures: Annotated[list[WorkflowFailure], Field(max_length=100)] = []


class WorkflowResult(Contract):
    """What became of all chains and sequences of a run."""

    total_workflows: int = Field(ge=0)
    triggered_successfully: int = Field(ge=0)
    failed: int = Field(ge=0)
    results: Annotated[list[ChainResult], Field(max_length=100)] = []
