"""Notifications in a Salesforce org: an activity on the contact or lead, and the opportunity's stage."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from pydantic import JsonValue, ValidationError

from activities.connectors.crm.salesforce_api import Answer, SalesforceApi
from activities.connectors.crm.salesforce_schema import EFFECT_ID_FIELD, SYSTEM, TASK_OBJECT
from contracts.effects import Delivery, DeliveryIntent, EffectOutcome, EffectStep, StandingEffect
from contracts.errors import InvalidInput, Permanent
from contracts.names import effect_id
from contracts.notification import NotificationMetadata
from contracts.sync import SyncPriority

TASK_UPSERT, OPPORTUNITY_UPDATE = "task.upsert", "opportunity.update"
_URGENT = frozenset({SyncPriority.HIGH, SyncPriority.CRITICAL})
_MAX_SUBJECT, _MAX_DESCRIPTION = 255, 32_000


def plan_steps(delivery: Delivery) -> list[EffectStep]:
    """Return one activity per contact or lead, and the new stage of each opportunity, each once.

    A notification is an activity that is completed, a task one that is not started; a task may be without a contact.

    Raises:
        InvalidInput: a notification names no contact, or lacks the new stage.
    """
    contacts = delivery.target.contacts
    if delivery.intent is DeliveryIntent.TASK:
        first = contacts[0] if contacts else None
        return [_task(delivery, first.crm_contact_id if first else "", first.deal_id if first else None)]
    if not contacts:
        raise _invalid(delivery, "no_contacts", "names no contact", "Name at least one crmContactId for the target.")
    metadata = _metadata(delivery)
    if metadata.affects_deal_stage and not metadata.new_deal_stage:
        raise _invalid(delivery, "no_deal_stage", "affects the deal stage but names none", "Give newDealStage.")
    steps: dict[str, EffectStep] = {}
    for contact in contacts:
        found = [_task(delivery, contact.crm_contact_id, contact.deal_id)]
        if metadata.affects_deal_stage and contact.deal_id:
            stage: dict[str, JsonValue] = {"StageName": metadata.new_deal_stage}
            found.append(_step(delivery, OPPORTUNITY_UPDATE, contact.deal_id, stage, object_id=contact.deal_id))
        for step in found:
            steps.setdefault(step.effect_id, step)
    return list(steps.values())


async def apply_step(api: SalesforceApi, step: EffectStep) -> EffectOutcome:
    """Make the one write of `step`; an activity that stands already is a replay.

    Idempotent: yes; the activity is upserted by its effect id, the stage is set.

    Raises:
        Permanent: `not_found`, there is no such opportunity, or the org lacks the effect id field; `request_refused`.
        OutcomeUnknown: the answer was lost; repeating is safe.
        InvalidInput: `unknown_step`.

    Source: https://developer.salesforce.com/docs/platform/api-rest/guide/dome-upsert.html (v67.0).
    """
    answer = await api.call(step.kind, "PATCH", _path(step), body=dict(step.payload), writes=True)
    if step.kind == OPPORTUNITY_UPDATE:
        return EffectOutcome(remote_id=step.object_id)
    return EffectOutcome(remote_id=answer.text("id"), replayed=answer.body.get("created") is False)


async def find_step(api: SalesforceApi, step: EffectStep) -> EffectOutcome | None:
    """Ask for the activity by its effect id; an opportunity holds the effect when it has the stage.

    Raises:
        InvalidInput: `unknown_step`.
    """
    fields = "Id,StageName" if step.kind == OPPORTUNITY_UPDATE else "Id"
    try:
        answer = await api.call(f"{step.kind}.find", "GET", _path(step), params={"fields": fields}, writes=False)
    except Permanent as refused:
        if refused.detail.evidence.get("status") == HTTPStatus.NOT_FOUND:
            return None
        raise
    if step.kind == OPPORTUNITY_UPDATE and not _holds(answer, step):
        return None
    return EffectOutcome(remote_id=answer.text("Id"), replayed=True)


async def check_step(api: SalesforceApi, step: EffectStep) -> None:
    """Read the opportunity whose stage the effect changes; an activity is not looked at before it is made.

    Raises:
        Permanent: `not_found`, or the token may not read it.
    """
    if step.kind == OPPORTUNITY_UPDATE:
        await api.call(f"{step.kind}.check", "GET", _path(step), params={"fields": "Id"}, writes=False)


async def retract_effect(api: SalesforceApi, effect: StandingEffect) -> None:
    """Delete the activity.

    Idempotent: yes, what is deleted already is answered with 404 (`NOT_FOUND` or `ENTITY_IS_DELETED`).

    Source: https://developer.salesforce.com/docs/platform/api-rest/guide/dome-delete-record.html (v67.0).
    """
    try:
        await api.call(f"{effect.kind}.retract", "DELETE", _row(TASK_OBJECT, str(effect.remote_id)), writes=True)
    except Permanent as refused:
        if refused.detail.evidence.get("status") != HTTPStatus.NOT_FOUND:
            raise


async def correct_effect(api: SalesforceApi, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
    """Write the fields of `step` over the activity, or the stage over the opportunity's.

    Idempotent: yes.

    Raises:
        Permanent: `not_found`, the record is not there any more.

    Source: https://developer.salesforce.com/docs/platform/api-rest/guide/dome-update-fields.html (v67.0).
    """
    sobject = TASK_OBJECT if effect.kind == TASK_UPSERT else "Opportunity"
    path = _row(sobject, str(effect.remote_id))
    await api.call(f"{effect.kind}.correct", "PATCH", path, body=dict(step.payload), writes=True)
    return EffectOutcome(remote_id=effect.remote_id)


def _row(sobject: str, record_id: str) -> str:
    return f"sobjects/{sobject}/{quote(record_id, safe='')}"


def _holds(answer: Answer, step: EffectStep) -> bool:
    return answer.text("StageName") == step.payload.get("StageName")


def _path(step: EffectStep) -> str:
    if step.kind == TASK_UPSERT:
        return f"sobjects/{TASK_OBJECT}/{EFFECT_ID_FIELD}/{quote(step.effect_id, safe='')}"
    if step.kind == OPPORTUNITY_UPDATE and step.object_id:
        return _row("Opportunity", step.object_id)
    raise InvalidInput(
        "unknown_step",
        f"Salesforce has no effect of the kind {step.kind}.",
        action="Plan the delivery again with this version.",
        system=SYSTEM,
        operation="apply",
    )


def _task(delivery: Delivery, who: str, what: str | None) -> EffectStep:
    notification = delivery.notification
    fields: dict[str, JsonValue] = {
        "Subject": (delivery.rendered.subject or notification.title)[:_MAX_SUBJECT],
        "Description": _description(delivery)[:_MAX_DESCRIPTION],
        "Status": "Not Started" if delivery.intent is DeliveryIntent.TASK else "Completed",
        "Priority": "High" if notification.priority in _URGENT else "Normal",
        "ActivityDate": delivery.occurred_at.date().isoformat(),
    }
    links = {"WhoId": who, "WhatId": what}
    fields |= {name: value for name, value in links.items() if value}
    return _step(delivery, TASK_UPSERT, who, fields)


def _description(delivery: Delivery) -> str:
    notification, wedding = delivery.notification, delivery.notification.wedding_context
    lines = [delivery.rendered.text or notification.message]
    if wedding is not None:
        day = wedding.wedding_date.isoformat() if wedding.wedding_date else ""
        known = (("Wedding date", day), ("Venue", wedding.venue_name), ("Vendor", wedding.vendor_name))
        lines += [f"{name}: {value}" for name, value in known if value]
    lines += [f"Action: {action.label}" for action in notification.actions]
    return "\n".join(lines)


def _metadata(delivery: Delivery) -> NotificationMetadata:
    try:
        return NotificationMetadata.model_validate(delivery.notification.metadata)
    except ValidationError as error:
        places = {".".join(str(part) for part in problem["loc"]) for problem in error.errors(include_input=False)}
    paths = ", ".join(sorted(places))
    raise _invalid(delivery, "invalid_metadata", f"carries unreadable metadata ({paths})", "Correct them.")


def _step(
    delivery: Delivery, kind: str, subject_id: str, payload: dict[str, JsonValue], *, object_id: str | None = None
) -> EffectStep:
    target = delivery.target
    return EffectStep(
        effect_id=effect_id(delivery.organization_id, delivery.business_key, target.system_id, kind, subject_id),
        organization_id=delivery.organization_id,
        integration_id=target.integration_id,
        system=target.system_type,
        kind=kind,
        object_id=object_id,
        payload=payload,
    )


def _invalid(delivery: Delivery, code: str, problem: str, action: str) -> InvalidInput:
    return InvalidInput(
        code,
        f"The notification for the target {delivery.target.system_id} {problem}.",
        action=action,
        system=SYSTEM,
        operation="plan",
    )
