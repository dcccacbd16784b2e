"""CalDAV: the wedding as one event that moves with it, slots held tentatively, and the times that are taken."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import JsonValue

from activities.connectors.calendar import caldav_events as events
from activities.connectors.calendar.caldav_dav import DavClient
from activities.connectors.calendar.caldav_plan import EVENT, HOLD, WEDDING, Planner
from activities.ports.availability import BusySlot
from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transport.client import open_client
from activities.transport.offload import offload
from contracts.effects import Delivery, DeliveryIntent, EffectOutcome, EffectStep, StandingEffect
from contracts.errors import InvalidInput, Permanent, Transient
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult

_PATH = re.compile(r"/(?:(?!\.)[A-Za-z0-9._~!$&'()*+,;=:@%-]+/)+")
_HOLD_CALLS = 5


class CalDav:
    """The calendars of one account on a CalDAV server.

    An event is named by its wedding and target and a hold by its slot, so that a repeat meets what stands. Two holds of
    one slot cannot both be written, because the second finds the name taken; holds that only overlap are looked for
    before and after the write, and whoever sees another gives way, so that of two at once both may, but never neither.
    What this does not cover: people and other programs that write without looking, after our second look; and servers
    whose queries lag behind their writes.

    Source: RFC 4791 (CalDAV), RFC 5545 (iCalendar).
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="caldav",
        title="CalDAV calendars",
        family=IntegrationType.CALENDAR,
        api_version="RFC 4791",
        documentation_url="https://www.rfc-editor.org/rfc/rfc4791",
        credential_fields=("username", "password"),
        default_base_url="https://caldav.icloud.com",
        free_hosts=True,
        ports=(443, 8443),
        capabilities=frozenset({Capability.DELIVER, Capability.CALENDAR, Capability.AVAILABILITY}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=50, per_s=10.0),
        required_settings=("calendars",),
        optional_settings=("calendar", "timeZone", "eventHours"),
        reversible=frozenset({WEDDING, EVENT, HOLD}),
        correctable=frozenset({WEDDING, EVENT}),
        notes=(
            "calendars maps a resource, such as a room, to the path of its calendar below the base URL.",
            "calendar names the one of them that takes events; a target's settings.calendar comes before it.",
            "timeZone is where days without a time lie, UTC without it; eventHours is how long a wedding lasts, 8.",
            "A wedding is one event per target: a later notification updates it, an earlier one changes nothing.",
            "A notification with metadata.slot becomes an event of its own in the calendar of the slot's resource.",
            "What people add to an event, such as alarms and guests, stays; our words and times are written over.",
            "A transformation map's properties summary and location come before our own words.",
            "A recalled event is removed, unless a later notification has been written over it.",
            "A hold makes up to five requests. No limit is standardised; 50 requests per 10 s are ours.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        account = f"{connection.secret('username')}:{connection.secret('password')}"
        basic = f"Basic {base64.b64encode(account.encode()).decode()}"
        self._http = DavClient(
            "caldav",
            open_client(connection, headers={"Authorization": basic}, timeout_s=self.manifest.timeout_s),
            timeout_s=self.manifest.timeout_s,
            admit=connection.admit,
        )

    async def aclose(self) -> None:
        """Close the sockets."""
        await self._http.aclose()

    async def probe(self) -> ConnectionProbe:
        """Ask what the account may do with the calendar that takes events, or with the first one.

        Raises:
            AuthExpired: the password is refused.
            Permanent: the path leads to no calendar.
            Transient: no usable answer.
        """
        name = self._connection.setting("calendar") or next(iter(self._calendars()))
        began = time.monotonic()
        granted = await self._http.privileges(self._calendar(name))
        return ConnectionProbe(ok=True, latency_ms=(time.monotonic() - began) * 1_000, features=sorted(granted))

    async def provision(self) -> ProvisionResult:
        """Create nothing: calendars are people's.

        Idempotent: yes.
        """
        return ProvisionResult()

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return the one event: the wedding's, one of its own at a slot, or a hold; nothing without a day or a slot.

        Raises:
            InvalidInput: no calendar is named, or the zone, the slot or another fact cannot be used.
        """
        planner = Planner(delivery, self._connection)
        if delivery.intent is DeliveryIntent.HOLD:
            steps = [planner.hold()]
        else:
            steps = [planner.event()] if planner.has_slot else planner.wedding()
        for step in steps:
            self._path(step.object_id)
        return steps

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Write the event.

        Idempotent: yes, by the object's name.

        Raises:
            Permanent: `slot_taken`, the slot of a hold is not free.
            Transient: `event_changed`, somebody wrote the event between our read and our write.
        """
        if step.kind == HOLD:
            async with self._connection.together(_HOLD_CALLS):
                return await self._hold(step)
        return await self._write(step, str(step.object_id), frozenset({step.effect_id}), creates=True)

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Return the outcome where the event reads as the step wants, or the slot is ours alone."""
        if step.kind == HOLD:
            mine, others = await self._holders(step)
            stands = bool(mine) and not others
        else:
            found = await self._http.read(self._path(step.object_id))
            stands = found is not None and events.stands(events.parsed(found[0], "event.read"), step.payload)
        return EffectOutcome(remote_id=step.object_id, replayed=True) if stands else None

    async def retract(self, effect: StandingEffect) -> None:
        """Remove the event, unless it shows a later effect by now.

        Idempotent: yes.
        """
        path = self._path(effect.object_id)
        async with self._connection.together(2):
            found = await self._http.read(path)
            if found is None or effect.effect_id not in events.effects_of(events.parsed(found[0], "event.read")):
                return
            if not await self._http.delete(path, f"{effect.kind}.retract", tag=found[1]):
                raise _changed(effect.kind)

    async def correct(self, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
        """Write what `step` says over the event of `effect`, which can be recalled as either of them.

        Idempotent: yes.

        Raises:
            Permanent: the event is gone.
        """
        effects = frozenset({effect.effect_id, step.effect_id})
        return await self._write(step, str(effect.object_id), effects, creates=False)

    async def busy(self, resource_id: str, starts_at: datetime, ends_at: datetime) -> Sequence[BusySlot]:
        """Return what the resource's calendar holds within a time, without what is cancelled or marked as free.

        Raises:
            InvalidInput: the settings know no such resource.
            Permanent: an event's times cannot be read.
        """
        return await self._taken(self._calendar(resource_id), starts_at, ends_at)

    async def _write(
        self, step: EffectStep, object_id: str, effects: frozenset[str], *, creates: bool
    ) -> EffectOutcome:
        path = self._path(object_id)
        async with self._connection.together(2):
            found = await self._http.read(path)
            if found is None and not creates:
                raise _gone(step.kind)
            standing = None if found is None else events.parsed(found[0], "event.read")
            if standing is not None and events.stands(standing, step.payload):
                return EffectOutcome(remote_id=object_id, replayed=True)
            body = events.written(standing, step.payload, effects)
            if not await self._http.put(path, body, step.kind, tag=None if found is None else found[1]):
                raise _changed(step.kind)
        return EffectOutcome(remote_id=object_id)

    async def _hold(self, step: EffectStep) -> EffectOutcome:
        path, outcome = self._path(step.object_id), EffectOutcome(remote_id=step.object_id)
        mine, others = await self._holders(step)
        if others:
            await self._give_way(step, path, standing=bool(mine))
        if not mine:
            body = events.written(None, step.payload, frozenset({step.effect_id}))
            if not await self._http.put(path, body, step.kind, tag=None):
                return await self._standing_hold(step, path)
        if not mine and (await self._holders(step))[1]:
            await self._give_way(step, path, standing=True)
        return outcome.model_copy(update={"replayed": bool(mine)})

    async def _standing_hold(self, step: EffectStep, path: str) -> EffectOutcome:
        """Write over the slot's hold where it is the same booking's."""
        found = await self._http.read(path)
        standing = None if found is None else events.parsed(found[0], "event.read")
        if found is None or standing is None or not events.bookings_of(standing) & _bookings(step):
            raise _slot_taken()
        if events.stands(standing, step.payload):
            return EffectOutcome(remote_id=step.object_id, replayed=True)
        body = events.written(standing, step.payload, events.effects_of(standing) | {step.effect_id})
        if not await self._http.put(path, body, step.kind, tag=found[1]):
            raise _changed(step.kind)
        return EffectOutcome(remote_id=step.object_id)

    async def _give_way(self, step: EffectStep, path: str, *, standing: bool) -> None:
        if standing:
            await self._http.delete(path, f"{step.kind}.withdraw", tag="")
        raise _slot_taken()

    async def _holders(self, step: EffectStep) -> tuple[list[events.Taken], list[events.Taken]]:
        """Return the slots within the step's time: those of its effect, and those of other bookings and people."""
        path = self._calendar(str(step.object_id).partition("/")[0])
        starts_at, ends_at = (datetime.fromisoformat(str(step.payload[name])) for name in ("start", "end"))
        found = await self._taken(path, starts_at, ends_at)
        mine = [slot for slot in found if step.effect_id in slot.effects]
        return mine, [slot for slot in found if slot not in mine and not slot.bookings & _bookings(step)]

    async def _taken(self, path: str, starts_at: datetime, ends_at: datetime) -> list[events.Taken]:
        zone = self._zone()
        bodies = await self._http.overlapping(path, *events.widened(starts_at, ends_at))
        return await offload(events.taken, bodies, starts_at, ends_at, zone)

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self._connection.setting("timeZone", "UTC"))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise _setting("time_zone_unknown", "The setting timeZone is no IANA zone.") from None

    def _calendars(self) -> dict[str, JsonValue]:
        known = self._connection.settings.get("calendars")
        if not isinstance(known, dict) or not known:
            raise _setting("calendars_missing", "The setting calendars maps no resource to a calendar.")
        return known

    def _calendar(self, name: str) -> str:
        path = self._calendars().get(name)
        if path is None:
            raise _setting("calendar_unknown", "The setting calendars knows no such resource.")
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            raise _setting("calendar_path_invalid", "A path in the setting calendars does not look like /a/b/.")
        return path

    def _path(self, object_id: str | None) -> str:
        calendar, _, name = str(object_id).partition("/")
        return f"{self._calendar(calendar)}{name}"


def _bookings(step: EffectStep) -> frozenset[str]:
    return frozenset(str(step.payload.get("booking") or "").split())


def _slot_taken() -> Permanent:
    return Permanent(
        "slot_taken",
        "The slot is not free in the calendar, and was not held.",
        owner=InvalidInput.owner,
        action="Choose another time or resource, or decide who gets this one.",
        system="caldav",
        operation=HOLD,
    )


def _gone(operation: str) -> Permanent:
    return Permanent(
        "not_found",
        "The event is no longer in the calendar, so that it cannot be set right.",
        owner=InvalidInput.owner,
        action="Send a new notification if it shall be there again.",
        system="caldav",
        operation=operation,
    )


def _changed(operation: str) -> Transient:
    return Transient(
        "event_changed",
        "Somebody else changed the event meanwhile; nothing was written.",
        system="caldav",
        operation=operation,
    )


def _setting(code: str, message: str) -> InvalidInput:
    return InvalidInput(code, message, action="Correct connectionConfig and connect again.", system="caldav")
