"""Records that a sync could not bring to their target, kept until they stand there or are gone from the report."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId, ShortText, Text
from contracts.integration import Side
from contracts.sync import ConflictResolutionStrategy, RecordStatus

MOST_LISTED = 1_000


class DeadLetter(Contract):
    """One record that was rejected or held, and why; its content stays sealed in the store."""

    letter_id: OpaqueId
    integration_id: OpaqueId
    object_type: ShortText
    report_id: OpaqueId
    record_id: ShortText
    """The record's opaque id, or its place in the report where it has none."""
    status: RecordStatus
    reason: Text
    attempts: int = Field(ge=1)
    run_id: OpaqueId
    """The run that tried last."""
    first_at: Instant
    last_at: Instant
    due_at: Instant | None = None
    """From when on the next sync of the report takes it along; absent where only a command, or the source, helps."""
    asks: bool = False
    """Whether both sides changed the record, and somebody has to decide which wins."""
    decision: Side | None = None
    decided_by: OpaqueId | None = None
    conflict_resolution: ConflictResolutionStrategy = ConflictResolutionStrategy.SOURCE_WINS
    """By which it is tried again."""
    final: bool = False
    """Whether only the source can mend it: a second record under one id, or a line that cannot be read."""


class DeadLetterList(Contract):
    """Dead letters, those that were tried last first, and how many there are in all."""

    letters: Annotated[list[DeadLetter], Field(max_length=MOST_LISTED)] = []
    total: int = Field(default=0, ge=0)


class RetryDeadLetters(Contract):
    """Try dead letters again now: those named, or all of an integration, or all there are."""

    organization_id: OpaqueId
    integration_id: OpaqueId | None = None
    letter_ids: Annotated[list[OpaqueId], Field(max_length=MOST_LISTED)] = []


class LetterDecision(Contract):
    """Which side of a record that both changed stands; it holds for what the target held when it was asked."""

    organization_id: OpaqueId
    winner: Side
    decided_by: OpaqueId


class RetriedDeadLetters(Contract):
    """How many letters are tried again, and the runs that do it."""

    letters: int = Field(default=0, ge=0)
    run_ids: Annotated[list[str], Field(max_length=MOST_LISTED)] = []
