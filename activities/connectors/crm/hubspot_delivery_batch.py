"""Many planned effects of one kind in one HubSpot batch call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from activities.connectors.crm.hubspot_api import (
    SYSTEM,
    Answer,
    HubSpotApi,
    Json,
    bad_response,
    category_of,
    passes_by_itself,
)
from activities.connectors.crm.hubspot_delivery import find_step
from activities.connectors.crm.hubspot_effects import CREATING_KINDS, OBJECT_OF_KIND
from contracts.effects import EffectOutcome, EffectStep
from contracts.errors import Permanent, Transient, WedSyncError

BATCH = 100
_POISON_STATUSES = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
_EXISTS = "CONFLICT"


async def apply_steps(api: HubSpotApi, steps: Sequence[EffectStep]) -> Mapping[str, EffectOutcome | WedSyncError]:
    """Create or update the objects of `steps`, all of one kind; what stands already is a replay, not an error.

    Raises:
        Permanent: `batch_refused`, HubSpot refuses all without naming one; `missing_permission`.
        OutcomeUnknown: the answer was lost.

    Source: https://developers.hubspot.com/docs/api-reference/crm-notes-v3/batch/post-crm-v3-objects-notes-batch-create
        (v3); the write trace id is described at https://developers.hubspot.com/docs/api-reference/error-handling.
    """
    kind = steps[0].kind
    creates = kind in CREATING_KINDS
    endpoint = "batch.create" if creates else "batch.update"
    body: Json = {"inputs": [_input(step, creates=creates) for step in steps]}
    try:
        answer = await api.call(f"{kind}.batch", endpoint, OBJECT_OF_KIND[kind], body, writes=True)
    except Permanent as refused:
        if refused.detail.evidence.get("status") in _POISON_STATUSES and len(steps) > 1:
            raise _refused_as_a_whole(refused, len(steps)) from None
        raise
    told = {
        trace: EffectOutcome(remote_id=str(item["id"])) for item in answer.listed("results") if (trace := _of(item))
    }
    refused_steps = {trace: error for error in answer.errors() for trace in _traces(error)}
    return {step.effect_id: await _said(api, step, answer, told, refused_steps) for step in steps}


async def _said(
    api: HubSpotApi,
    step: EffectStep,
    answer: Answer,
    told: Mapping[str, EffectOutcome],
    refused: Mapping[str, Json],
) -> EffectOutcome | WedSyncError:
    if step.effect_id in told:
        return told[step.effect_id]
    error = refused.get(step.effect_id)
    if error is None:
        return bad_response(answer.operation, answer.status, writes=True)
    if category_of(error) == _EXISTS:
        try:
            found = await find_step(api, step)
        except WedSyncError as trouble:
            return trouble
        if found is not None:
            return found
    return _item_error(step, error)


def _input(step: EffectStep, *, creates: bool) -> Json:
    about: Json = {} if creates else {"id": step.object_id}
    return {**about, **step.payload, "objectWriteTraceId": step.effect_id}


def _of(item: Json) -> str:
    return str(item.get("objectWriteTraceId") or "")


def _traces(error: Json) -> list[str]:
    context = error.get("context")
    traces = context.get("objectWriteTraceId") if isinstance(context, dict) else None
    return [str(trace) for trace in traces] if isinstance(traces, list) else []


def _item_error(step: EffectStep, error: Json) -> WedSyncError:
    code = category_of(error) or "UNKNOWN"
    if passes_by_itself(error):
        return Transient(
            "item_not_taken",
            f"HubSpot could not take one {step.kind} of a batch for the moment.",
            system=SYSTEM,
            operation=step.kind,
            evidence={"vendorCode": code},
        )
    return Permanent(
        "not_found" if code == "OBJECT_NOT_FOUND" else "request_refused",
        f"HubSpot refuses one {step.kind} of a batch.",
        action="Correct the notification, its mapping or the record at HubSpot, and send it again.",
        system=SYSTEM,
        operation=step.kind,
        evidence={"vendorCode": code},
    )


def _refused_as_a_whole(refused: Permanent, size: int) -> Permanent:
    return Permanent(
        "batch_refused",
        f"HubSpot refused {refused.detail.operation} for {size} effects as a whole.",
        action="Send the halves of the batch until the effect stands alone.",
        system=SYSTEM,
        operation=refused.detail.operation,
        evidence=refused.detail.evidence,
    )
