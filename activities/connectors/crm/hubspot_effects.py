"""The effects of one delivery at HubSpot, planned without I/O: contact and deal updates, notes and tasks."""

from __future__ import annotations

from html import escape

from pydantic import JsonValue, ValidationError

from activities.connectors.crm.hubspot_mapping import formatted, instant
from activities.connectors.crm.hubspot_schema import EFFECT_ID_PROPERTY, known_properties
from contracts.effects import Delivery, DeliveryIntent, EffectStep
from contracts.errors import InvalidInput
from contracts.names import effect_id
from contracts.notification import CRMContact, NotificationMetadata

CONTACT_UPDATE, DEAL_UPDATE = "contact.update", "deal.update"
NOTE_CREATE, TASK_CREATE = "note.create", "task.create"
OBJECT_OF_KIND = {CONTACT_UPDATE: "contacts", DEAL_UPDATE: "deals", NOTE_CREATE: "notes", TASK_CREATE: "tasks"}
CREATING_KINDS = frozenset({NOTE_CREATE, TASK_CREATE})

# HubSpot's own association type ids: https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide (v4).
_NOTE_TO_CONTACT, _NOTE_TO_COMPANY, _NOTE_TO_DEAL, _TASK_TO_CONTACT = 202, 190, 214, 204
_TASK_TYPES = {"call": "CALL", "email": "EMAIL"}


def plan_steps(delivery: Delivery) -> list[EffectStep]:
    """Return the steps of a delivery, each once even where two contacts share a deal.

    Raises:
        InvalidInput: a notification names no contact, lacks the new deal stage, or maps a value a property refuses.
    """
    metadata = _metadata(delivery)
    if delivery.intent is DeliveryIntent.TASK:
        return [_task(delivery)]
    if not delivery.target.contacts:
        raise _invalid(delivery, "no_contacts", "names no contact", "Name at least one crmContactId for the target.")
    if metadata.affects_deal_stage and not metadata.new_deal_stage:
        raise _invalid(delivery, "no_deal_stage", "affects the deal stage but names none", "Give newDealStage.")
    properties = _contact_properties(delivery, metadata)
    steps: dict[str, EffectStep] = {}
    for contact in delivery.target.contacts:
        found = [
            _step(delivery, CONTACT_UPDATE, contact.crm_contact_id, {"properties": dict(properties)}),
            _note(delivery, contact),
        ]
        if metadata.affects_deal_stage and contact.deal_id:
            stage: dict[str, JsonValue] = {"dealstage": metadata.new_deal_stage}
            found.append(_step(delivery, DEAL_UPDATE, contact.deal_id, {"properties": stage}))
        for step in found:
            steps.setdefault(step.effect_id, step)
    return list(steps.values())


def note_body(delivery: Delivery) -> str:
    """Return the note as HTML; the same delivery always gives the same text."""
    notification = delivery.notification
    wedding = notification.wedding_context
    day = wedding.wedding_date.isoformat() if wedding and wedding.wedding_date else "N/A"
    details = [
        ("Type", notification.type),
        ("Priority", notification.priority.value),
        ("Message", delivery.rendered.text or notification.message),
        ("Wedding Date", day),
        ("Vendor", (wedding.vendor_name if wedding else "") or "N/A"),
    ]
    actions = [action.label for action in notification.actions] or ["No actions required"]
    sent = ["Sent via WedSync Notification System", f"Timestamp: {instant(delivery.occurred_at)}"]
    parts = [
        f"<p><strong>WedSync Notification: {escape(notification.title)}</strong></p>",
        _section("Notification Details", [f"{name}: {value}" for name, value in details]),
        _section("Actions Taken", actions),
        _section("Delivery Status", sent),
    ]
    return "".join(parts)


def _section(title: str, lines: list[str]) -> str:
    items = "".join(f"<li>{escape(line).replace(chr(10), '<br>')}</li>" for line in lines)
    return f"<p><strong>{title}:</strong></p><ul>{items}</ul>"


