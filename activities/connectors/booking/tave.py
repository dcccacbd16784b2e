"""Tave (VSCO Workspace): job dates and stages, session times, notes on the job, and who is booked when."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from html import escape
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import JsonValue, ValidationError

from activities.connectors.booking.tave_bookings import BookingReader
from activities.connectors.booking.tave_resources import STAGES, holds, merged
from activities.ports.bookings import Row
from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transport.client import JsonClient
from contracts.base import JsonObject
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.errors import InvalidInput, OutcomeUnknown, Permanent, Transient
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.names import effect_id
from contracts.notification import AffectedSession, NotificationMetadata, TimelineChanges

_NOTE_PAGES = 10
_NOTE = "note.create"
_BOOKING_TYPES = frozenset({"booking_conflict", "booking_decision"})
_NOTED_TYPES = frozenset({"client_message", "payment_received"}) | _BOOKING_TYPES
_STAGE_OF = {"confirmed": "booked", "turned_down": "lead"}


class Tave:
    """One Tave studio, behind the API key of that studio.

    Source: VSCO Workspace API v2.0.0, https://workspace.vsco.co/api/v2/openapi.json
    (operations getResourceMyStudio, getResourceJob, updateResourceJob, getResourceEvent, updateResourceEvent,
    listResourceNote, createResourceNote, getResourceNote, updateResourceNote, deleteResourceNote).
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="tave",
        title="Tave (VSCO Workspace)",
        family=IntegrationType.BOOKING_SYSTEM,
        api_version="v2",
        documentation_url="https://workspace.vsco.co/api/v2/openapi.json",
        credential_fields=("apiKey",),
        default_base_url="https://workspace.vsco.co/api/v2",
        capabilities=frozenset({Capability.DELIVER}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=20, per_s=10.0),
        optional_settings=("studioId", "statusStages", "timeZone", "workingHours"),
        page_size=100,
        reversible=frozenset({_NOTE}),
        correctable=frozenset({_NOTE, "job.update", "job.status", "event.update"}),
        notes=(
            "Jobs and sessions are written by PUT to their id, which is repeatable.",
            "Notes have no key: a repeat first looks for the reference line that every note carries.",
            "A PUT follows a GET and sends all writable fields, because what an absent field means is not documented.",
            "Nothing is written when the object already holds the change.",
            "A job holds no time or place: those go to the named sessions, or to a note when none is named.",
            "There are no conflict records: a conflict is a note on both jobs, and who loses it becomes a lead again.",
            (
                "Who is busy is read from a mirror of jobs, teams and sessions, in the zone timeZone (UTC without it); "
                "workingHours is when sessions may be, such as 08:00-23:00."
            ),
            "The vendor publishes no number for its request quota; 20 requests per 10 s are our own choice.",
            "Notes are taken back by deleting them; what a job or session said before is not kept.",
            "Notifications of other types plan nothing here.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        headers = {"X-API-KEY": connection.secret("apiKey")}
        self._http = JsonClient.opened(connection, self.manifest.timeout_s, headers)
        self._bookings = BookingReader(
            self._read, self.manifest.page_size, connection.setting("timeZone", default="UTC")
        )

    async def aclose(self) -> None:
        """Release the sockets."""
        await self._http.aclose()

    async def probe(self) -> ConnectionProbe:
        """Read the studio the key belongs to.

        Raises:
            AuthExpired: the key is refused.
            Permanent: the key opens another studio than the `studioId` of the settings.
            Transient: no usable answer.

        Source: GET /studio/me.
        """
        began = time.monotonic()
        studio = await self._read("/studio/me", "studio.me")
        latency_ms = (time.monotonic() - began) * 1_000
        account = str(studio.get("id") or "")
        expected = self._connection.setting("studioId")
        if expected and account != expected:
            raise Permanent(
                "wrong_account",
                "The Tave API key opens another studio than the integration's studioId names.",
                action="Correct studioId or connect with that studio's key.",
                owner=InvalidInput.owner,
                system="tave",
                operation="studio.me",
            )
        features = ["read_only"] if studio.get("readonlyEnabled") else ["read", "write"]
        return ConnectionProbe(ok=True, latency_ms=latency_ms, account=account or None, features=features)

    async def provision(self) -> ProvisionResult:
        """Create nothing: deliveries write to jobs and sessions that exist.

        Idempotent: yes.
        """
        return ProvisionResult()

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return the writes of a delivery: `job.update`, `event.update` per session, `note.create`, `job.status`.

        Raises:
            InvalidInput: the job id, the changes, the zone or a known status is missing.
        """
        notification = delivery.notification
        try:
            facts = NotificationMetadata.model_validate(notification.metadata)
        except ValidationError:
            raise _invalid("metadata_invalid", "The notification's metadata has a field of the wrong type.") from None
        noted = notification.type in _NOTED_TYPES
        if not (noted or notification.type == "timeline_change" or facts.updates_booking_status):
            return []
        job_id = facts.tave_job_id or (facts.booking_id if notification.type in _BOOKING_TYPES else None)
        if job_id is None:
            raise _invalid("tave_job_missing", "The notification's metadata names no taveJobId.")
        planner = _Planner(delivery, job_id, self._connection)
        steps: list[EffectStep] = []
        if notification.type == "timeline_change" or (notification.type in _BOOKING_TYPES and facts.timeline_changes):
            steps += planner.timeline(facts.timeline_changes)
        if noted:
            text = delivery.rendered.text or f"{notification.title}\n{notification.message}"
            steps.append(planner.note(text))
        if facts.updates_booking_status:
            steps.append(planner.status(facts.new_status))
        return steps

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Make the one write of `step`, after reading the object a PUT merges into.

        Idempotent: yes for jobs and sessions, by their id; no for notes, which are looked up before a repeat.
        Source: PUT /job/{id}, PUT /event/{id}, POST /note.
        """
        if step.kind == _NOTE:
            made = await self._http.request_json("POST", "/note", operation=step.kind, json=step.payload, writes=True)
            if not isinstance(made, dict) or not made.get("id"):
                raise OutcomeUnknown(
                    "vendor_bad_response", "tave took a note and named no id.", system="tave", operation=step.kind
                )
            return EffectOutcome(remote_id=str(made["id"]))
        return await self._put(step.kind, str(step.object_id), step.payload)

    async def check(self, step: EffectStep) -> None:
        """Read the job or session that the effect is about.

        Raises:
            Permanent: the studio has none of that id.

        Source: GET /job/{id}, GET /event/{id}.
        """
        kind = "job.read" if step.kind == _NOTE else step.kind
        await self._read(_path(kind, str(step.object_id)), f"{step.kind}.check")

    async def retract(self, effect: StandingEffect) -> None:
        """Delete the note.

        Idempotent: yes, a note that is not there counts as deleted; that the vendor answers 404 then is not documented.
        Source: DELETE /note/{id}.
        """
        path = _path(effect.kind, str(effect.remote_id))
        try:
            await self._http.request_json("DELETE", path, operation="note.delete", writes=True)
        except Permanent as refused:
            if refused.detail.evidence.get("status") != HTTPStatus.NOT_FOUND:
                raise

    async def correct(self, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
        """Write the step's values over the note, job or session; a note keeps the reference of its effect.

        Idempotent: yes.

        Raises:
            Permanent: the object is not there any more.

        Source: PUT /note/{id}, PUT /job/{id}, PUT /event/{id}.
        """
        change = dict(step.payload)
        if effect.kind == _NOTE:
            change["contentHtml"] = str(change["contentHtml"]).replace(step.effect_id, effect.effect_id)
        return await self._put(effect.kind, str(effect.remote_id), change)

    async def _put(self, kind: str, object_id: str, change: JsonObject) -> EffectOutcome:
        """Merge a change into an object, in one read and at most one write."""
        path = _path(kind, object_id)
        async with self._connection.together(2):
            current = await self._read(path, f"{kind}.read")
            if holds(current, change):
                return EffectOutcome(remote_id=object_id, replayed=True)
            body = merged(kind.partition(".")[0], current, change)
            await self._http.request_json("PUT", path, operation=kind, json=body, writes=True)
        return EffectOutcome(remote_id=object_id)

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Return the outcome when the object already holds the step's values, or the job its note.

        Source: GET /job/{id}, GET /event/{id}, GET /note?jobId=&sortBy=created desc.
        """
        if step.kind == _NOTE:
            return await self._find_note(step)
        current = await self._read(_path(step.kind, str(step.object_id)), f"{step.kind}.find")
        return EffectOutcome(remote_id=step.object_id, replayed=True) if holds(current, step.payload) else None

    def changes(self, since: datetime | None) -> AsyncIterator[Sequence[Row]]:
        """Yield pages of the studio's jobs, teams and sessions; see `BookingReader`."""
        return self._bookings.changes(since)

    async def recipients(self, booking_id: str) -> Sequence[str]:
        """Return the e-mail addresses of the job's clients; see `BookingReader`."""
        return await self._bookings.recipients(booking_id)

    async def _find_note(self, step: EffectStep) -> EffectOutcome | None:
        marker = _reference(step.effect_id)
        for page in range(1, _NOTE_PAGES + 1):
            listed = await self._read(
                "/note",
                "note.find",
                {"jobId": step.object_id, "sortBy": "created desc", "page": page, "pageSize": self.manifest.page_size},
            )
            items = listed.get("items")
            notes = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
            for note in notes:
                if marker in str(note.get("contentHtml") or ""):
                    return EffectOutcome(remote_id=str(note.get("id")), replayed=True)
            if len(notes) < self.manifest.page_size:
                return None
        raise OutcomeUnknown(
            "look_up_exhausted",
            "The job has more notes than the look-up reads, so whether this one stands is not known.",
            action="Look at the job's newest notes in Tave before sending again.",
            system="tave",
            operation="note.find",
        )

    async def _read(
        self, path: str, operation: str, params: Mapping[str, str | int | None] | None = None
    ) -> dict[str, JsonValue]:
        answer = await self._http.request_json("GET", path, operation=operation, params=params)
        if not isinstance(answer, dict):
            raise Transient(
                "vendor_bad_response",
                f"tave answered {operation} without an object.",
                system="tave",
                operation=operation,
            )
        return answer


class _Planner:
    """Builds the steps of one delivery about one job."""

    def __init__(self, delivery: Delivery, job_id: str, connection: Connection) -> None:
        self._delivery = delivery
        self._job_id = job_id
        self._connection = connection

    def timeline(self, changes: TimelineChanges | None) -> list[EffectStep]:
        """Return the job's and the sessions' updates, with a note for what neither can hold."""
        if changes is None:
            raise _invalid("timeline_changes_missing", "The notification's metadata has no timelineChanges.")
        steps: list[EffectStep] = []
        if changes.new_wedding_date is not None:
            payload: JsonObject = {"eventDate": changes.new_wedding_date.isoformat()}
            steps.append(self._step("job.update", self._job_id, payload))
        steps += [self._session(session) for session in changes.affected_sessions]
        if not changes.affected_sessions:
            facts = [
                changes.new_wedding_time and f"New time: {changes.new_wedding_time:%H:%M}",
                changes.new_venue and f"New venue: {changes.new_venue}",
            ]
            lines = [fact for fact in facts if fact]
            if lines:
                steps.append(self.note("\n".join([self._delivery.notification.title, *lines])))
        if not steps:
            raise _invalid("timeline_changes_empty", "The notification's timelineChanges change nothing.")
        return steps

    def note(self, text: str) -> EffectStep:
        """Return the creation of a note on the job, dated by the wedding's own zone."""
        step = self._step(_NOTE, self._job_id, {})
        lines = "<br>".join(escape(line) for line in text.splitlines())
        content = f"<p>{lines}</p><p>{_reference(step.effect_id)}</p>"
        date = self._delivery.occurred_at.astimezone(self._zone()).date().isoformat()
        return step.model_copy(update={"payload": {"jobId": self._job_id, "contentHtml": content, "date": date}})

    def status(self, word: str) -> EffectStep:
        """Return the change of the job's stage; the setting `statusStages` translates foreign words."""
        stages = self._connection.settings.get("statusStages")
        known = stages.get(word) if isinstance(stages, dict) else None
        stage = str(known or _STAGE_OF.get(word, word))
        if stage not in STAGES:
            raise InvalidInput(
                "unknown_booking_status",
                "The notification's newStatus is no stage of a Tave job.",
                action=f"Use one of {', '.join(STAGES)}, or translate the word in the setting statusStages.",
                system="tave",
            )
        return self._step("job.status", self._job_id, {"stage": stage})

    def _session(self, session: AffectedSession) -> EffectStep:
        zone = self._zone()
        payload: JsonObject = {}
        for edge, instant in (("start", session.new_start_time), ("end", session.new_end_time)):
            if instant is not None:
                local: datetime = instant.astimezone(zone)
                payload[f"{edge}Date"] = local.date().isoformat()
                payload[f"{edge}Time"] = local.strftime("%H:%M:%S")
        if payload:
            payload["timezoneName"] = zone.key
        if session.confirmed is not None:
            payload["confirmed"] = session.confirmed
        if session.new_location:
            # The parts of the old address would be wrong beside a new place, so they are emptied with it.
            emptied = dict.fromkeys(("village", "city", "state", "postalCode"))
            payload["location"] = {"id": None, "address": {**emptied, "streetAddress": session.new_location}}
        if not payload:
            raise _invalid(
                "session_change_empty", "An affected session names no time, no location and no confirmation."
            )
        return self._step("event.update", session.session_id, payload)

    def _zone(self) -> ZoneInfo:
        context = self._delivery.notification.wedding_context
        try:
            return ZoneInfo(context.time_zone if context else "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise _invalid("unknown_time_zone", "The weddingContext's timeZone is no IANA zone.") from None

    def _step(self, kind: str, object_id: str, payload: JsonObject) -> EffectStep:
        delivery, target = self._delivery, self._delivery.target
        return EffectStep(
            effect_id=effect_id(delivery.organization_id, delivery.business_key, target.system_id, kind, object_id),
            organization_id=delivery.organization_id,
            integration_id=target.integration_id,
            system="tave",
            kind=kind,
            object_id=object_id,
            payload=payload,
        )


def _reference(effect: str) -> str:
    return f"WedSync reference {effect}"


def _path(kind: str, object_id: str) -> str:
    return f"/{kind.partition('.')[0]}/{quote(object_id, safe='')}"


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(code, message, action="Correct the notification and send it again.", system="tave")
