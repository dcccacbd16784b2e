"""What is wrong with an escalation policy, all of it at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from activities.transform.escalation import shifts
from contracts.escalation import EmergencyContact, EscalationPolicy, PolicyProblem, WeddingDay
from contracts.notification import TargetSystem

SHORTEST_ACK = timedelta(seconds=5)
"""A target has 3 s to answer before the next one is tried, and a person has to read."""
LONGEST_ACK = timedelta(hours=1)
SHORTEST_REPEAT = timedelta(seconds=30)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Connected:
    """What is known of an integration.

    Args:
        platform: its system.
        works: whether it takes work now.
        delivers: whether its system can carry a message to people.
    """

    platform: str
    works: bool
    delivers: bool


def problems(policy: EscalationPolicy, integrations: Mapping[str, Connected]) -> list[PolicyProblem]:
    """Return every problem of a policy, in the order of its contacts, levels and wedding days.

    Args:
        policy: to look through.
        integrations: the organisation's, by id.
    """
    found = list(_of_contacts(policy, integrations))
    unusable = {one.where for one in found if one.code in _MUTE}
    found += _of_failover(policy)
    found += _of_levels(policy, unusable)
    found += _of_days(policy)
    if policy.repeat_until_acknowledged and policy.repeat_every < SHORTEST_REPEAT:
        found.append(_problem("repeat_time_nonsense", "repeatEvery", "Nobody can answer between the repetitions."))
    return found


_MUTE = {"integration_not_connected", "channel_not_capable", "platform_mismatch"}


def _of_contacts(policy: EscalationPolicy, integrations: Mapping[str, Connected]) -> Iterator[PolicyProblem]:
    for name, count in Counter(one.contact_id for one in policy.contacts).items():
        if count > 1:
            yield _problem("contact_repeated", name, "Two contacts have this id.")
    for name, count in Counter(one.system_id for one in _channels(policy)).items():
        if count > 1:
            yield _problem("channel_repeated", name, "Two channels have this systemId.")
    for contact in policy.contacts:
        if not contact.channels:
            yield _problem("person_without_channel", contact.contact_id, "The contact has no channel.")
        for channel in contact.channels:
            yield from _of_channel(channel, integrations.get(channel.integration_id))


def _of_channel(channel: TargetSystem, connected: Connected | None) -> Iterator[PolicyProblem]:
    where = channel.system_id
    if connected is None or not connected.works:
        state = "is not connected" if connected is None else "takes no work now"
        yield _problem("integration_not_connected", where, f"The integration {channel.integration_id} {state}.")
    elif connected.platform != channel.system_type:
        sentence = f"systemType is {channel.system_type}, and the integration is {connected.platform}."
        yield _problem("platform_mismatch", where, sentence)
    elif not connected.delivers:
        yield _problem("channel_not_capable", where, f"{connected.platform} carries no message to people.")


def _of_failover(policy: EscalationPolicy) -> Iterator[PolicyProblem]:
    known = {one.system_id: one for one in _channels(policy)}
    for channel in known.values():
        for name in channel.failover:
            if name not in known:
                yield _problem("failover_unknown", channel.system_id, f"It fails over to {name}, which is no channel.")
    reported: set[str] = set()
    for name in known:
        circle = _circle(name, known)
        if circle and not reported & set(circle):
            reported |= set(circle)
            yield _problem("failover_cycle", name, f"The failover goes in a circle: {' -> '.join([*circle, name])}.")


def _circle(start: str, known: Mapping[str, TargetSystem]) -> list[str]:
    """Return the way from `start` back to it, nothing when there is none."""
    ways = [[start]]
    seen = {start}
    while ways:
        way = ways.pop()
        for name in known[way[-1]].failover:
            if name == start:
                return way
            if name in known and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def _of_levels(policy: EscalationPolicy, unusable: set[str]) -> Iterator[PolicyProblem]:
    if not policy.levels:
        yield _problem("policy_empty", "levels", "There is no level, so that nobody would be alerted.")
    contacts = {one.contact_id: one for one in policy.contacts}
    for number, level in enumerate(policy.levels, start=1):
        where = f"level {number}"
        if not SHORTEST_ACK <= level.ack_within <= LONGEST_ACK:
            sentence = f"ackWithin is to be between {SHORTEST_ACK.seconds} s and {LONGEST_ACK.seconds // 60} minutes."
            yield _problem("ack_time_nonsense", where, sentence)
        for name in level.contacts:
            if name not in contacts:
                yield _problem("contact_unknown", where, f"It names {name}, which is no contact.")
        people = [contacts[name] for name in level.contacts if name in contacts]
        if not people:
            yield _problem("level_without_person", where, "Nobody is alerted at it.")
        elif all(channel.system_id in unusable for person in people for channel in person.channels):
            yield _problem("level_unreachable", where, "None of its contacts has a channel that works.")


def _of_days(policy: EscalationPolicy) -> Iterator[PolicyProblem]:
    contacts = {one.contact_id: one for one in policy.contacts}
    for day in policy.wedding_days:
        for number, level in enumerate(policy.levels, start=1):
            people = [contacts[name] for name in level.contacts if name in contacts]
            gap = _gap(day, people)
            if people and gap is not None:
                local = gap.astimezone(ZoneInfo(day.time_zone))
                sentence = f"Nobody of level {number} is on duty from {local:%H:%M on %Y-%m-%d}, venue time."
                yield _problem("wedding_day_uncovered", day.wedding_id, sentence)


def _gap(day: WeddingDay, people: list[EmergencyContact]) -> datetime | None:
    """Return the first instant of a wedding day at which none of them is on duty, None when there is none."""
    zone = ZoneInfo(day.time_zone)
    last = day.date if day.to > day.from_ else day.date + _DAY
    covered, end = (datetime.combine(*local, zone).astimezone(UTC) for local in ((day.date, day.from_), (last, day.to)))
    local_days = [day.date + number * _DAY for number in range(-2, 4)]
    for begin, until in sorted(one for person in people for local in local_days for one in shifts(person, local)):
        if begin > covered:
            break
        covered = max(covered, until)
    return covered if covered < end else None


def _channels(policy: EscalationPolicy) -> list[TargetSystem]:
    return [channel for contact in policy.contacts for channel in contact.channels]


def _problem(code: str, where: str, sentence: str) -> PolicyProblem:
    return PolicyProblem(code=code, where=where, sentence=sentence)
