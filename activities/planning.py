"""Planning a delivery: each target's words and effects, and each recipient's turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from activities.access import Access
from activities.ports.delivery import DeliveryConnector
from activities.ports.manifest import Capability
from activities.remembering import once
from activities.storage.connections import StoredConnection
from activities.storage.paces import PaceStore
from activities.storage.preferences import PreferenceStore, Wishes
from activities.storage.templates import TemplateStore
from activities.transform.contacts import claim_of, contact_of, same_message, system_of
from activities.transform.judging import Message, Person, bounded, judge, mutes, passes
from activities.transform.pace import Claim, Sent, Word
from activities.transform.routing import Voice
from contracts.decisions import Decision, Stage, Verdict
from contracts.digests import DigestEntry, DigestItem
from contracts.effects import (
    Delivery,
    EffectStep,
    GiveBack,
    Hold,
    Reservation,
    TargetPlan,
    TemplateVersions,
)
from contracts.errors import InvalidInput
from contracts.identity import StoredTemplate
from contracts.notification import DeliveryStatus
from contracts.preferences import NotificationPolicy, SystemPreference
from contracts.wedding import Participant, QuietHours, TimelineStep

_CHANNELS = frozenset({Capability.EMAIL, Capability.MESSAGE, Capability.CALL})
_TOLD_WHOLE = 25
"""With more recipients only what keeps a message from one of them is told, not what lets it pass."""


@dataclass(frozen=True)
class Reach:
    """One delivery as it would be made now: its target, its message, and its effects for each recipient.

    Args:
        delivery: the words and the target, with its recipients.
        steps: effects by recipient's address; under the empty address those of a target without recipients.
        channels: how the target reaches people.
        message: what is judged of it.
        said: what was decided before.
        time_zone: the recipient's, where the caller knows it.
        quiet_hours: theirs, likewise.
    """

    delivery: Delivery
    steps: Mapping[str, Sequence[EffectStep]]
    channels: frozenset[str]
    message: Message
    said: Sequence[Word] = ()
    time_zone: str = ""
    quiet_hours: QuietHours | None = None


@dataclass
class _Turn:
    """One recipient of a reach, or the reach itself where it has none, and what the stages say."""

    reach: Reach
    address: str
    contact: str
    words: list[Word] = field(default_factory=list)
    claim: Claim | None = None

    @property
    def last(self) -> Word | None:
        """The word that keeps the message, None when all let it pass."""
        return next((word for word in self.words if not passes(word)), None)

    @property
    def effect_ids(self) -> list[str]:
        """The effects that bring the message."""
        return [step.effect_id for step in self.reach.steps[self.address]]


class Planner:
    """Decides when each recipient gets a message, and counts it.

    Args:
        access: the connectors.
        wishes: preferences and policies.
        templates: the organisations' own words.
        paces: what recipients were sent lately.
        key: under which addresses become contacts.
    """

    def __init__(
        self, access: Access, wishes: PreferenceStore, templates: TemplateStore, paces: PaceStore, key: bytes
    ) -> None:
        self._access = access
        self._wishes = wishes
        self._templates = templates
        self._paces = paces
        self._key = key

    async def wishes(self, organization_id: str, addresses: Iterable[str] = ()) -> Wishes:
        """Return what counts for messages to these addresses."""
        contacts = frozenset(contact_of(self._key, organization_id, address) for address in addresses)
        return await once(("wishes", organization_id, contacts), lambda: self._wishes.wishes(organization_id, contacts))

    async def voice(self, wishes: Wishes, name: str, versions: TemplateVersions) -> tuple[Voice, TemplateVersions]:
        """Return in whose name and words a kind of message is written, and the template's version.

        Args:
            wishes: with the organisation's policy.
            name: of the template.
            versions: those that the run began with, which count again.
        """
        policy = wishes.policy
        pinned = versions.get(name)
        stored = None if pinned == 0 else await self._template(policy.organization_id, name, pinned)
        version = stored.version if stored else 0
        return Voice(policy.identity, stored.words if stored else None), {name: version}

    async def _template(self, organization_id: str, name: str, version: int | None) -> StoredTemplate | None:
        key = ("template", organization_id, name, version)
        return await once(key, lambda: self._templates.get(organization_id, name, version))

    async def reach(
        self, stored: StoredConnection, delivery: Delivery, message: Message, said: Sequence[Word] = ()
    ) -> Reach:
        """Return how a delivery would be made through an integration.

        Raises:
            InvalidInput: the system cannot deliver, or the target lacks something the system needs.
        """
        connector = await self._access.connector_of(stored, DeliveryConnector)
        target = delivery.target
        if target.system_type != stored.configuration.platform:
            raise InvalidInput(
                "platform_mismatch",
                f"The target {target.system_id!r} says {target.system_type}, "
                f"and its integration is {stored.configuration.platform}.",
                action="Correct systemType or integrationId of the target.",
            )
        context = delivery.notification.wedding_context
        about = {
            "notification_id": delivery.notification.notification_id,
            "answers_to": delivery.answers_to,
            "wedding_id": delivery.wedding_id or (context.wedding_id if context else None),
        }
        alone = {address: target.model_copy(update={"recipients": [address]}) for address in target.recipients}
        steps = {
            address: [
                step.model_copy(update={**about, "reversible": step.kind in connector.manifest.reversible})
                for step in connector.plan(delivery.model_copy(update={"target": one}))
            ]
            for address, one in (alone or {"": target}).items()
        }
        does = connector.manifest.capabilities & _CHANNELS
        return Reach(delivery, steps, frozenset({target.system_type, *does}), message, said)

    async def decided(self, reaches: Sequence[Reach], wishes: Wishes, now: datetime) -> list[TargetPlan]:
        """Judge every recipient of every reach, count those who get the message now, and return a plan for each.

        Idempotent: yes, a recipient is counted once for one business key and target.
        """
        turns = [self._turns(reach, wishes) for reach in reaches]
        for turn in (turn for some in turns for turn in some):
            self._judge(turn, wishes, now)
        await self._count([turn for some in turns for turn in some if turn.last is None], wishes.policy)
        told_whole = sum(len(some) for some in turns) <= _TOLD_WHOLE
        return [_planned(reach, some, now, told_whole=told_whole) for reach, some in zip(reaches, turns, strict=True)]

    def waiting(
        self, organization_id: str, step: TimelineStep, participants: Sequence[Participant]
    ) -> list[Participant]:
        """Return those of a wedding's participants with an address whom a step is still to reach."""
        return [
            one
            for one in participants
            if one.email and (not step.held or contact_of(self._key, organization_id, one.email) in step.held)
        ]

    async def give_back(self, request: GiveBack) -> None:
        """Uncount reservations. Idempotent: yes."""
        contacts, claims = [one.contact for one in request.reserved], [one.claim for one in request.reserved]
        await self._paces.give_back(request.organization_id, contacts, claims)

    def _turns(self, reach: Reach, wishes: Wishes) -> list[_Turn]:
        target, organization_id = reach.delivery.target, wishes.policy.organization_id
        if not target.recipients:
            return [_Turn(reach, "", system_of(self._key, organization_id, target), [*reach.said])]
        contacts = {contact_of(self._key, organization_id, address): address for address in reversed(target.recipients)}
        return [_Turn(reach, address, contact, [*reach.said]) for contact, address in reversed(contacts.items())]

    def _judge(self, turn: _Turn, wishes: Wishes, now: datetime) -> None:
        reach, policy = turn.reach, wishes.policy
        if turn.address:
            person = Person(reach.channels, wishes.of(turn.contact), reach.time_zone, reach.quiet_hours)
            turn.words += judge(reach.message, person, policy, now)
        else:
            turn.words += _of_system(reach, policy.systems)
        named = turn.address or reach.delivery.notification.metadata.get("dedupKey")
        if named:
            turn.claim = self._claim(turn, policy, now)

    def _claim(self, turn: _Turn, policy: NotificationPolicy, now: datetime) -> Claim:
        delivery, message = turn.reach.delivery, turn.reach.message
        organization_id, context = delivery.organization_id, message.wedding
        sent = Sent(
            claim=claim_of(organization_id, delivery.business_key, delivery.target.system_id, turn.contact),
            message=same_message(self._key, organization_id, delivery.notification),
            type=message.type,
            wedding_id=context.wedding_id if context else delivery.wedding_id or "",
            at=now,
        )
        return Claim(sent, message.overrides(policy), person=bool(turn.address))

    async def _count(self, turns: Iterable[_Turn], policy: NotificationPolicy) -> None:
        counted = [(turn, turn.claim) for turn in turns if turn.claim]
        if not counted:
            return
        claims = [(turn.contact, claim) for turn, claim in counted]
        for (turn, _), words in zip(
            counted, await self._paces.take(policy.organization_id, claims, policy), strict=True
        ):
            turn.words += [bounded(word, turn.reach.message, policy) for word in words]


