"""Planning what a calendar shall hold: a wedding's event, an event of its own, or the tentative hold of a slot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from activities.ports.connection import Connection
from contracts.base import JsonObject
from contracts.effects import Delivery, EffectStep
from contracts.errors import InvalidInput
from contracts.names import effect_id
from contracts.notification import NotificationMetadata, WeddingContext

WEDDING, EVENT, HOLD = "event.upsert", "event.create", "hold.create"
_USUAL_HOURS = "8"


class Planner:
    """Builds the step of one delivery.

    Args:
        delivery: says what happens to which wedding.
        connection: its settings name the calendars.
    """

    def __init__(self, delivery: Delivery, connection: Connection) -> None:
        self._delivery = delivery
        self._connection = connection
        try:
            self._facts = NotificationMetadata.model_validate(delivery.notification.metadata)
        except ValidationError:
            raise _invalid("metadata_invalid", "The notification's metadata has a field of the wrong type.") from None

    def wedding(self) -> list[EffectStep]:
        """Return the event of the wedding as the notification has it, nothing when it has no day.

        The event is the same for every notification about the wedding to this target.

        Raises:
            InvalidInput: the zone or the length is none.
        """
        context, changes = self._delivery.notification.wedding_context, self._facts.timeline_changes
        day = (changes.new_wedding_date if changes else None) or (context.wedding_date if context else None)
        if context is None or day is None:
            return []
        clock = (changes and changes.new_wedding_time) or context.wedding_time
        zone = _zone(context.time_zone)
        payload: JsonObject
        if clock is None:
            payload = {"start": day.isoformat(), "end": (day + timedelta(days=1)).isoformat()}
        else:
            begin = datetime.combine(day, clock.replace(tzinfo=None), zone)
            payload = {"start": begin.isoformat(), "end": (begin.astimezone(UTC) + self._length()).isoformat()}
        payload |= self._words(context, (changes and changes.new_venue) or context.venue_name)
        payload |= {"timeZone": zone.key, "status": "CONFIRMED", "booking": self._booking(context.wedding_id)}
        return [self._step(WEDDING, self._calendar(), ("wedding", context.wedding_id), payload)]

    def event(self) -> EffectStep:
        """Return an event of its own, at the slot in the notification's metadata; it takes the slot without asking.

        Raises:
            InvalidInput: `slot_invalid`.
        """
        return self._at_slot(EVENT, "CONFIRMED", (self._delivery.business_key,))

    def hold(self) -> EffectStep:
        """Return the tentative event of the slot in the notification's metadata.

        Whoever holds the same slot writes the same object.

        Raises:
            InvalidInput: `slot_missing` or `slot_invalid`.
        """
        return self._at_slot(HOLD, "TENTATIVE", ())

    @property
    def has_slot(self) -> bool:
        """Whether the notification's metadata name a slot."""
        return self._facts.slot is not None

    def _at_slot(self, kind: str, status: str, about: tuple[str, ...]) -> EffectStep:
        slot, context = self._facts.slot, self._delivery.notification.wedding_context
        if slot is None:
            raise _invalid("slot_missing", "The notification's metadata names no slot to hold.")
        if slot.ends_at <= slot.starts_at:
            raise _invalid("slot_invalid", "The slot ends before it begins.")
        start, end = slot.starts_at.isoformat(), slot.ends_at.isoformat()
        booking = self._booking(self._delivery.wedding_id, context.wedding_id if context else None)
        words = self._words(context if kind == HOLD else None, "")
        payload: JsonObject = {**words, "start": start, "end": end, "timeZone": "UTC", "status": status}
        return self._step(kind, slot.resource_id, (kind, *about, start, end), {**payload, "booking": booking})

    def _booking(self, *wedding_ids: str | None) -> str:
        """Every id by which the booking may be known, so that its event and its hold know each other."""
        return " ".join(dict.fromkeys(filter(None, (self._facts.booking_id, self._facts.tave_job_id, *wedding_ids))))

    def _words(self, context: WeddingContext | None, place: str) -> JsonObject:
        notification, rendered = self._delivery.notification, self._delivery.rendered
        couple = context.client_name if context else ""
        title = f"Wedding {couple}" if couple else rendered.subject or notification.title
        return {
            "summary": rendered.properties.get("summary") or title,
            "description": "\n".join((rendered.text or f"{notification.title}\n{notification.message}").splitlines()),
            "location": rendered.properties.get("location") or place,
        }

    def _step(self, kind: str, calendar: str, about: tuple[str, ...], payload: JsonObject) -> EffectStep:
        delivery, target = self._delivery, self._delivery.target
        owner = () if kind == HOLD else (delivery.organization_id, target.system_id)
        uid = f"wedsync-{effect_id(*owner, *about)}"
        as_of = delivery.notification.created_at or delivery.occurred_at
        return EffectStep(
            effect_id=effect_id(delivery.organization_id, delivery.business_key, target.system_id, kind, calendar, uid),
            organization_id=delivery.organization_id,
            integration_id=target.integration_id,
            system="caldav",
            kind=kind,
            object_id=f"{calendar}/{uid}.ics",
            payload={**payload, "uid": uid, "asOf": as_of.isoformat()},
        )

    def _calendar(self) -> str:
        calendars = self._connection.settings.get("calendars")
        known = list(calendars) if isinstance(calendars, dict) else []
        chosen = self._delivery.target.settings.get("calendar") or self._connection.setting("calendar")
        if not chosen and len(known) == 1:
            return known[0]
        if not chosen:
            raise InvalidInput(
                "calendar_missing",
                "Neither the target nor the integration says which of the calendars takes events.",
                action="Name one in connectionConfig.calendar, or in the target's settings.calendar.",
                system="caldav",
            )
        if str(chosen) not in known:
            raise _invalid("calendar_unknown", "The target names none of the integration's calendars.")
        return str(chosen)

    def _length(self) -> timedelta:
        try:
            length = timedelta(hours=float(self._connection.setting("eventHours", _USUAL_HOURS)))
        except (ValueError, OverflowError):
            length = timedelta()
        if length <= timedelta():
            raise InvalidInput(
                "event_hours_invalid",
                "The setting eventHours is no number of hours.",
                action="Correct connectionConfig.eventHours.",
                system="caldav",
            )
        return length


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _invalid("unknown_time_zone", "The weddingContext's timeZone is no IANA zone.") from None


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(code, message, action="Correct the notification and send it again.", system="caldav")
