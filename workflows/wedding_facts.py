"""What an event makes of a wedding's facts: pure decisions, the same whichever order events arrive in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from contracts.facts import AtOnce, Facts, FactStamp
from contracts.wedding import Dispute, WeddingEvent, WeddingEventType, WeddingState
from workflows import wedding_followers

Value = date | time | str | bool | None

TOLD = ("wedding_date", "ceremony_time", "time_zone", "venue_name")
"""The facts that systems carry and people are told."""
COMPLETION = "completion_status=completed"
AT_ONCE = timedelta(minutes=5)
"""Changes of one fact so near to each other were made without knowing of each other."""
_CLOCKS_DIFFER = timedelta(minutes=5)
_MAX_SEEN, _MAX_AHEAD, _MAX_TRIGGERS, _MAX_DISPUTES = 200, 1_000, 100, 20


def begun(state: WeddingState, now: datetime) -> WeddingState:
    """Return the state a timeline begins with, or one from before its facts had stamps, in today's terms."""
    wedding = state.wedding
    cancelled = state.cancelled or state.status == "cancelled" or wedding.booking_status == "cancelled"
    completed = state.completed or state.status == "completed" or wedding.completion_status == "completed"
    stamps = dict(state.stamps)
    if state.status == "postponed" and "wedding_date" not in stamps:
        stamps["wedding_date"] = FactStamp(occurred_at=state.last_event_at or now, event_id="earlier")
    changes = {"cancelled": cancelled, "completed": completed, "stamps": stamps}
    state = state.model_copy(update={**changes, "followers": wedding_followers.of(state)})
    for name in ("booking_status", "completion_status"):
        state = _noted(state, f"{name}={getattr(wedding, name)}", now)
    return _with_status(state)


def take(state: WeddingState, event: WeddingEvent, now: datetime) -> WeddingState:
    """Return the state after an event; one that was taken, is older in every fact or only echoes changes no fact.

    Args:
        state: what is known.
        event: what happened.
        now: when it arrived; nothing happens later than it is told.
    """
    if event.event_id in state.seen_events:
        return state
    state = _numbered(_seen(state, event).model_copy(update={"taken": state.taken + 1}), event, now)
    if not event.versions:
        return _taken(state, event, now)
    for part in _by_version(event):
        known = part.event_id in state.seen_events
        state = _taken(state if known else _seen(state, part), part, now, asks=not known)
    return state


def _taken(state: WeddingState, event: WeddingEvent, now: datetime, *, asks: bool = True) -> WeddingState:
    """Return the state after what an event says of its facts; a person is asked about it at most once."""
    occurred = event.occurred_at if event.occurred_at and event.occurred_at <= now + _CLOCKS_DIFFER else now
    origin = wedding_followers.named(state, event.origin)
    stamp = FactStamp(
        occurred_at=occurred, event_id=event.event_id, sequence=event.sequence, origin=origin, at_once=event.at_once
    )
    said = _said(event)
    if wedding_followers.echoes(state, origin, said, occurred, is_read=event.is_read):
        return state
    if _rivals(state, said, stamp):
        return _disputed(state, event, now) if asks else state
    return _settled(state, said, stamp)


def decided(state: WeddingState, dispute: Dispute, *, accepted: bool, now: datetime) -> WeddingState:
    """Return the state after a person decided a dispute: the change is taken as of now, or its system set right."""
    state = state.model_copy(update={"disputes": [one for one in state.disputes if one != dispute]})
    event, origin = dispute.event, wedding_followers.named(state, dispute.event.origin)
    if not accepted:
        return wedding_followers.set_right(state, origin)
    return _settled(state, _said(event), FactStamp(occurred_at=now, event_id=event.event_id, origin=origin))


def facts_of(state: WeddingState) -> Facts:
    """Return what people and systems are told of the wedding now."""
    return Facts(**{name: getattr(state.wedding, name) for name in TOLD})


def _seen(state: WeddingState, event: WeddingEvent) -> WeddingState:
    return state.model_copy(update={"seen_events": [*state.seen_events, event.event_id][-_MAX_SEEN:]})


def _by_version(event: WeddingEvent) -> list[WeddingEvent]:
    """Take a restated wedding apart into the newest event about each fact, as far as the fact is so by it."""
    stamps = {stamp.event_id: stamp for stamp in event.versions.values()}
    return [
        event.model_copy(
            update={
                **{name: getattr(stamp, name) for name in FactStamp.model_fields},
                "versions": {name: one for name, one in event.versions.items() if one.event_id == stamp.event_id},
            }
        )
        for stamp in stamps.values()
    ]


def _said(event: WeddingEvent) -> dict[str, Value]:
    """The facts an event states."""
    kind = event.type
    given: dict[str, Value] = {name: getattr(event, name) for name in (*TOLD, "booking_status")}
    said: dict[str, Value] = {name: value for name, value in given.items() if value is not None}
    if kind is WeddingEventType.POSTPONED:
        said["wedding_date"] = event.wedding_date
    if kind is WeddingEventType.RESTATED:
        said |= {"wedding_date": event.wedding_date, "ceremony_time": event.ceremony_time}
        said |= {"cancelled": event.cancelled, "completed": event.completed}
    if kind is WeddingEventType.REOPENED:
        said |= {"cancelled": False, "completed": False, "recalled": False}
    if kind is WeddingEventType.CANCELLED or said.get("booking_status") == "cancelled":
        said["cancelled"] = True
    if kind is WeddingEventType.COMPLETED:
        said["completed"] = True
    return {name: value for name, value in said.items() if not event.versions or name in event.versions}


