"""Many planned activities in one Salesforce collection call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from pydantic import JsonValue

from activities.connectors.crm.salesforce_api import TRANSIENT_CODES, Json, SalesforceApi, error_codes
from activities.connectors.crm.salesforce_schema import EFFECT_ID_FIELD, SYSTEM, TASK_OBJECT
from contracts.effects import EffectOutcome, EffectStep
from contracts.errors import Permanent, Transient, WedSyncError

BATCH = 200


async def upsert_tasks(api: SalesforceApi, steps: Sequence[EffectStep]) -> Mapping[str, EffectOutcome | WedSyncError]:
    """Create or update the activities of `steps` by their effect ids.

    Idempotent: yes, by the external id.

    Raises:
        Permanent: `batch_refused`, Salesforce refuses all without naming one; `missing_permission`.
        OutcomeUnknown: the answer was lost.

    Source: https://developer.salesforce.com/docs/platform/api-rest/guide/
        resources-composite-sobjects-collections-upsert.html (v67.0).
    """
    operation = f"{steps[0].kind}.batch"
    attributes: JsonValue = {"type": TASK_OBJECT}
    rows: list[JsonValue] = [
        {"attributes": attributes, EFFECT_ID_FIELD: step.effect_id, **step.payload} for step in steps
    ]
    path = f"composite/sobjects/{TASK_OBJECT}/{EFFECT_ID_FIELD}"
    try:
        answer = await api.call(operation, "PATCH", path, body={"allOrNone": False, "records": rows}, writes=True)
    except Permanent as refused:
        if refused.detail.evidence.get("status") == HTTPStatus.BAD_REQUEST and len(steps) > 1:
            raise Permanent(
                "batch_refused",
                f"Salesforce refused {operation} for {len(steps)} activities as a whole.",
                action="Send the halves of the batch until the activity stands alone.",
                system=SYSTEM,
                operation=operation,
                evidence=refused.detail.evidence,
            ) from None
        raise
    found = answer.objects()
    if len(found) != len(steps) or any(type(item.get("success")) is not bool for item in found):
        raise answer.bad()
    return {step.effect_id: _said(step, item) for step, item in zip(steps, found, strict=True)}


def _said(step: EffectStep, item: Json) -> EffectOutcome | WedSyncError:
    if item["success"]:
        return EffectOutcome(remote_id=str(item.get("id")), replayed=item.get("created") is False)
    errors = item.get("errors")
    codes = error_codes([error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else [])
    evidence: dict[str, JsonValue] = {"vendorCode": " ".join(codes) or "UNKNOWN"}
    if codes and codes[0] in TRANSIENT_CODES:
        return Transient(
            "item_not_taken",
            f"Salesforce could not take one {step.kind} of a collection for the moment.",
            system=SYSTEM,
            operation=step.kind,
            evidence=evidence,
        )
    return Permanent(
        "request_refused",
        f"Salesforce refuses one {step.kind} of a collection.",
        action="Correct the notification or the record at Salesforce, and send it again.",
        system=SYSTEM,
        operation=step.kind,
        evidence=evidence,
    )
