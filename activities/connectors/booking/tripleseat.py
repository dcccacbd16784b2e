"""Tripleseat: events that move and change their status, notes on them, and when rooms are taken."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

from pydantic import JsonValue

from activities.connectors.booking.tripleseat_events import moved, occupancy, stands
from activities.connectors.booking.tripleseat_plan import NOTE, STATUS, Planner, reference
from activities.ports.availability import BusySlot
from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, OAuth, RateLimit
from activities.transport.client import JsonClient
from contracts.base import JsonObject
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.errors import InvalidInput, OutcomeUnknown, Permanent, Transient
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult

_PAGES = 20
_DAY_FORMAT = "%m/%d/%Y"


class Tripleseat:
    """One Tripleseat customer.

    Source: https://support.tripleseat.com, articles "Events API", "API | Notes Endpoints", "API | Overview" and
    "OAuth 2.0 Implementation". The vendor publishes no machine-readable description. Not confirmed by any document of
    its: the parameters `event_start_date` and `event_end_date` of the search, which therefore decide nothing but how
    much is read; the wrapping of results, which is read both ways; and that a PUT leaves what it does not name.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="tripleseat",
        title="Tripleseat",
        family=IntegrationType.BOOKING_SYSTEM,
        api_version="v1",
        documentation_url="https://support.tripleseat.com/hc/en-us/articles/205162108-API-Overview",
        credential_fields=("accessToken",),
        optional_credential_fields=("refreshToken", "clientId", "clientSecret"),
        oauth=OAuth(
            authorize_url="https://login.tripleseat.com/oauth2/authorize",
            token_url="/oauth2/token",  # noqa: S106 - a path
            scopes=("events:read", "events:write"),
            default_life_s=7_200,
        ),
        default_base_url="https://api.tripleseat.com",
        capabilities=frozenset({Capability.DELIVER, Capability.AVAILABILITY}),
        guarantee=EffectGuarantee.LOOK_BEFORE_RETRY,
        rate_limit=RateLimit(requests=10, per_s=1.0),
        optional_settings=("rooms",),
        page_size=50,
        reversible=frozenset({NOTE}),
        correctable=frozenset({NOTE}),
        notes=(
            "Every notification that names a tripleseatEventId leaves a note; a timeline change also moves the event.",
            "A moved event keeps its length. A new place goes into the note: rooms are people's to assign.",
            "Notes have no key: a repeat first looks for the reference line that every note carries.",
            "An event remembers no version: of two moves, the one that is delivered last stands.",
            "rooms maps a resource to a room's id; set-up and tear-down times count as taken.",
            "Tentative, definite and closed events take their rooms; prospects, lost and waitlisted ones do not.",
            "Tasks are not offered: they can be created and not looked up, so that a repeat could show.",
            "A consent needs an administrator of the customer; the scopes are those that the vendor approved for us.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        headers = {"Authorization": f"Bearer {connection.secret('accessToken')}"}
        self._http = JsonClient.opened(connection, self.manifest.timeout_s, headers)

    async def aclose(self) -> None:
        """Release the sockets."""
        await self._http.aclose()

    async def probe(self) -> ConnectionProbe:
        """Read the sites the token opens; `account` is the first.

        Raises:
            AuthExpired: the token is refused.
            Transient: no usable answer.

        Source: GET /v1/sites.json.
        """
        began = time.monotonic()
        sites = _results(await self._read("/v1/sites.json", "sites.read"), "site", "sites.read")
        account = str(sites[0].get("id") or "") if sites else ""
        return ConnectionProbe(
            ok=True, latency_ms=(time.monotonic() - began) * 1_000, account=account or None, features=["events"]
        )

    async def provision(self) -> ProvisionResult:
        """Create nothing: deliveries write to events that exist.

        Idempotent: yes.
        """
        return ProvisionResult()

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return the writes of a delivery: `event.move`, `event.status`, and `note.create`.

        Raises:
            InvalidInput: the event's id, the zone or a known status is missing.
        """
        return Planner(delivery).steps()

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Make the one write of `step`, for events after reading what it is merged into.

        Idempotent: yes for events, by their id; no for notes, which are looked up before a repeat.
        Source: PUT /v1/events/{id}.json, POST /v1/events/{id}/notes.
        """
        if step.kind == NOTE:
            made = await self._write("POST", f"{_event(step.object_id)}/notes", step.kind, {"note": step.payload})
            note = _inner(made, "note")
            if not note.get("id"):
                raise OutcomeUnknown(
                    "vendor_bad_response",
                    "tripleseat took a note and named no id.",
                    system="tripleseat",
                    operation=step.kind,
                )
            return EffectOutcome(remote_id=str(note["id"]))
        async with self._connection.together(2):
            event = await self._event(step, f"{step.kind}.read")
            if stands(event, step.payload):
                return EffectOutcome(remote_id=step.object_id, replayed=True)
            change: JsonObject = dict(step.payload) if step.kind == STATUS else moved(event, step.payload)
            await self._write("PUT", f"{_event(step.object_id)}.json", step.kind, {"event": change})
        return EffectOutcome(remote_id=step.object_id)

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Return the outcome when the event already is as wanted, or carries the note.

        Source: GET /v1/events/{id}.json, GET /v1/events/{id}/notes.
        """
        if step.kind == NOTE:
            marker = reference(step.effect_id)
            async for note in self._pages(f"{_event(step.object_id)}/notes", "note", "note.find"):
                if marker in str(note.get("body") or ""):
                    return EffectOutcome(remote_id=str(note.get("id")), replayed=True)
            return None
        event = await self._event(step, f"{step.kind}.find")
        return EffectOutcome(remote_id=step.object_id, replayed=True) if stands(event, step.payload) else None

    async def retract(self, effect: StandingEffect) -> None:
        """Delete the note. Idempotent: yes.

        Source: DELETE /v1/events/{id}/notes/{note_id}.
        """
        try:
            await self._write("DELETE", _note(effect), "note.retract", None)
        except Permanent as error:
            if error.detail.evidence.get("status") != HTTPStatus.NOT_FOUND:
                raise

    async def correct(self, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
        """Write the step's words over the note. Idempotent: yes.

        Raises:
            Permanent: the note is gone.

        Source: PUT /v1/events/{id}/notes/{note_id}.
        """
        await self._write("PUT", _note(effect), "note.correct", {"note": step.payload})
        return EffectOutcome(remote_id=effect.remote_id)

    async def busy(self, resource_id: str, starts_at: datetime, ends_at: datetime) -> Sequence[BusySlot]:
        """Return when the room is taken by events, set-up and tear-down included.

        Raises:
            InvalidInput: the setting `rooms` knows no such resource.

        Source: GET /v1/events/search.json.
        """
        rooms = self._connection.settings.get("rooms")
        room = rooms.get(resource_id) if isinstance(rooms, dict) else None
        if room is None:
            raise InvalidInput(
                "room_unknown",
                "The setting rooms knows no such resource.",
                action="Map it to a room's id in connectionConfig.rooms.",
                system="tripleseat",
            )
        # Days are the location's own; a day more on either side holds every zone and an event past midnight.
        bounds = {"event_start_date": starts_at - timedelta(days=2), "event_end_date": ends_at + timedelta(days=2)}
        params = {name: day.strftime(_DAY_FORMAT) for name, day in bounds.items()}
        taken: dict[str, BusySlot] = {}
        async for event in self._pages("/v1/events/search.json", "event", "events.search", params):
            slot = occupancy(event, str(room))
            if slot is not None and slot.starts_at < ends_at and slot.ends_at > starts_at:
                taken[str(event.get("id"))] = slot
        return sorted(taken.values(), key=lambda slot: (slot.starts_at, slot.ends_at))

    async def _event(self, step: EffectStep, operation: str) -> dict[str, JsonValue]:
        event = _inner(await self._read(f"{_event(step.object_id)}.json", operation), "event")
        if not event:
            raise _bad_response(operation)
        return event

    async def _pages(
        self, path: str, wrap: str, operation: str, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, JsonValue]]:
        """Yield the results of all pages, which end with an empty one or with the last that is announced."""
        for page in range(1, _PAGES + 1):
            answer = await self._read(path, operation, {**(params or {}), "page": page})
            results = _results(answer, wrap, operation)
            for one in results:
                yield one
            last = answer.get("total_pages")
            if not results or (isinstance(last, int) and page >= last):
                return
        raise Permanent(
            "look_up_exhausted",
            "Tripleseat has more to look through than is read, so that nothing is known for certain.",
            action="Look in Tripleseat itself, and report how many events or notes there are.",
            system="tripleseat",
            operation=operation,
        )

    async def _read(
        self, path: str, operation: str, params: Mapping[str, str | int] | None = None
    ) -> dict[str, JsonValue]:
        answer = await self._http.request_json("GET", path, operation=operation, params=params)
        if not isinstance(answer, dict):
            raise _bad_response(operation)
        return answer

    async def _write(self, method: str, path: str, operation: str, body: JsonObject | None) -> dict[str, JsonValue]:
        answer = await self._http.request_json(method, path, operation=operation, json=body, writes=True)
        return answer if isinstance(answer, dict) else {}


def _results(answer: Mapping[str, JsonValue], wrap: str, operation: str) -> list[dict[str, JsonValue]]:
    results = answer.get("results")
    if not isinstance(results, list):
        raise _bad_response(operation)
    return [_inner(one, wrap) for one in results if isinstance(one, dict)]


def _inner(answer: dict[str, JsonValue], wrap: str) -> dict[str, JsonValue]:
    inner = answer.get(wrap)
    return inner if isinstance(inner, dict) else answer


def _event(event_id: str | None) -> str:
    return f"/v1/events/{quote(event_id or '', safe='')}"


def _note(effect: StandingEffect) -> str:
    return f"{_event(effect.object_id)}/notes/{quote(effect.remote_id or '', safe='')}"


def _bad_response(operation: str) -> Transient:
    return Transient(
        "vendor_bad_response",
        f"tripleseat answered {operation} without the object it documents.",
        system="tripleseat",
        operation=operation,
    )
