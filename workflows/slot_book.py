"""Who has a slot: the decisions of the owner of a resource's day, without any waiting in between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from contracts.effects import StandingEffect
from contracts.names import effect_id
from contracts.notification import Slot
from contracts.resource_day import (
    BusySpan,
    HoldStatus,
    ResourceDayKey,
    ResourceDayState,
    Settlement,
    SlotAnswer,
    SlotCommand,
    SlotCommandKind,
    SlotHold,
)


def overlap(one: Slot, other: Slot) -> bool:
    """Return whether two slots of one resource share time; slots that touch do not."""
    return one.starts_at < other.ends_at and other.starts_at < one.ends_at


def is_live(hold: SlotHold, now: datetime) -> bool:
    """Return whether a hold keeps its slot; an expired one does not, whether or not anybody has noticed."""
    lapsed = hold.status is HoldStatus.HELD and hold.expires_at is not None and hold.expires_at <= now
    return hold.status is not HoldStatus.RELEASED and not lapsed


class SlotBook:
    """The holds of one resource on one day.

    Of live holds that overlap there is never one without a booking in common with the other.
    """

    def __init__(self, day: ResourceDayKey, state: ResourceDayState) -> None:
        self._day = day
        self.holds = {hold.hold_id: hold for hold in state.holds}
        self._settlements = {one.conflict_id: one for one in state.settlements}

    def state(self) -> ResourceDayState:
        """Return everything that is known."""
        return ResourceDayState(holds=list(self.holds.values()), settlements=list(self._settlements.values()))

    def live(self, now: datetime) -> list[SlotHold]:
        """Return the holds that keep their slots."""
        return [hold for hold in self.holds.values() if is_live(hold, now)]

    def next_expiry(self) -> datetime | None:
        """Return when the next hold lapses."""
        held = [hold for hold in self.holds.values() if hold.status is HoldStatus.HELD]
        return min((hold.expires_at for hold in held if hold.expires_at is not None), default=None)

    def expire(self, now: datetime) -> list[SlotHold]:
        """Release what has lapsed, each hold once, and return it."""
        lapsed = [hold for hold in self.holds.values() if hold.status is HoldStatus.HELD and not is_live(hold, now)]
        return [self._release(hold, "expired") for hold in lapsed]

    def act(self, command: SlotCommand, now: datetime, busy: Sequence[BusySpan] = ()) -> SlotAnswer:
        """Decide about a command; the same command again gets the same answer.

        Args:
            command: what is asked.
            now: the instant it is asked at.
            busy: what other systems know to be taken.
        """
        if command.kind is SlotCommandKind.RELEASE:
            hold = self.holds.get(command.hold_id)
            if hold is not None and hold.status is not HoldStatus.RELEASED:
                hold = self._release(hold, "given_back")
            return SlotAnswer(accepted=True, hold=hold)
        slot = command.slot
        if slot is None or not self._day.opens_at <= slot.starts_at < slot.ends_at <= self._day.closes_at:
            return SlotAnswer(accepted=False, reason="outside_the_day")
        if command.kind is SlotCommandKind.SETTLE:
            return self._settle(command, slot, now)
        if command.kind is SlotCommandKind.CONTEST:
            return self._contest(command, slot, now)
        return self._keep(command, slot, now, busy)

    def _keep(self, command: SlotCommand, slot: Slot, now: datetime, busy: Sequence[BusySpan]) -> SlotAnswer:
        firm = command.kind is SlotCommandKind.CONFIRM
        known = self.holds.get(command.hold_id)
        if known is not None and (known.status is HoldStatus.CONFIRMED or not firm):
            alive = is_live(known, now)
            return SlotAnswer(accepted=alive, reason="" if alive else "released", hold=known)
        refused = self._refusal(command, slot, now) or _taken(command, slot, self._foreign(busy))
        if refused is not None:
            return refused
        status = HoldStatus.CONFIRMED if firm else HoldStatus.HELD
        expires = None if firm else command.expires_at
        return SlotAnswer(accepted=True, hold=self._put(command, slot, status, expires, now))

    def _contest(self, command: SlotCommand, slot: Slot, now: datetime) -> SlotAnswer:
        settled = self._settled(command, slot)
        if settled is not None:
            return SlotAnswer(accepted=True, settlement=settled)
        known = self.holds.get(command.hold_id)
        if known is not None and is_live(known, now):
            return SlotAnswer(accepted=True, hold=known)
        refused = self._refusal(command, slot, now)
        if refused is not None:
            return refused
        return SlotAnswer(accepted=True, hold=self._put(command, slot, HoldStatus.HELD, command.expires_at, now))

    def _settle(self, command: SlotCommand, slot: Slot, now: datetime) -> SlotAnswer:
        settled = self._settled(command, slot)
        if settled is not None:
            return SlotAnswer(accepted=True, settlement=settled)
        winner, loser = command.booking_ids
        rivals = [
            hold
            for hold in self.live(now)
            if overlap(hold.slot, slot) and not {winner, loser}.intersection(hold.booking_ids)
        ]
        if rivals:
            return SlotAnswer(accepted=False, reason="held", held_by=_bookings(rivals))
        calendar = self._clear(slot, winner, loser, now)
        mine = [hold for hold in self.live(now) if winner in hold.booking_ids and overlap(hold.slot, slot)]
        standing = next(iter(mine), None)
        hold = standing or SlotHold(
            hold_id=effect_id(command.hold_id, winner),
            booking_ids=[winner],
            slot=slot,
            since=now,
            on_calendar=calendar,
            written=bool(calendar),
        )
        self.holds[hold.hold_id] = hold.model_copy(update={"status": HoldStatus.CONFIRMED, "expires_at": None})
        settled = Settlement(conflict_id=command.hold_id, winning_booking_id=winner, losing_booking_id=loser, slot=slot)
        self._settlements[command.hold_id] = settled
        return SlotAnswer(accepted=True, settlement=settled, hold=self.holds[hold.hold_id])

    def _clear(self, slot: Slot, winner: str, loser: str, now: datetime) -> list[StandingEffect]:
        """Release what the loser holds, and what both hold; return the calendar's entry that the winner takes over."""
        inherited: list[StandingEffect] = []
        for hold in self.live(now):
            if loser not in hold.booking_ids or not overlap(hold.slot, slot):
                continue
            if winner in hold.booking_ids and hold.slot == slot:
                inherited = list(hold.on_calendar)
                self.holds[hold.hold_id] = hold.model_copy(update={"on_calendar": []})
            self._release(self.holds[hold.hold_id], "decided" if winner in hold.booking_ids else "lost")
        return inherited

    def _settled(self, command: SlotCommand, slot: Slot) -> Settlement | None:
        pair = set(command.booking_ids)
        return self._settlements.get(command.hold_id) or next(
            (
                one
                for one in self._settlements.values()
                if {one.winning_booking_id, one.losing_booking_id} == pair and overlap(one.slot, slot)
            ),
            None,
        )

    def _refusal(self, command: SlotCommand, slot: Slot, now: datetime) -> SlotAnswer | None:
        mine = set(command.booking_ids)
        near = [hold for hold in self.live(now) if hold.hold_id != command.hold_id and overlap(hold.slot, slot)]
        rivals = [hold for hold in near if not mine.intersection(hold.booking_ids)]
        if rivals:
            return SlotAnswer(accepted=False, reason="held", held_by=_bookings(rivals))
        contested = [hold for hold in near if set(hold.booking_ids) - mine]
        if contested:
            return SlotAnswer(accepted=False, reason="undecided", held_by=_bookings(contested))
        return None

    def _foreign(self, busy: Sequence[BusySpan]) -> list[BusySpan]:
        """Return what others say to be taken, without the entries that our own holds made in calendars."""
        mine = [(hold.slot, {None, *hold.booking_ids}) for hold in self.holds.values()]
        return [span for span in busy if not any(span.slot == slot and span.booking_id in who for slot, who in mine)]

    def _put(
        self, command: SlotCommand, slot: Slot, status: HoldStatus, expires_at: datetime | None, since: datetime
    ) -> SlotHold:
        known = self.holds.get(command.hold_id)
        hold = SlotHold(
            hold_id=command.hold_id,
            booking_ids=command.booking_ids,
            slot=slot,
            since=since,
            status=status,
            expires_at=expires_at,
            on_calendar=known.on_calendar if known else [],
            written=bool(known and known.on_calendar),
        )
        self.holds[hold.hold_id] = hold
        return hold

    def _release(self, hold: SlotHold, reason: str) -> SlotHold:
        released = hold.model_copy(update={"status": HoldStatus.RELEASED, "reason": reason})
        self.holds[hold.hold_id] = released
        return released


def _taken(command: SlotCommand, slot: Slot, busy: Sequence[BusySpan]) -> SlotAnswer | None:
    rivals = [
        span
        for span in busy
        if span.confirmed and overlap(span.slot, slot) and span.booking_id not in command.booking_ids
    ]
    if not rivals:
        return None
    held_by = sorted({span.booking_id for span in rivals if span.booking_id})
    return SlotAnswer(accepted=False, reason="busy", held_by=held_by)


def _bookings(holds: Sequence[SlotHold]) -> list[str]:
    return sorted({booking for hold in holds for booking in hold.booking_ids})