def _metadata(delivery: Delivery) -> NotificationMetadata:
    try:
        return NotificationMetadata.model_validate(delivery.notification.metadata)
    except ValidationError as error:
        paths = sorted(
            {".".join(str(part) for part in problem["loc"]) for problem in error.errors(include_input=False)}
        )
    raise _invalid(delivery, "invalid_metadata", f"carries unreadable metadata ({', '.join(paths)})", "Correct them.")


def _contact_properties(delivery: Delivery, metadata: NotificationMetadata) -> dict[str, JsonValue]:
    wedding, changes = delivery.notification.wedding_context, metadata.timeline_changes
    day = (changes and changes.new_wedding_date) or (wedding and wedding.wedding_date)
    facts: dict[str, JsonValue] = {
        "wedding_date": day.isoformat() if day else None,
        "wedding_venue": (changes and changes.new_venue) or (wedding and wedding.venue_name) or None,
        "wedding_status": _known_option("wedding_status", metadata.new_status),
        "wedding_package_type": _known_option("wedding_package_type", metadata.wedding_package_type),
        "last_notification_sent": instant(delivery.occurred_at),
    }
    given: dict[str, JsonValue] = {name: value for name, value in facts.items() if value}
    given.update(delivery.rendered.properties)
    known = known_properties("contacts")
    return {name: formatted("contacts", known.get(name), name, value) for name, value in given.items()}


def _known_option(name: str, word: str) -> str | None:
    # A booking system's own status word need not be one of the contact's options; it is then not a known fact here.
    return word.lower() if word.lower() in known_properties("contacts")[name].options else None


def _note(delivery: Delivery, contact: CRMContact) -> EffectStep:
    ends = (
        (contact.crm_contact_id, _NOTE_TO_CONTACT),
        (contact.company_id, _NOTE_TO_COMPANY),
        (contact.deal_id, _NOTE_TO_DEAL),
    )
    properties: dict[str, JsonValue] = {
        "hs_timestamp": instant(delivery.occurred_at),
        "hs_note_body": note_body(delivery),
    }
    links: list[JsonValue] = [_association(object_id, type_id) for object_id, type_id in ends if object_id]
    return _step(delivery, NOTE_CREATE, contact.crm_contact_id, {"properties": properties, "associations": links})


def _task(delivery: Delivery) -> EffectStep:
    notification = delivery.notification
    words = f"{notification.metadata.get('taskType', '')}_{notification.type}".lower().replace("-", "_").split("_")
    properties: dict[str, JsonValue] = {
        "hs_task_subject": delivery.rendered.subject or notification.title,
        "hs_task_body": escape(delivery.rendered.text or notification.message).replace("\n", "<br>"),
        "hs_timestamp": instant(delivery.occurred_at),
        "hs_task_status": "NOT_STARTED",
        "hs_task_type": next((_TASK_TYPES[word] for word in words if word in _TASK_TYPES), "TODO"),
    }
    ids = dict.fromkeys(contact.crm_contact_id for contact in delivery.target.contacts)
    links: list[JsonValue] = [_association(contact_id, _TASK_TO_CONTACT) for contact_id in ids]
    return _step(delivery, TASK_CREATE, "", {"properties": properties, "associations": links})


def _association(object_id: str, type_id: int) -> dict[str, JsonValue]:
    kind: dict[str, JsonValue] = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}
    return {"to": {"id": object_id}, "types": [kind]}


def _step(delivery: Delivery, kind: str, subject_id: str, payload: dict[str, JsonValue]) -> EffectStep:
    target = delivery.target
    identity = effect_id(delivery.organization_id, delivery.business_key, target.system_id, kind, subject_id)
    creates = kind in CREATING_KINDS
    properties = payload["properties"]
    if creates and isinstance(properties, dict):
        payload = {**payload, "properties": {**properties, EFFECT_ID_PROPERTY: identity}}
    return EffectStep(
        effect_id=identity,
        organization_id=delivery.organization_id,
        integration_id=target.integration_id,
        system=target.system_type,
        kind=kind,
        object_id=None if creates else subject_id,
        payload=payload,
    )


def _invalid(delivery: Delivery, code: str, problem: str, action: str) -> InvalidInput:
    return InvalidInput(
        code,
        f"The notification for the target {delivery.target.system_id} {problem}.",
        action=action,
        system="hubspot",
        operation="plan",
    )