def _of_system(reach: Reach, systems: Sequence[SystemPreference]) -> list[Word]:
    target = reach.delivery.target
    muted = [mute for one in systems if one.system_id == target.system_id for mute in one.muted]
    if mutes(muted, reach.message, reach.channels):
        return [Word(Stage.PREFERENCE, "system_muted", Verdict.SKIP)]
    return [Word(Stage.PREFERENCE, "wanted", Verdict.ALLOW)]


def _planned(reach: Reach, turns: Sequence[_Turn], now: datetime, *, told_whole: bool) -> TargetPlan:
    kept = [(turn, turn.last) for turn in turns]
    sending = [turn for turn, last in kept if last is None]
    first = next((last for _, last in kept if last), None)
    holds = _holds(kept)
    status = DeliveryStatus.SUCCESS if sending else DeliveryStatus.HELD if holds else DeliveryStatus.SKIPPED
    return TargetPlan(
        target=reach.delivery.target,
        status=status,
        reason="" if sending or first is None else first.code,
        steps=list({step.effect_id: step for turn in sending for step in reach.steps[turn.address]}.values()),
        holds=holds,
        collected=[
            _entry(turn, last.until) for turn, last in kept if last and last.verdict is Verdict.COLLECT and last.until
        ],
        reserved=[
            Reservation(claim=turn.claim.sent.claim, contact=turn.contact, effect_ids=turn.effect_ids)
            for turn in sending
            if turn.claim
        ],
        decisions=[decision for turn in turns for decision in _decisions(turn, now, whole=told_whole)],
    )


