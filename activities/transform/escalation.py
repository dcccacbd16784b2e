"""Whom an emergency alerts at a moment, and through what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contracts.emergency import REPEAT_EVERY, EmergencyAlert
from contracts.errors import InvalidInput
from contracts.escalation import DutyHours, EmergencyContact, EscalationPolicy, Weekday
from contracts.names import effect_id
from contracts.notification import TargetSystem

_DAY = timedelta(days=1)
_WEEKDAYS = tuple(Weekday)


@dataclass(frozen=True)
class Selection:
    """Who is alerted together.

    Args:
        level: the highest of the levels alerted.
        ack_within: how long they have.
        last: whether no level comes after it.
        repeat_every: None where nothing is repeated.
        targets: those alerted at once.
        levels: system id of every target that may be alerted -> the level it belongs to.
        known: system id -> target, whatever its level.
    """

    level: int
    ack_within: timedelta
    last: bool
    repeat_every: timedelta | None
    targets: Sequence[TargetSystem]
    levels: Mapping[str, int]
    known: Mapping[str, TargetSystem]


@dataclass(frozen=True)
class _Rung:
    ack_within: timedelta
    targets: Sequence[TargetSystem]


@dataclass(frozen=True)
class _Ladder:
    rungs: Sequence[_Rung]
    repeats: bool
    repeat_every: timedelta
    spare: Sequence[TargetSystem] = field(default=())
    """Targets of no rung, which may stand in for others."""


def select(alert: EmergencyAlert, policy: EscalationPolicy | None, level: int, at: datetime) -> Selection:
    """Return whom a level alerts at an instant; level 0 is all levels together.

    Args:
        alert: carries its escalation, or names a policy.
        policy: the one it names.
        level: from 1.
        at: decides who is on duty.

    Raises:
        InvalidInput: there is no such level, or no such policy.
    """
    ladder = _ladder(alert, policy, at)
    if not 0 <= level <= len(ladder.rungs) or not ladder.rungs:
        raise InvalidInput(
            "level_unknown",
            f"The escalation of the alert {alert.alert_id!r} has no level {level}.",
            action="Give the policy at least one level with `wedsync emergency policy set FILE`.",
        )
    chosen = ladder.rungs if level == 0 else [ladder.rungs[level - 1]]
    number = level or len(ladder.rungs)
    levels = {one.system_id: number for one in ladder.spare}
    for position, rung in reversed(list(enumerate(ladder.rungs, start=1))):
        levels |= {one.system_id: position for one in rung.targets}
    every = [*ladder.spare, *(one for rung in ladder.rungs for one in rung.targets)]
    return Selection(
        level=number,
        ack_within=ladder.repeat_every if level == 0 else chosen[0].ack_within,
        last=number == len(ladder.rungs),
        repeat_every=ladder.repeat_every if ladder.repeats and not alert.drill else None,
        targets=[one for rung in chosen for one in rung.targets],
        levels=levels,
        known={one.system_id: one for one in every},
    )


def _ladder(alert: EmergencyAlert, policy: EscalationPolicy | None, at: datetime) -> _Ladder:
    if alert.policy_id is None:
        rungs = [_Rung(level.ack_within, level.targets) for level in alert.escalation]
        return _Ladder(rungs, alert.repeat_until_acknowledged, alert.repeat_every or REPEAT_EVERY)
    if policy is None:
        raise policy_unknown(alert.policy_id)
    return _Ladder(
        [_Rung(level.ack_within, targets_at(policy, number, at)) for number, level in enumerate(policy.levels)],
        alert.repeat_until_acknowledged and policy.repeat_until_acknowledged,
        alert.repeat_every or policy.repeat_every,
        [one for contact in policy.contacts for one in contact.channels],
    )


def policy_unknown(policy_id: str) -> InvalidInput:
    """Return the error of a policy that an organisation does not have."""
    return InvalidInput(
        "policy_not_found",
        f"There is no escalation policy {policy_id!r} in this organisation.",
        action="Save it first with `wedsync emergency policy set FILE`.",
    )


def targets_at(policy: EscalationPolicy, index: int, at: datetime) -> list[TargetSystem]:
    """Return the channels of a level's contacts that are on duty; of all its contacts when nobody is.

    Args:
        policy: whose level.
        index: of the level, from 0.
        at: the moment.
    """
    contacts = {one.contact_id: one for one in policy.contacts}
    wanted = [contacts[name] for name in policy.levels[index].contacts if name in contacts]
    present = [one for one in wanted if on_duty(one, at)]
    # Better everybody out of hours than nobody.
    return [channel for one in present or wanted for channel in one.channels]


def on_duty(contact: EmergencyContact, at: datetime) -> bool:
    """Return whether a contact answers at an instant."""
    today = at.astimezone(ZoneInfo(contact.time_zone)).date()
    return any(begin <= at < end for day in (today - _DAY, today) for begin, end in shifts(contact, day))


def shifts(contact: EmergencyContact, day: date) -> Iterator[tuple[datetime, datetime]]:
    """Yield the shifts that begin on a local day, as instants; the end is exclusive."""
    if contact.days and day not in contact.days:
        return
    zone = ZoneInfo(contact.time_zone)
    for hours in contact.duty or [DutyHours()]:
        if not hours.days or _WEEKDAYS[day.weekday()] in hours.days:
            last = day if hours.to > hours.from_ else day + _DAY
            # In UTC, since Python compares instants of one zone by their wall clock.
            yield _instant(day, hours.from_, zone), _instant(last, hours.to, zone)


def _instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


def chain_of(system_id: str, known: Mapping[str, TargetSystem]) -> list[str]:
    """Return what stands in for a target, in order, those that stand in for its stand-ins included; each once."""
    found: list[str] = []

    def follow(name: str) -> None:
        for substitute in known[name].failover:
            if substitute in known and substitute not in found and substitute != system_id:
                found.append(substitute)
                follow(substitute)

    follow(system_id)
    return found


def channel_of(target: TargetSystem) -> str:
    """Return an opaque word that is alike for targets that reach the same people the same way."""
    same = target.model_dump_json(exclude={"system_id", "failover"})
    return effect_id("channel", same)
