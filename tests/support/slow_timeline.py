"""What a wedding's timeline must do, worked out slowly and from scratch after every event, to judge the real one by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

_QUARTER = timedelta(minutes=15)


@dataclass(frozen=True)
class Happening:
    """Something that happened, and when it was heard of."""

    number: int
    kind: str
    occurred: datetime
    heard: datetime
    day: date | None = None
    clock: time | None = None
    zone: str | None = None


@dataclass(frozen=True)
class Rule:
    """One automation with one action: what it counts from and how."""

    name: str
    counts_from: str
    days: int = 0
    elapsed: timedelta = timedelta()
    clock: time | None = None
    when_past: str = "skip"


@dataclass
class Known:
    """The facts after every happening so far, in the order in which they happened."""

    day: date | None
    clock: time | None
    zone: str
    confirmed: datetime | None
    completed: datetime | None = None
    cancelled: bool = False
    day_changed: bool = False

    @property
    def stopped(self) -> bool:
        return self.cancelled or (self.completed is None and self.day is None and self.day_changed)


@dataclass
class Slot:
    """One message: where it stands and for which instant that was decided."""

    status: str = "none"
    due: datetime | None = None
    sent: list[datetime] = field(default_factory=list)


@cache
def wall_clock(zone: str, day: date, clock: time) -> datetime:
    """Look through the quarter hours around a day for the first that shows the clock; a missing one is moved."""
    local = ZoneInfo(zone)
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    quarters = [noon + number * _QUARTER for number in range(-27 * 4, 27 * 4)]
    shown = [(at, at.astimezone(local).replace(tzinfo=None)) for at in quarters]
    wanted = datetime.combine(day, clock)
    exact = [at for at, reads in shown if reads == wanted]
    if exact:
        return exact[0]
    last_before = max(at for at, reads in shown if reads < wanted)
    first_after = min(at for at, reads in shown if reads > wanted and at > last_before)
    later = last_before + (wanted - last_before.astimezone(local).replace(tzinfo=None))
    earlier = first_after - (first_after.astimezone(local).replace(tzinfo=None) - wanted)
    return later if later.astimezone(local).date() == day else earlier


def replayed(begin: Known, happenings: Sequence[Happening]) -> Known:
    """Apply everything heard so far, in the order in which it happened."""
    known = Known(begin.day, begin.clock, begin.zone, begin.confirmed)
    for one in sorted(happenings, key=lambda happening: happening.occurred):
        match one.kind:
            case "moved":
                known.day, known.clock = one.day or known.day, one.clock or known.clock
                known.zone = one.zone or known.zone
                known.day_changed = known.day_changed or one.day is not None
            case "postponed":
                known.day, known.day_changed = None, True
            case "cancelled":
                known.cancelled = True
            case "completed":
                known.completed = one.occurred
            case "reopened":
                known.cancelled, known.completed = False, None
            case "status_changed":
                before = [at for at in (known.confirmed, one.occurred) if at is not None]
                known.confirmed = min(before)
    return known


def due(known: Known, rule: Rule) -> datetime | None:
    """Work out when a rule's message is due."""
    base: datetime | None = {"completed": known.completed, "booking_confirmed": known.confirmed}.get(rule.counts_from)
    if rule.counts_from == "wedding_date" and known.day is not None:
        base = wall_clock(known.zone, known.day, known.clock or time())
    if rule.counts_from == "ceremony_time" and known.day is not None and known.clock is not None:
        base = wall_clock(known.zone, known.day, known.clock)
    if base is None or rule.clock is None:
        return None if base is None else base + timedelta(days=rule.days) + rule.elapsed
    day = known.day if rule.counts_from == "wedding_date" else base.astimezone(ZoneInfo(known.zone)).date()
    assert day is not None
    return wall_clock(known.zone, day + timedelta(days=rule.days), rule.clock) + rule.elapsed


def outcome(
    begin: Known, rules: Sequence[Rule], happenings: Sequence[Happening], started: datetime, end: datetime
) -> Mapping[str, Slot]:
    """Live through everything in the order in which it was heard of, and say what became of every message."""
    slots = {rule.name: Slot() for rule in rules}
    heard = sorted(happenings, key=lambda happening: (happening.heard, happening.number))
    moments = [started, *(one.heard for one in heard), end]
    for number, (now, until) in enumerate(pairwise(moments)):
        known = replayed(begin, heard[:number])
        for rule in rules:
            _judge(slots[rule.name], rule, known, now)
            _send(slots[rule.name], now, until)
    return slots


def _judge(slot: Slot, rule: Rule, known: Known, now: datetime) -> None:
    if slot.sent:
        return
    at = due(known, rule)
    before, slot.due = slot.due, at
    if at is None:
        slot.status = "none"
    elif known.stopped:
        slot.status, slot.due = "cancelled", None
    elif at == before and slot.status in {"pending", "asked"}:
        return
    else:
        late = timedelta(hours=1) if rule.counts_from in {"completed", "booking_confirmed"} else timedelta()
        past = {"skip": "skipped", "ask": "asked", "send_now": "pending"}[rule.when_past]
        slot.status = past if at + late < now else "pending"


def _send(slot: Slot, now: datetime, until: datetime) -> None:
    if slot.status == "pending" and not slot.sent and slot.due is not None and slot.due <= until:
        slot.sent.append(max(slot.due, now))
        slot.status = "sent"