def _entry(turn: _Turn, due: datetime) -> DigestEntry:
    delivery, claim = turn.reach.delivery, turn.claim
    if claim is None:
        message = "a recipient has no claim"
        raise TypeError(message)
    notification = delivery.notification
    return DigestEntry(
        contact=turn.contact,
        target=delivery.target.model_copy(update={"recipients": [turn.address]}),
        item=DigestItem(
            item_id=claim.sent.claim,
            message=claim.sent.message,
            type=notification.type,
            title=delivery.rendered.subject or notification.title,
            text=" ".join(notification.message.split())[:255],
            wedding_id=claim.sent.wedding_id or None,
            due_at=due,
        ),
    )


def _holds(kept: Iterable[tuple[_Turn, Word | None]]) -> list[Hold]:
    """Return the waits, those that end at one instant for one reason as one."""
    waiting: dict[tuple[datetime, str], list[_Turn]] = {}
    for turn, last in kept:
        if last and last.verdict is Verdict.HOLD and last.until:
            waiting.setdefault((last.until, last.code), []).append(turn)
    return [
        Hold(
            recipients=[turn.address for turn in turns],
            contacts=[turn.contact for turn in turns],
            not_before=until,
            reason=code,
        )
        for (until, code), turns in sorted(waiting.items())
    ]


def _decisions(turn: _Turn, now: datetime, *, whole: bool) -> list[Decision]:
    words = [word for word in turn.words if whole or word.verdict is not Verdict.ALLOW]
    system_id, recipient = turn.reach.delivery.target.system_id, turn.contact if turn.address else None
    decisions = [decision_of(word, system_id, now, recipient) for word in words]
    if turn.last is None:
        sends = decision_of(Word(Stage.DELIVERY, "allowed", Verdict.SEND), system_id, now, recipient)
        decisions.append(sends.model_copy(update={"effect_ids": turn.effect_ids}))
    return decisions


def decision_of(word: Word, system_id: str, now: datetime, recipient: str | None = None) -> Decision:
    """Return the decision that a word makes about a target, or about one recipient of it."""
    return Decision(
        stage=word.stage,
        code=word.code,
        verdict=word.verdict,
        system_id=system_id,
        recipient=recipient,
        until=word.until,
        at=now,
        detail=word.detail,
    )
