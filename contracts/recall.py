"""Taking back what a wedding's systems and people were told, and the account of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, JsonObject, OpaqueId, ShortText, Text
from contracts.effects import EffectStep, StandingEffect
from contracts.errors import ErrorDetail
from contracts.integration import Platform


class RecallNotice(Contract):
    """The argument of the Update `recall` of `WeddingTimeline`."""

    recall_id: OpaqueId


class CorrectedWords(Contract):
    """What is to stand instead of what was sent; it is written wherever a system lets it be changed."""

    title: ShortText
    message: Text
    metadata: JsonObject = {}


class RecallOrder(Contract):
    """What a door is asked for; the same key joins the recall that runs."""

    recall_id: OpaqueId
    notification_id: OpaqueId | None = None
    """Only what this notification made; everything about the wedding, and all that is still to come, when absent."""
    correction: CorrectedWords | None = None
    """Set right what can be changed instead of taking it back; what cannot is taken back."""


class RecallRequest(RecallOrder):
    """Input of `RecallWedding`."""

    organization_id: OpaqueId
    wedding_id: OpaqueId


class RecallOutcome(StrEnum):
    """What became of one effect."""

    RETRACTED = "retracted"
    CORRECTED = "corrected"
    GONE_ALREADY = "gone_already"
    """It had been taken back before."""
    NOT_REVERSIBLE = "not_reversible"
    """It stands, and no system takes it back: a person has to."""
    FAILED = "failed"
    """It may stand: the system refused, or did not answer in time."""
    UNKNOWN = "unknown"
    """It was tried and its answer was lost, so that it may stand."""
    NEVER_APPLIED = "never_applied"
    """It was meant and did not come about."""


class RecallEntry(Contract):
    """One effect of the ledger, and what became of it."""

    effect_id: OpaqueId
    integration_id: OpaqueId
    system: Platform
    kind: ShortText
    remote_id: ShortText | None = None
    notification_id: OpaqueId | None = None
    outcome: RecallOutcome
    action: Text = ""
    """What a person does next; empty where nothing is left to do."""
    error: ErrorDetail | None = None


class RecallReport(Contract):
    """The result of `RecallWedding`: every effect of the ledger exactly once."""

    recall_id: OpaqueId
    wedding_id: OpaqueId
    status: ShortText = "running"
    """running, complete (nothing is left for a person), partial."""
    stopped_steps: int = Field(default=0, ge=0)
    """Steps of the timeline that will not be sent."""
    stopped_runs: Annotated[list[ShortText], Field(max_length=1_000)] = []
    """Workflow ids of deliveries that were under way."""
    found: int = Field(default=0, ge=0)
    """Effects in the ledger."""
    counts: Annotated[dict[RecallOutcome, int], Field(max_length=10)] = {}
    entries: Annotated[list[RecallEntry], Field(max_length=5_000)] = []
    finished_at: Instant | None = None


class StoppedDeliveries(Contract):
    """The answer of `recall.stop`."""

    stopped_steps: int = Field(default=0, ge=0)
    running: Annotated[list[ShortText], Field(max_length=1_000)] = []
    """Workflow ids of runs that were told to stop and have not ended yet."""


class AccountEntry(Contract):
    """An effect as the ledger has it."""

    effect_id: OpaqueId
    integration_id: OpaqueId
    system: Platform
    kind: ShortText
    notification_id: OpaqueId | None = None
    workflow_id: ShortText
    under_way: bool = False
    """Somebody is at it at this moment."""
    standing: StandingEffect | None = None
    retracted_at: Instant | None = None


class RecallAccount(Contract):
    """The answer of `recall.account`: everything the ledger has about a wedding, or about one notification."""

    entries: Annotated[list[AccountEntry], Field(max_length=5_000)] = []


class ReplanRequest(Contract):
    """Input of `recall.replan`: plan again what a run delivered, in its own words or in corrected ones."""

    organization_id: OpaqueId
    workflow_id: ShortText
    effect_ids: Annotated[list[OpaqueId], Field(max_length=5_000)]
    correction: CorrectedWords | None = None


class Replanned(Contract):
    """The answer of `recall.replan`: those of the effects that can be planned again."""

    steps: Annotated[list[EffectStep], Field(max_length=5_000)] = []
