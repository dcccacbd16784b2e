"""Which fields of a Tave job and event are writable, and how a change is merged into and compared with them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

STAGES = ("lead", "booked", "fulfillment", "completed")
"""Stages of a job."""

_WRITABLE = {
    "job": (
        "bookingDate", "brandId", "closed", "closedDate", "closedReasonId", "completedDate", "contactFormId",
        "customFields", "eventDate", "fulfillmentDate", "guestCount", "inquiryDate", "jobTypeId", "leadConfidence",
        "leadDecisionExpectedByDate", "leadMaxBudget", "leadNotes", "leadRating", "leadSourceId", "leadStatusId",
        "name", "pinned", "stage", "webLead", "workflowId",
    ),
    "event": (
        "allDay", "channel", "confirmed", "descriptionHtml", "endDate", "endTime", "galleryId", "jobId", "location",
        "name", "phoneNumber", "startDate", "startTime", "timezoneId", "timezoneName", "typeId", "virtualUrl",
    ),
    "note": ("contentHtml", "date", "jobId"),
}  # fmt: skip
_ADDRESS = ("streetAddress", "village", "city", "state", "postalCode", "country")
_TIMES = frozenset({"startTime", "endTime"})


def merged(resource: str, current: Mapping[str, JsonValue], change: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the body of a PUT: the writable fields of `current` with those of `change` over them.

    External mappings are left out because the vendor does not allow them to be updated, and nulls because absent
    means the same.

    Args:
        resource: `job`, `event` or `note`.
        current: the object as read.
        change: the fields to write.

    Source: schemas Job, Event, Address and CustomFieldValue of the VSCO Workspace API v2.0.0.
    """
    body = {name: _writable(name, current[name]) for name in _WRITABLE[resource] if current.get(name) is not None}
    if "timezoneName" in change:
        body.pop("timezoneId", None)
    return {**body, **change}


def holds(current: JsonValue, change: JsonValue, *, name: str = "") -> bool:
    """Return whether `current` already has every value of `change`.

    Seconds of a time are ignored, as the vendor does; a null in `change` matches anything, because it only empties
    what goes with another value.

    Args:
        current: the object, or a value inside it.
        change: the wanted values.
        name: the field compared.
    """
    if isinstance(change, Mapping):
        return isinstance(current, Mapping) and all(
            holds(current.get(key), wanted, name=key) for key, wanted in change.items() if wanted is not None
        )
    if name in _TIMES:
        return str(current)[:5] == str(change)[:5]
    return current == change


def _writable(name: str, value: JsonValue) -> JsonValue:
    if name == "customFields" and isinstance(value, list):
        return [{key: field.get(key) for key in ("fieldId", "value")} for field in value if isinstance(field, dict)]
    if name == "location" and isinstance(value, dict):
        if value.get("id"):
            return {"id": value["id"]}
        address = value.get("address")
        return (
            {"address": {key: address[key] for key in _ADDRESS if key in address}}
            if isinstance(address, dict)
            else None
        )
    if name == "phoneNumber" and isinstance(value, dict):
        return {key: value[key] for key in ("e164", "formatted") if value.get(key)} or None
    return value
