"""Planning what a notification changes at Tripleseat."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from activities.connectors.booking.tripleseat_events import STATUSES
from contracts.base import JsonObject
from contracts.effects import Delivery, EffectStep
from contracts.errors import InvalidInput
from contracts.names import effect_id
from contracts.notification import NotificationMetadata

MOVE, STATUS, NOTE = "event.move", "event.status", "note.create"


class Planner:
    """Builds the steps of one delivery about one event."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        try:
            self._facts = NotificationMetadata.model_validate(delivery.notification.metadata)
        except ValidationError:
            raise _invalid("metadata_invalid", "The notification's metadata has a field of the wrong type.") from None
        if self._facts.tripleseat_event_id is None:
            raise _invalid("tripleseat_event_missing", "The notification's metadata names no tripleseatEventId.")
        self._event = self._facts.tripleseat_event_id

    def steps(self) -> list[EffectStep]:
        """Return the change of time and of status, where there is one, and the note.

        Raises:
            InvalidInput: the zone or the status is none.
        """
        return [*self._move(), *self._status(), self._note()]

    def _move(self) -> list[EffectStep]:
        changes, context = self._facts.timeline_changes, self._delivery.notification.wedding_context
        if changes is None or (changes.new_wedding_date is None and changes.new_wedding_time is None):
            return []
        zone = context.time_zone if context else "UTC"
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise _invalid("unknown_time_zone", "The weddingContext's timeZone is no IANA zone.") from None
        payload: JsonObject = {"timeZone": zone}
        if changes.new_wedding_date is not None:
            payload["date"] = changes.new_wedding_date.isoformat()
        if changes.new_wedding_time is not None:
            payload["time"] = changes.new_wedding_time.replace(tzinfo=None).isoformat()
        return [self._step(MOVE, payload)]

    def _status(self) -> list[EffectStep]:
        if not self._facts.updates_booking_status:
            return []
        status = self._facts.new_status.upper()
        if status not in STATUSES:
            raise InvalidInput(
                "unknown_booking_status",
                "The notification's newStatus is no status of a Tripleseat event.",
                action=f"Use one of {', '.join(STATUSES)}.",
                system="tripleseat",
            )
        return [self._step(STATUS, {"status": status})]

    def _note(self) -> EffectStep:
        notification, changes = self._delivery.notification, self._facts.timeline_changes
        words = self._delivery.rendered.text or f"{notification.title}\n{notification.message}"
        if changes is not None and changes.new_venue:
            words += f"\nNew place: {changes.new_venue}"
        step = self._step(NOTE, {})
        return step.model_copy(update={"payload": {"body": f"{words}\n\n{reference(step.effect_id)}"}})

    def _step(self, kind: str, payload: JsonObject) -> EffectStep:
        delivery, target = self._delivery, self._delivery.target
        return EffectStep(
            effect_id=effect_id(delivery.organization_id, delivery.business_key, target.system_id, kind, self._event),
            organization_id=delivery.organization_id,
            integration_id=target.integration_id,
            system="tripleseat",
            kind=kind,
            object_id=self._event,
            payload=payload,
        )


def reference(effect: str) -> str:
    """Return the line by which a note is found again."""
    return f"WedSync reference {effect}"


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(code, message, action="Correct the notification and send it again.", system="tripleseat")
