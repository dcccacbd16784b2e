"""Taking back what a wedding's systems and people were told, and the account of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, JsonObject, OpaqueId, ShortText, Text
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


class RecallRequest(Contract):
    """Input of `RecallWedding`; the same key joins the recall that runs."""

    organization_id: OpaqueId
    wedding_id: OpaqueId
    recall_id: OpaqueId
    notification_id: OpaqueId | None = None
    """Only what this notification made; everything about the wedding, and all that is still to come, when absent."""
    correction: CorrectedWords | None = None
    """Set right what can be changed instead of taking it back; what cannot is taken back."""


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
