"""The words of messages about booking conflicts: opaque booking ids and times, and nothing personal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from contracts.base import JsonObject
from contracts.conflict import Alternative
from contracts.conflict_steps import ComposeNotice, NoticeKind
from contracts.names import effect_id
from contracts.notification import (
    AffectedSession,
    NotificationAction,
    NotificationMetadata,
    Slot,
    SourceNotification,
    TimelineChanges,
)
from contracts.sync import SyncPriority

OFFERED = 3
"""Alternatives that the question has a button for."""
_LABEL = 75
_ASKING = frozenset({NoticeKind.QUESTION, NoticeKind.REMINDER, NoticeKind.ESCALATION})
_AT_THE_SYSTEM = frozenset({NoticeKind.RECORD, NoticeKind.WINNER, NoticeKind.LOSER})


def conflict_key(request: ComposeNotice) -> str:
    """Return the id that all messages about a conflict share, and that its buttons carry."""
    day = request.found.day
    return effect_id(day.organization_id, day.integration_id, request.conflict.conflict_id)


def notification(request: ComposeNotice) -> SourceNotification:
    """Return a message about a conflict, with a button per choice where it asks."""
    asks = request.kind in _ASKING
    title, lines = _WORDS[request.kind](request)
    urgent = request.kind is NoticeKind.ESCALATION
    return SourceNotification(
        notification_id=message_id(request),
        type="booking_conflict" if asks or request.kind is NoticeKind.RECORD else "booking_decision",
        title=title,
        message="\n".join(lines)[:4_000],
        priority=SyncPriority.CRITICAL if urgent else SyncPriority.HIGH,
        actions=_choices(request) if asks else [],
        metadata=_facts(request),
    )


def message_id(request: ComposeNotice) -> str:
    """Return the id of one message; the question's own is the conflict's key."""
    if request.kind in {NoticeKind.QUESTION, NoticeKind.ANSWERED, NoticeKind.CALLED_OFF}:
        return conflict_key(request)
    return effect_id(conflict_key(request), request.kind.value, str(request.number), request.booking_id or "")


def _choices(request: ComposeNotice) -> list[NotificationAction]:
    conflict, key = request.conflict, conflict_key(request)
    keeps = [(booking, f"Keep {booking}") for booking in (conflict.primary_booking_id, conflict.conflicting_booking_id)]
    moves = [
        (f"alternative-{one.rank}", f"Move {conflict.conflicting_booking_id}: {_when(request, one)}")
        for one in request.alternatives[:OFFERED]
    ]
    return [
        NotificationAction(
            action_id=choice,
            label=label[:_LABEL],
            type="choose",
            style="primary" if number == 0 else "default",
            notification_id=key,
        )
        for number, (choice, label) in enumerate([*keeps, *moves])
    ]


def _facts(request: ComposeNotice) -> JsonObject:
    if request.kind not in _AT_THE_SYSTEM or request.booking_id is None:
        return {}
    facts = NotificationMetadata(booking_id=request.booking_id)
    if request.kind is not NoticeKind.RECORD:
        confirmed = request.kind is NoticeKind.WINNER
        sessions = [
            AffectedSession(session_id=session, confirmed=confirmed)
            for session in request.found.sessions.get(request.booking_id, [])
        ]
        facts = facts.model_copy(
            update={
                "updates_booking_status": True,
                "new_status": "confirmed" if confirmed else "turned_down",
                "timeline_changes": TimelineChanges(affected_sessions=sessions) if sessions else None,
            }
        )
    return facts.model_dump(mode="json", exclude_defaults=True)


def _question(request: ComposeNotice) -> tuple[str, list[str]]:
    conflict = request.conflict
    title = f"Double booking of {conflict.photographer_id} on {conflict.conflict_date}"
    lines = [
        (
            f"{conflict.primary_booking_id} and {conflict.conflicting_booking_id} both want "
            f"{_time(request, request.found.slot)}."
        ),
        "Which of them keeps it? The other one is offered the alternatives.",
        *_offers(request, request.alternatives),
    ]
    return title, lines


def _reminder(request: ComposeNotice) -> tuple[str, list[str]]:
    title, lines = _question(request)
    return f"Still undecided: {title[0].lower()}{title[1:]}", lines


def _escalation(request: ComposeNotice) -> tuple[str, list[str]]:
    title, lines = _question(request)
    return f"Overdue: {title[0].lower()}{title[1:]}", ["The deadline has passed and nobody has decided.", *lines]


def _answered(request: ComposeNotice) -> tuple[str, list[str]]:
    title, _ = _question(request)
    chosen = request.choice
    if chosen is None:
        return title, []
    lines = [f"Decided by {chosen.decided_by}: {chosen.winning_booking_id} keeps {_time(request, request.found.slot)}."]
    if chosen.alternative is not None:
        lines.append(f"{chosen.losing_booking_id} is offered {_when(request, chosen.alternative)}.")
    return title, lines


def _called_off(request: ComposeNotice) -> tuple[str, list[str]]:
    title, _ = _question(request)
    return title, ["Called off: nothing is to be decided any more."]


def _record(request: ComposeNotice) -> tuple[str, list[str]]:
    conflict = request.conflict
    other = (
        conflict.conflicting_booking_id
        if request.booking_id == conflict.primary_booking_id
        else conflict.primary_booking_id
    )
    lines = [
        (
            f"Conflict {conflict.conflict_id} ({conflict.type}) with {other} about {conflict.photographer_id}, "
            f"{_time(request, request.found.slot)}."
        ),
        "Status: pending resolution.",
        *_offers(request, request.alternatives),
    ]
    return "Booking conflict", lines


def _winner(request: ComposeNotice) -> tuple[str, list[str]]:
    return "Booking conflict decided", [
        (
            f"Conflict {request.conflict.conflict_id}: this booking keeps {request.conflict.photographer_id}, "
            f"{_time(request, request.found.slot)}."
        )
    ]


def _loser(request: ComposeNotice) -> tuple[str, list[str]]:
    return "Booking conflict decided", [
        (
            f"Conflict {request.conflict.conflict_id}: this booking does not get {request.conflict.photographer_id}, "
            f"{_time(request, request.found.slot)}."
        ),
        *_kept_or_offered(request),
    ]


def _loser_told(request: ComposeNotice) -> tuple[str, list[str]]:
    return "Your session needs another time", [
        f"The time you asked for, {_time(request, request.found.slot)}, is taken by another booking. We are sorry.",
        *_kept_or_offered(request),
        "Reply to this message and we will arrange it with you.",
    ]


_WORDS: dict[NoticeKind, Callable[[ComposeNotice], tuple[str, list[str]]]] = {
    NoticeKind.QUESTION: _question,
    NoticeKind.REMINDER: _reminder,
    NoticeKind.ESCALATION: _escalation,
    NoticeKind.ANSWERED: _answered,
    NoticeKind.CALLED_OFF: _called_off,
    NoticeKind.RECORD: _record,
    NoticeKind.WINNER: _winner,
    NoticeKind.LOSER: _loser,
    NoticeKind.LOSER_TOLD: _loser_told,
}


def _kept_or_offered(request: ComposeNotice) -> list[str]:
    chosen = request.choice
    if chosen is None or chosen.alternative is None:
        return _offers(request, request.alternatives)
    until = f" until {_clock(request, chosen.kept_until):%d %B %Y}" if chosen.kept_until else ""
    return [f"This time is kept for you{until}: {_when(request, chosen.alternative)}."]


def _offers(request: ComposeNotice, alternatives: Sequence[Alternative]) -> list[str]:
    if not alternatives:
        return ["No free alternative is known."]
    return ["Free alternatives:", *(f"{one.rank}. {_when(request, one)}" for one in alternatives)]


def _when(request: ComposeNotice, one: Alternative) -> str:
    return f"{_time(request, one.slot)} with {one.photographer_id}"


def _time(request: ComposeNotice, slot: Slot) -> str:
    begins, ends = _clock(request, slot.starts_at), _clock(request, slot.ends_at)
    return f"{begins:%a %d %b %Y %H:%M} to {ends:%H:%M}"


def _clock(request: ComposeNotice, instant: datetime) -> datetime:
    return instant.astimezone(ZoneInfo(request.found.day.time_zone))
