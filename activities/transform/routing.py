"""Which targets a notification goes to, and how it reads at each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import JsonValue

from activities.transform import rules, templates
from activities.transform.judging import Message
from contracts.effects import Delivery, DeliveryIntent, Rendered
from contracts.identity import SenderIdentity, TemplateWords
from contracts.notification import CrossSystemRouting, SourceNotification, TargetSystem, WeddingContext
from contracts.sync import SyncPriority
from contracts.wedding import Participant, TimelineStep, Wedding


def facts_of(notification: SourceNotification, target: TargetSystem | None = None) -> dict[str, JsonValue]:
    """Return what conditions and templates may read: `notification`, `wedding` and `target`, in wire names."""
    facts: dict[str, JsonValue] = {
        "notification": notification.model_dump(mode="json", exclude={"wedding_context"}),
        "wedding": notification.wedding_context.model_dump(mode="json") if notification.wedding_context else {},
    }
    if target is not None:
        facts["target"] = target.model_dump(mode="json", exclude={"recipients"})
    return facts


def refusal(routing: CrossSystemRouting, target: TargetSystem) -> str | None:
    """Return the reason code of the first rule that keeps the notification from `target`, None when all hold.

    Raises:
        InvalidInput: a rule's condition is not usable.
    """
    facts = facts_of(routing.source_notification, target)
    for rule in routing.routing_rules:
        governs = not rule.system_ids or target.system_id in rule.system_ids
        if governs and not rules.holds(rule.condition, facts, name=f"the routing rule {rule.rule_id}"):
            return f"rule:{rule.rule_id}"
    return None


def standbys(routing: CrossSystemRouting) -> set[str]:
    """Return the systems that stand by for another."""
    return {name for chain in standby_systems(routing).values() for name in chain}


def standby_systems(routing: CrossSystemRouting) -> dict[str, list[str]]:
    """Return system id -> the systems that stand by for it, from the routing and from its targets."""
    chains = {name: list(chain) for name, chain in routing.error_handling.failover.items()}
    for target in routing.target_systems:
        if target.failover:
            chains.setdefault(target.system_id, list(target.failover))
    return chains


@dataclass(frozen=True)
class Voice:
    """In whose name an organisation writes, and its own words for this kind of message."""

    sender: SenderIdentity = field(default_factory=SenderIdentity)
    words: TemplateWords | None = None


def rendered(routing: CrossSystemRouting, target: TargetSystem, voice: Voice) -> Rendered:
    """Return the notification in the words of the target's transformation map, else the organisation's own.

    Where neither has a subject or a text, title and message stand.

    Raises:
        InvalidInput: a template is not usable.
    """
    notification = routing.source_notification
    facts = facts_of(notification, target)
    chosen = next((item for item in routing.transformation_maps if item.system_id == target.system_id), None)
    if chosen is None:
        return spoken(voice, facts, subject=notification.title)
    name = f"the transformation map of {chosen.system_id}"
    properties = {key: templates.render(value, facts, name=name)[:4_000] for key, value in chosen.properties.items()}
    words = TemplateSource(name, chosen.subject_template, chosen.template)
    return _filled(words, facts, voice.sender, notification.title).model_copy(update={"properties": properties})


def spoken(voice: Voice, facts: Mapping[str, JsonValue], *, subject: str, library: str | None = None) -> Rendered:
    """Return facts in the organisation's own words, else in those of the library.

    Args:
        voice: the organisation's.
        facts: variable name -> JSON value; `sender` is added.
        subject: stands where there are no words for it.
        library: a template of the library that stands for what the organisation leaves out.

    Raises:
        InvalidInput: the library has no such template, or a template is not usable for these facts.
    """
    own = voice.words
    name = f"the template {own.name}" if own else library or ""
    words = TemplateSource(name, own.subject if own else None, own.text if own else None)
    if library is not None:
        words = TemplateSource(
            name, words.subject or templates.named(library, "subject"), words.text or templates.named(library, "text")
        )
    facts = {**facts, "sender": voice.sender.model_dump(mode="json")}
    filled = _filled(words, facts, voice.sender, subject)
    if own is None or own.html is None:
        return filled
    html = templates.render(own.html, facts, name=name, html=True)
    return filled.model_copy(update={"properties": {"html": html[:4_000]}})


@dataclass(frozen=True)
class TemplateSource:
    """The Jinja2 sources of a message and what they belong to."""

    name: str
    subject: str | None
    text: str | None


def _filled(words: TemplateSource, facts: Mapping[str, JsonValue], sender: SenderIdentity, subject: str) -> Rendered:
    if words.subject:
        subject = templates.render(words.subject, facts, name=words.name)
    text = templates.render(words.text, facts, name=words.name) if words.text else ""
    return Rendered(sender=sender, subject=" ".join(subject.split())[:255], text=text[:4_000])


def wedding_facts(wedding: Wedding) -> dict[str, JsonValue]:
    """Return what the templates of the library read: `wedding` in wire names, without its participants."""
    return {"wedding": wedding.model_dump(mode="json", exclude={"participants", "automations"})}


def mail_delivery(
    wedding: Wedding,
    step: TimelineStep,
    participant: Participant,
    target: TargetSystem,
    occurred_at: datetime,
    voice: Voice,
) -> Delivery:
    """Return the delivery of one step's e-mail to one participant, in the organisation's words or the library's.

    Raises:
        InvalidInput: the step's template is unknown, or not usable for this wedding.
    """
    template = step.action.template or ""
    words = spoken(voice, wedding_facts(wedding), subject="", library=template)
    return Delivery(
        organization_id=wedding.organization_id,
        business_key=step.step_id,
        notification=SourceNotification(
            notification_id=f"{step.step_id}.{participant.participant_id}"[:64],
            type=template,
            title=words.subject,
            message=words.text,
        ),
        target=target,
        rendered=words,
        wedding_id=wedding.wedding_id,
        occurred_at=occurred_at,
    )


def step_message(wedding: Wedding, step: TimelineStep, delivery: Delivery) -> Message:
    """Return what is judged of a step's message: it is due now, so no digest takes it."""
    return Message(
        type=delivery.notification.type,
        category="",
        priority=SyncPriority.HIGH,
        began_at=step.due_at,
        wedding=WeddingContext(
            wedding_id=wedding.wedding_id,
            wedding_date=wedding.wedding_date,
            wedding_time=wedding.ceremony_time,
            time_zone=wedding.time_zone,
        ),
        collectable=False,
    )


def task_delivery(wedding: Wedding, step: TimelineStep, target: TargetSystem, occurred_at: datetime) -> Delivery:
    """Return the delivery of one step's task to a system that keeps tasks."""
    kind = step.action.task_type or "task"
    title = kind.replace("_", " ").capitalize()
    text = f"{title} for the wedding {wedding.wedding_id}"
    if wedding.wedding_date:
        text += f" on {wedding.wedding_date.isoformat()}"
    return Delivery(
        organization_id=wedding.organization_id,
        business_key=step.step_id,
        notification=SourceNotification(notification_id=step.step_id, type=kind, title=title, message=text),
        target=target,
        rendered=Rendered(subject=title, text=text),
        intent=DeliveryIntent.TASK,
        wedding_id=wedding.wedding_id,
        occurred_at=occurred_at,
    )
