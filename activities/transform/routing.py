"""Which targets a notification goes to, and how it reads at each of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue

from activities.transform import rules, templates
from contracts.effects import Delivery, DeliveryIntent, Rendered
from contracts.notification import CrossSystemRouting, SourceNotification, TargetSystem, TransformationMap
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


def standby_systems(routing: CrossSystemRouting) -> dict[str, list[str]]:
    """Return system id -> the systems that stand by for it, from the routing and from its targets."""
    chains = {name: list(chain) for name, chain in routing.error_handling.failover.items()}
    for target in routing.target_systems:
        if target.failover:
            chains.setdefault(target.system_id, list(target.failover))
    return chains


def rendered(routing: CrossSystemRouting, target: TargetSystem) -> Rendered:
    """Return the notification in the words of the target's transformation map, title and message without one.

    Raises:
        InvalidInput: a template is not usable.
    """
    notification = routing.source_notification
    chosen = next((item for item in routing.transformation_maps if item.system_id == target.system_id), None)
    if chosen is None:
        return Rendered(subject=notification.title, text="")
    return _filled(chosen, notification, facts_of(notification, target))


def _filled(chosen: TransformationMap, notification: SourceNotification, facts: Mapping[str, JsonValue]) -> Rendered:
    name = f"the transformation map of {chosen.system_id}"
    subject = notification.title
    if chosen.subject_template:
        subject = templates.render(chosen.subject_template, facts, name=name)
    return Rendered(
        subject=" ".join(subject.split())[:255],
        text=templates.render(chosen.template, facts, name=name)[:4_000] if chosen.template else "",
        properties={key: templates.render(value, facts, name=name)[:4_000] for key, value in chosen.properties.items()},
    )


def wedding_facts(wedding: Wedding) -> dict[str, JsonValue]:
    """Return what the templates of the library read: `wedding` in wire names, without its participants."""
    return {"wedding": wedding.model_dump(mode="json", exclude={"participants", "automations"})}


def mail_delivery(
    wedding: Wedding, step: TimelineStep, participant: Participant, target: TargetSystem, occurred_at: datetime
) -> Delivery:
    """Return the delivery of one step's e-mail to one participant.

    Raises:
        InvalidInput: the step's template is unknown.
    """
    facts = wedding_facts(wedding)
    template = step.action.template or ""
    subject = templates.render(templates.named(template, "subject"), facts, name=template)
    text = templates.render(templates.named(template, "text"), facts, name=template)
    return Delivery(
        organization_id=wedding.organization_id,
        business_key=step.step_id,
        notification=SourceNotification(
            notification_id=f"{step.step_id}.{participant.participant_id}"[:64],
            type=template,
            title=" ".join(subject.split())[:255],
            message=text[:4_000],
        ),
        target=target,
        rendered=Rendered(subject=" ".join(subject.split())[:255], text=text[:4_000]),
        wedding_id=wedding.wedding_id,
        occurred_at=occurred_at,
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