def _settled(state: WeddingState, said: Mapping[str, Value], stamp: FactStamp) -> WeddingState:
    """Let every fact stand that the stamp is the newest word on."""
    newest = {name: value for name, value in said.items() if _counts(state, name, value, stamp)}
    before = facts_of(state)
    wedding: dict[str, Value] = {name: value for name, value in newest.items() if name in {*TOLD, "booking_status"}}
    flags = {name: value for name, value in newest.items() if name in {"cancelled", "completed", "recalled"}}
    if "completed" in flags:
        wedding["completion_status"] = "completed" if flags["completed"] else ""
    state = state.model_copy(
        update={
            **flags,
            "wedding": state.wedding.model_copy(update=wedding),
            "stamps": {**state.stamps, **dict.fromkeys(newest, stamp)},
            "disputes": [one for one in state.disputes if not (_said(one.event).keys() & newest.keys())],
        }
    )
    if booking := said.get("booking_status"):
        state = _noted(state, f"booking_status={booking}", stamp.occurred_at)
    if "completed" in flags:
        # The newest word on whether the wedding took place is also the word on when it did.
        others = {name: since for name, since in state.triggers.items() if name != COMPLETION}
        since = {COMPLETION: stamp.occurred_at} if flags["completed"] else {}
        state = state.model_copy(update={"triggers": {**others, **since}})
    lost = any(name in TOLD and _value(state, name) != value for name, value in said.items())
    return _with_status(wedding_followers.follow(state, before, facts_of(state), stamp, lost=lost))


def _counts(state: WeddingState, name: str, value: Value, stamp: FactStamp) -> bool:
    """Whether the stamp is the newest word on a fact, or the source's against one that was said at once with it."""
    known = state.stamps.get(name)
    if known is None:
        numbered = state.wedding.sequence
        if stamp.sequence is not None and numbered is not None:
            return stamp.sequence > numbered
        return state.last_event_at is None or stamp.occurred_at >= state.last_event_at
    if _strategy(state, known, stamp) is AtOnce.SOURCE_WINS and _at_once(known, stamp) and _value(state, name) != value:
        from_source = [one.origin is None for one in (known, stamp)]
        if any(from_source):
            return from_source[1]
    if known.sequence is not None and stamp.sequence is not None:
        return stamp.sequence > known.sequence
    return (stamp.occurred_at, stamp.event_id) > (known.occurred_at, known.event_id)


def _rivals(state: WeddingState, said: Mapping[str, Value], stamp: FactStamp) -> bool:
    """Whether another system says otherwise of one of these facts at once, and a person is to decide."""
    known = [
        state.stamps[name] for name in TOLD if name in said and name in state.stamps and _differs(state, said, name)
    ]
    return any(_at_once(one, stamp) and _strategy(state, one, stamp) is AtOnce.MANUAL for one in known)


def _differs(state: WeddingState, said: Mapping[str, Value], name: str) -> bool:
    return _value(state, name) != said[name]


def _strategy(state: WeddingState, known: FactStamp, stamp: FactStamp) -> AtOnce:
    """Whose word stands: as the integration declares in which either was said, the wedding where none does."""
    return stamp.at_once or known.at_once or state.wedding.at_once


def _at_once(one: FactStamp, other: FactStamp) -> bool:
    return one.origin != other.origin and abs(one.occurred_at - other.occurred_at) <= AT_ONCE


def _disputed(state: WeddingState, event: WeddingEvent, now: datetime) -> WeddingState:
    dispute = Dispute(dispute_id=event.event_id, event=event, since=now)
    return state.model_copy(update={"disputes": [*state.disputes, dispute][-_MAX_DISPUTES:]})


def _value(state: WeddingState, name: str) -> Value:
    found: Value = getattr(state if name in {"cancelled", "completed", "recalled"} else state.wedding, name)
    return found


def _noted(state: WeddingState, trigger: str, since: datetime) -> WeddingState:
    """Remember when a property first took a value, by an event that came late too: automations count from there."""
    known = state.triggers.get(trigger)
    if trigger.endswith("=") or (known is not None and known <= since):
        return state
    if known is None and len(state.triggers) >= _MAX_TRIGGERS:
        return state
    return state.model_copy(update={"triggers": {**state.triggers, trigger: since}})


def _with_status(state: WeddingState) -> WeddingState:
    words = (("recalled", state.recalled), ("cancelled", state.cancelled), ("completed", state.completed))
    word = next((word for word, holds in words if holds), None)
    if word is None:
        postponed = state.wedding.wedding_date is None and "wedding_date" in state.stamps
        word = "postponed" if postponed else "planned"
    return state.model_copy(update={"status": word})


def _numbered(state: WeddingState, event: WeddingEvent, now: datetime) -> WeddingState:
    """Keep account of the events' numbers; what the facts began with, or a restatement contains, is not missing."""
    number = event.sequence
    if number is None:
        return state
    upto = state.sequence if state.sequence is not None else state.wedding.sequence
    if upto is None or event.type is WeddingEventType.RESTATED:
        upto = max(number, upto or 0)
    ahead = {one for one in (*state.ahead, number) if one > upto}
    while upto + 1 in ahead:
        upto += 1
        ahead.discard(upto)
    since = (state.gap_since or now) if ahead else None
    return state.model_copy(update={"sequence": upto, "ahead": sorted(ahead)[-_MAX_AHEAD:], "gap_since": since})
