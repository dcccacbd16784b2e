"""The fulfilment of a Square order: what a notification makes it read, and whether it reads so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from datetime import time as clock
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import JsonValue

from contracts.base import JsonObject
from contracts.effects import Delivery
from contracts.errors import InvalidInput, Owner, Permanent
from contracts.notification import NotificationMetadata

UPDATE = "order.update"
_AS_OF = "wedsync_as_of"
_NOTE_LIMIT = 500
_DETAILS = {"PICKUP": ("pickup_details", "pickup_at"), "DELIVERY": ("delivery_details", "deliver_at")}
_ENDED = {"COMPLETED", "CANCELED", "FAILED"}


def wanted(delivery: Delivery, facts: NotificationMetadata) -> JsonObject:
    """Return what the order shall show: `note`, `date`, `time`, in `timeZone`, as told `asOf`.

    Raises:
        InvalidInput: the zone is none.
    """
    notification, changes = delivery.notification, facts.timeline_changes
    words = delivery.rendered.text or f"{notification.title}\n{notification.message}"
    zone = notification.wedding_context.time_zone if notification.wedding_context else "UTC"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid("unknown_time_zone", "The weddingContext's timeZone is no IANA zone.") from None
    shown: JsonObject = {
        "note": words[:_NOTE_LIMIT].strip(),
        "timeZone": zone,
        "asOf": (notification.created_at or delivery.occurred_at).isoformat(),
    }
    if changes is not None and changes.new_wedding_date is not None:
        shown["date"] = changes.new_wedding_date.isoformat()
    if changes is not None and changes.new_wedding_time is not None:
        shown["time"] = changes.new_wedding_time.replace(tzinfo=None).isoformat()
    return shown


def _fulfilment(order: Mapping[str, JsonValue]) -> tuple[dict[str, JsonValue], str, str]:
    """Return the first open pickup or delivery, with the names of its details and of their time."""
    listed = order.get("fulfillments")
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict) and str(one.get("type")) in _DETAILS and one.get("state") not in _ENDED:
            return one, *_DETAILS[str(one["type"])]
    raise Permanent(
        "fulfilment_missing",
        "The order has no pickup or delivery that is still open.",
        owner=Owner.TENANT,
        action="Add one to the order in Square, or name another order.",
        system="square",
        operation=UPDATE,
    )


def _details(order: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> tuple[JsonObject, JsonObject]:
    """Return the details as they are, and what they shall read: the day and the time that were told, and the note."""
    fulfilment, name, moment = _fulfilment(order)
    found = fulfilment.get(name)
    current: JsonObject = dict(found) if isinstance(found, dict) else {}
    shall: JsonObject = {"note": wanted["note"]}
    if "date" in wanted or "time" in wanted:
        zone = ZoneInfo(str(wanted["timeZone"]))
        given = current.get(moment)
        local = datetime.fromisoformat(given).astimezone(zone) if isinstance(given, str) else None
        day = str(wanted.get("date") or (local and local.date()) or "")
        at = str(wanted.get("time") or (local and local.time()) or "00:00")
        if day:
            begin = datetime.combine(date.fromisoformat(day), clock.fromisoformat(at), zone)
            shall[moment] = _rfc3339(begin)
            current[moment] = None if local is None else _rfc3339(local)
    return {key: current.get(key) for key in shall}, shall


def stands(order: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> bool:
    """Return whether an order reads as wanted, or tells something newer.

    Raises:
        Permanent: `fulfilment_missing`.
    """
    metadata, told = order.get("metadata"), str(wanted["asOf"])
    known = str(metadata.get(_AS_OF) or "") if isinstance(metadata, dict) else ""
    if known and known != told:
        return datetime.fromisoformat(known) > datetime.fromisoformat(told)
    current, shall = _details(order, wanted)
    return bool(known) and current == shall


def sparse(order: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> JsonObject:
    """Return the sparse order that makes an order read as wanted.

    Source: guide "Update Orders".

    Raises:
        Permanent: `fulfilment_missing`.
    """
    fulfilment, name, _ = _fulfilment(order)
    return {
        "location_id": order.get("location_id"),
        "version": order.get("version"),
        "metadata": {_AS_OF: str(wanted["asOf"])},
        "fulfillments": [{"uid": fulfilment.get("uid"), name: _details(order, wanted)[1]}],
    }


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def invalid(code: str, message: str) -> InvalidInput:
    """Return the error of a notification that cannot be shown."""
    return InvalidInput(code, message, action="Correct the notification and send it again.", system="square")
