"""Whether a recipient gets a message now, later, in a digest or not at all: each stage's word, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from activities.transform.local_time import blackout_until, instant_of, next_digest, quiet_until, zone_of
from activities.transform.pace import Word
from contracts.decisions import Stage, Verdict
from contracts.notification import SourceNotification, WeddingContext
from contracts.preferences import (
    ContactPreferences,
    Digest,
    DigestCadence,
    Mute,
    NotificationPolicy,
    Override,
)
from contracts.sync import SyncPriority
from contracts.wedding import QuietHours

DIGEST_TYPE = "digest"
"""The type of a notification that is itself a digest, which no digest collects."""
_RANK = list(SyncPriority)
_RELEASED = frozenset(Override) - {Override.MUTE}


@dataclass(frozen=True)
class Person:
    """A recipient as one target reaches them.

    Args:
        channels: the target's platform, and what it does: `email`, `message`, `call`.
        preferences: the recipient's own.
        time_zone: the recipient's by other knowledge, empty when nobody knows it.
        quiet_hours: theirs by other knowledge.
    """

    channels: frozenset[str]
    preferences: ContactPreferences = field(default_factory=ContactPreferences)
    time_zone: str = ""
    quiet_hours: QuietHours | None = None


@dataclass(frozen=True)
class Message:
    """What is judged of a message.

    Args:
        wedding: whose ceremony nobody is disturbed in.
        began_at: when it was first to be sent.
        released: somebody had its wait ended.
        collectable: whether a digest may take it.
    """

    type: str
    category: str
    priority: SyncPriority
    began_at: datetime
    wedding: WeddingContext | None = None
    released: bool = False
    collectable: bool = True

    @classmethod
    def of(cls, notification: SourceNotification, began_at: datetime, *, released: bool = False) -> Message:
        """Return what is judged of a notification."""
        return cls(
            type=notification.type,
            category=str(notification.metadata.get("category", "")),
            priority=notification.priority,
            began_at=began_at,
            wedding=notification.wedding_context,
            released=released,
            collectable=notification.type != DIGEST_TYPE,
        )

    def overrides(self, policy: NotificationPolicy) -> frozenset[Override]:
        """Return the stages that the message does not wait for."""
        urgent = frozenset(policy.critical_overrides) if self.priority is SyncPriority.CRITICAL else frozenset()
        return urgent | (_RELEASED if self.released else frozenset())


def judge(message: Message, person: Person, policy: NotificationPolicy, now: datetime) -> list[Word]:
    """Return the words of the stages up to the first that keeps the message; all allow it when none does.

    Args:
        message: what is to be sent.
        person: to whom.
        policy: the organisation's.
        now: the instant of sending, aware UTC.
    """
    words: list[Word] = []
    for stage in _STAGES:
        words.append(bounded(stage(message, person, policy, now), message, policy))
        if not passes(words[-1]):
            break
    return words


def passes(word: Word) -> bool:
    """Return whether the message goes on to the next stage."""
    return word.verdict in {Verdict.ALLOW, Verdict.OVERRIDE}


def mutes(muted: Iterable[Mute], message: Message, channels: frozenset[str]) -> bool:
    """Return whether one of the mutes covers the message on one of the channels."""
    return any(
        (not mute.channel or mute.channel in channels)
        and mute.type in {"", message.type}
        and mute.category in {"", message.category}
        for mute in muted
    )


def zone_of_person(message: Message, person: Person, policy: NotificationPolicy) -> ZoneInfo:
    """Return the recipient's zone: their own word, what is known of them, the organisation's, the venue's, UTC."""
    venue = message.wedding.time_zone if message.wedding else ""
    return zone_of(person.preferences.time_zone, person.time_zone, policy.time_zone, venue)


def bounded(word: Word, message: Message, policy: NotificationPolicy) -> Word:
    """A wait that ends too late is none: what was urgent on Friday is not on Tuesday."""
    if word.verdict is Verdict.HOLD and word.until and word.until > message.began_at + policy.hold_at_most:
        return Word(word.stage, f"{word.code}:too_long", Verdict.SKIP, detail="it would have waited too long")
    return word


def _preference(message: Message, person: Person, policy: NotificationPolicy, _now: datetime) -> Word:
    wishes = person.preferences
    if wishes.opted_out:
        return Word(Stage.PREFERENCE, "opted_out", Verdict.SKIP)
    if person.channels & set(wishes.stopped_channels):
        return Word(Stage.PREFERENCE, "channel_stopped", Verdict.SKIP)
    if mutes(wishes.muted, message, person.channels):
        urgent = Override.MUTE in message.overrides(policy)
        return Word(Stage.PREFERENCE, "muted", Verdict.OVERRIDE if urgent else Verdict.SKIP)
    return Word(Stage.PREFERENCE, "wanted", Verdict.ALLOW)


def _blackout(message: Message, _person: Person, policy: NotificationPolicy, now: datetime) -> Word:
    ceremony = ceremony_of(message.wedding)
    if ceremony is None:
        return Word(Stage.BLACKOUT, "ceremony_unknown", Verdict.ALLOW)
    until = blackout_until(now, ceremony, policy.blackout_before, policy.blackout_after)
    return _waits(Stage.BLACKOUT, "ceremony", until, message, policy, Override.BLACKOUT)


def _quiet(message: Message, person: Person, policy: NotificationPolicy, now: datetime) -> Word:
    hours = person.preferences.quiet_hours or person.quiet_hours or policy.quiet_hours
    until = quiet_until(now, zone_of_person(message, person, policy), hours) if hours else None
    return _waits(Stage.QUIET_HOURS, "quiet_hours", until, message, policy, Override.QUIET_HOURS)


def _digest(message: Message, person: Person, policy: NotificationPolicy, now: datetime) -> Word:
    digest = person.preferences.digest or policy.digest
    if digest is None or not collects(digest, message):
        return Word(Stage.DIGEST, "not_collected", Verdict.ALLOW)
    if Override.DIGEST in message.overrides(policy):
        return Word(Stage.DIGEST, "digest", Verdict.OVERRIDE)
    due = next_digest(now, zone_of_person(message, person, policy), digest)
    return Word(Stage.DIGEST, "digest", Verdict.COLLECT, due)


def collects(digest: Digest, message: Message) -> bool:
    """Return whether a digest takes the message."""
    if digest.cadence is DigestCadence.NEVER or not message.collectable:
        return False
    return _RANK.index(message.priority) <= _RANK.index(digest.up_to)


def ceremony_of(wedding: WeddingContext | None) -> datetime | None:
    """Return the instant of the ceremony at the venue's clock, None while day or time are open."""
    if wedding is None or wedding.wedding_date is None or wedding.wedding_time is None:
        return None
    return instant_of(wedding.wedding_date, wedding.wedding_time, zone_of(wedding.time_zone))


def _waits(
    stage: Stage, code: str, until: datetime | None, message: Message, policy: NotificationPolicy, override: Override
) -> Word:
    if until is None:
        return Word(stage, f"no_{code}", Verdict.ALLOW)
    if override in message.overrides(policy):
        return Word(stage, code, Verdict.OVERRIDE)
    return Word(stage, code, Verdict.HOLD, until)


_Stage = Callable[[Message, Person, NotificationPolicy, datetime], Word]
_STAGES: tuple[_Stage, ...] = (_preference, _digest, _blackout, _quiet)
