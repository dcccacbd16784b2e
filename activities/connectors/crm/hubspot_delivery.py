"""The one vendor call that carries out, looks for, takes back or corrects an effect at HubSpot."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from pydantic import JsonValue, TypeAdapter, ValidationError

from activities.connectors.crm.hubspot_api import SYSTEM, Answer, HubSpotApi, bad_response
from activities.connectors.crm.hubspot_effects import CREATING_KINDS, OBJECT_OF_KIND
from activities.connectors.crm.hubspot_mapping import same_values
from activities.connectors.crm.hubspot_schema import EFFECT_ID_PROPERTY, STATE_PROPERTY, known_properties
from contracts.base import Instant
from contracts.effects import EffectOutcome, EffectStep, StandingEffect
from contracts.engagement import NotificationState
from contracts.errors import InvalidInput, Permanent

_CLASH_STATUSES = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT})
_INSTANT: TypeAdapter[Instant] = TypeAdapter(Instant)


async def apply_step(api: HubSpotApi, step: EffectStep) -> EffectOutcome:
    """Make the one write of `step`; creating what stands already is a replay, not an error.

    Raises:
        Permanent: `not_found`, the contact or deal does not exist; `request_refused`.
        OutcomeUnknown: the answer was lost; `find` tells whether the effect stands.
        InvalidInput: `unknown_step`.

    Source: https://developers.hubspot.com/docs/api-reference/crm-notes-v3/guide,
        https://developers.hubspot.com/docs/api-reference/crm-tasks-v3/guide (v3).
    """
    object_type = _object_type(step.kind)
    if step.kind not in CREATING_KINDS:
        changed = await api.call(
            step.kind, "objects.update", object_type, step.object_id, dict(step.payload), writes=True
        )
        return _outcome(changed, "updatedAt")
    try:
        created = await api.call(step.kind, "objects.create", object_type, dict(step.payload), writes=True)
    except Permanent as refused:
        standing = await find_step(api, step) if refused.detail.evidence.get("status") in _CLASH_STATUSES else None
        if standing is None:
            raise
        return standing
    return _outcome(created, "createdAt")


async def find_step(api: HubSpotApi, step: EffectStep) -> EffectOutcome | None:
    """Ask for a note or task by its effect id; a contact or deal holds the effect when all its values are there.

    Raises:
        InvalidInput: `unknown_step`.
    """
    object_type, creates = _object_type(step.kind), step.kind in CREATING_KINDS
    wanted = _wanted(step)
    names = [EFFECT_ID_PROPERTY] if creates else list(wanted)
    options = {"id_property": EFFECT_ID_PROPERTY} if creates else {}
    object_id = step.effect_id if creates else step.object_id
    operation = f"{step.kind}.find"
    try:
        answer = await api.call(
            operation, "objects.get_by_id", object_type, object_id, writes=False, properties=names, **options
        )
    except Permanent as refused:
        if refused.detail.evidence.get("status") == HTTPStatus.NOT_FOUND:
            return None
        raise
    held = answer.body.get("properties")
    if not isinstance(held, dict):
        raise bad_response(operation, answer.status, writes=False)
    types = {name: spec.type.value for name, spec in known_properties(object_type).items()}
    if not creates and not same_values(types, wanted, held):
        return None
    return _outcome(answer, "createdAt" if creates else "updatedAt", replayed=True)


async def check_step(api: HubSpotApi, step: EffectStep) -> None:
    """Read the contact or deal that the effect changes; what only creates is not looked at.

    Raises:
        Permanent: `not_found`; or the token may not read it.
    """
    if step.kind not in CREATING_KINDS:
        object_type = _object_type(step.kind)
        operation = f"{step.kind}.check"
        await api.call(operation, "objects.get_by_id", object_type, step.object_id, writes=False)


async def retract_effect(api: HubSpotApi, effect: StandingEffect) -> None:
    """Archive a note or task.

    Idempotent: yes, HubSpot answers the same when it is archived already.

    Source: https://developers.hubspot.com/docs/api-reference/crm-notes-v3/guide (v3).
    """
    operation = f"{effect.kind}.retract"
    try:
        await api.archive(operation, _object_type(effect.kind), str(effect.remote_id))
    except Permanent as refused:
        if refused.detail.evidence.get("status") != HTTPStatus.NOT_FOUND:
            raise


async def show_state(api: HubSpotApi, effect: StandingEffect, state: NotificationState) -> bool:
    """Write into a note or task how far its notification came; contacts and deals stand for more than one.

    Idempotent: yes.

    Raises:
        Permanent: `not_found`, the record is not there any more.

    Source: https://developers.hubspot.com/docs/api-reference/crm-notes-v3/guide (v3).
    """
    if effect.kind not in CREATING_KINDS:
        return False
    values: dict[str, JsonValue] = {STATE_PROPERTY: state.value}
    operation, body = f"{effect.kind}.state", {"properties": values}
    await api.call(operation, "objects.update", _object_type(effect.kind), effect.remote_id, body, writes=True)
    return True


async def correct_effect(api: HubSpotApi, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
    """Write the values of `step` over the note, task, contact or deal; a note keeps the id of its effect.

    Idempotent: yes.

    Raises:
        Permanent: `not_found`, the record is not there any more.

    Source: https://developers.hubspot.com/docs/api-reference/crm-notes-v3/guide (v3).
    """
    values: dict[str, JsonValue] = {name: value for name, value in _wanted(step).items() if name != EFFECT_ID_PROPERTY}
    record_id = effect.remote_id or effect.object_id
    changed = await api.call(
        f"{effect.kind}.correct",
        "objects.update",
        _object_type(effect.kind),
        record_id,
        {"properties": values},
        writes=True,
    )
    return _outcome(changed, "updatedAt")


def _object_type(kind: str) -> str:
    if kind in OBJECT_OF_KIND:
        return OBJECT_OF_KIND[kind]
    raise InvalidInput(
        "unknown_step",
        f"HubSpot has no effect of the kind {kind}.",
        action="Plan the delivery again with this version.",
        system=SYSTEM,
        operation="apply",
    )


def _wanted(step: EffectStep) -> Mapping[str, JsonValue]:
    properties = step.payload.get("properties")
    return properties if isinstance(properties, dict) else {}


def _outcome(answer: Answer, stamp: str, *, replayed: bool = False) -> EffectOutcome:
    try:
        applied_at = _INSTANT.validate_python(answer.body.get(stamp))
    except ValidationError:
        applied_at = None
    return EffectOutcome(remote_id=answer.text("id"), replayed=replayed, applied_at=applied_at)
