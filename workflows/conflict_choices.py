"""What can be chosen in a conflict, and what a choice means."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.conflict import Alternative, BookingConflict
    from contracts.conflict_steps import Choice
    from contracts.names import effect_id
    from contracts.resource_day import Settlement, SlotCommand, SlotCommandKind

EARLIER = "earlier"
"""Who decided, where an earlier run about the same two bookings did."""
_KEPT_FOR_LOSER = timedelta(days=7)


def choices(conflict: BookingConflict, alternatives: Sequence[Alternative]) -> list[str]:
    """Return the words that decide: either booking, or the primary with an alternative for the other."""
    pair = [conflict.primary_booking_id, conflict.conflicting_booking_id]
    return [*pair, *(f"alternative-{one.rank}" for one in alternatives)]


def chosen(
    conflict: BookingConflict, alternatives: Sequence[Alternative], word: str, who: str, now: datetime
) -> Choice | None:
    """Return what a word means, None where it is no choice."""
    if word not in choices(conflict, alternatives):
        return None
    primary, other = conflict.primary_booking_id, conflict.conflicting_booking_id
    moved = next((one for one in alternatives if word == f"alternative-{one.rank}"), None)
    return Choice(
        choice=word,
        winning_booking_id=other if word == other else primary,
        losing_booking_id=primary if word == other else other,
        decided_by=who,
        decided_at=now,
        alternative=moved,
        kept_until=now + _KEPT_FOR_LOSER if moved else None,
    )


def as_settled(choice: Choice, settled: Settlement) -> Choice:
    """Return a choice as what had been decided before it."""
    return choice.model_copy(
        update={
            "choice": settled.winning_booking_id,
            "winning_booking_id": settled.winning_booking_id,
            "losing_booking_id": settled.losing_booking_id,
            "decided_by": EARLIER,
            "alternative": None,
            "kept_until": None,
        }
    )


def alternative_command(conflict: BookingConflict, choice: Choice, kind: SlotCommandKind) -> SlotCommand:
    """Return the command to the owner of the alternative, which is kept for the losing booking."""
    return SlotCommand(
        kind=kind,
        hold_id=effect_id(conflict.conflict_id, choice.choice),
        booking_ids=[choice.losing_booking_id],
        slot=choice.alternative and choice.alternative.slot,
        expires_at=choice.kept_until,
    )
