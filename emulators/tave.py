"""An emulated VSCO Workspace v2 (formerly Tave): jobs, events, notes, people and the lists they refer to."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.core import Emulator, State, now_iso
from emulators.faults import Fault, drifted
from emulators.tave_rules import READ_ONLY, RESOURCES, Resource

if TYPE_CHECKING:
    from starlette.requests import Request

KEY = "sandbox-tave-key"
STUDIO = "studio-1"
_MIN_PAGE, _MAX_PAGE = 10, 100
_ULID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_DRIFT = {"items": "results", "id": "uid"}
Body = dict[str, Any]
Answer = tuple[int, Body | None]


class ProblemError(Exception):
    """An error answer in the vendor's problem shape."""

    def __init__(self, status: int, kind: str, title: str, detail: str | Body) -> None:
        """Keep what the answer will say; `detail` maps fields to objections for validation errors."""
        super().__init__(title)
        self.status = status
        self.body = {"type": kind, "title": title, "detail": detail, "status": status}


def invalid(problems: dict[str, list[str]]) -> ProblemError:
    """A validation error, by field."""
    return ProblemError(400, "validation-error", "Validation Error", problems)


def new_id() -> str:
    """A lower-case ULID."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_ULID_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


class Studio:
    """The entities of one studio; every method runs inside the caller's transaction."""

    def __init__(self, emulator: Emulator) -> None:
        """Work on the emulator's stored entities."""
        self.emulator = emulator

    def existing(self, resource: Resource, request: Request) -> Body:
        """The entity named in the path.

        Raises:
            ProblemError: 404.
        """
        found = self.emulator.get(resource.store, request.path_params["id"])
        if found is None:
            raise ProblemError(404, "unknown", "Not Found", f"No {resource.noun} has this id.")
        return found

    def checked(self, resource: Resource, given: Any, *, creating: bool) -> Body:
        """The writable part of a body.

        Raises:
            ProblemError: 400 with every objection.
        """
        if not isinstance(given, dict):
            raise invalid({"body": ["must be a JSON object"]})
        problems = resource.problems(given, creating=creating)
        for name, store in resource.references.items():
            value = given.get(name)
            if value is not None and name not in problems and self.emulator.get(store, str(value)) is None:
                problems[name] = ["does not exist"]
        for item in given.get("customFields") or [] if "customFields" not in problems else []:
            if "customFields" in resource.fields and self.emulator.get("custom-fields", item["fieldId"]) is None:
                problems["customFields"] = ["a fieldId does not exist"]
        if problems:
            raise invalid(problems)
        return {name: value for name, value in given.items() if name in resource.fields and name not in READ_ONLY}

    def store(self, resource: Resource, before: Body | None, values: Body, object_id: str | None = None) -> Body:
        """Create or change an entity; values that stay the same are not an effect."""
        now = now_iso()
        if before is None:
            fresh = {"id": object_id or new_id(), "created": now, "modified": now, "hidden": False}
            base: Body = {**fresh, **dict.fromkeys(resource.fields), **resource.defaults}
        else:
            base = before
        after = {**base, **values}
        if "customFields" in values:
            after["customFields"] = _merged_fields(base.get("customFields") or [], values["customFields"] or [], now)
        if "externalMappings" in values:
            after["externalMappings"] = _merged_mappings(base.get("externalMappings"), values["externalMappings"])
        self._derive(resource, after)
        if before is not None and after == before:
            return before
        after["modified"] = now
        self.emulator.put(resource.store, after["id"], after)
        for mapping in after.get("externalMappings") or []:
            self.emulator.put(
                f"mappings/{resource.store}", mapping["id"], {"mapping": mapping["id"], "id": after["id"]}
            )
        verb = "created" if before is None else "updated"
        changed = after if before is None else {name: after[name] for name in after if after[name] != before.get(name)}
        self.emulator.effect(f"{resource.noun}.{verb}", resource.store, after["id"], {"id": after["id"], **changed})
        return after

    def _derive(self, resource: Resource, body: Body) -> None:
        if resource.store == "jobs":
            body["title"] = body.get("name")
        if resource.store == "job-contacts":
            roles = [self.emulator.get("job-roles", role) for role in body.get("jobRoles") or []]
            client = ["client"] if body.get("client") else []
            body["roleKinds"] = client + [role["kind"] for role in roles if role]
        if resource.store != "events":
            return
        zone = self.emulator.get("timezones", body["timezoneId"]) if body.get("timezoneId") else None
        if zone is not None:
            body["timezoneName"] = zone["name"]
        for end in ("start", "end"):
            clock = body.get(f"{end}Time")
            if clock and len(clock) == len("14:00"):
                body[f"{end}Time"] = f"{clock}:00"
            body[f"{end}Utc"] = _utc(body.get(f"{end}Date"), body.get(f"{end}Time"), body.get("timezoneName"))

    def delete(self, resource: Resource, before: Body) -> None:
        """Remove an entity."""
        self.emulator.delete(resource.store, before["id"])
        for mapping in before.get("externalMappings") or []:
            self.emulator.delete(f"mappings/{resource.store}", mapping["id"])
        self.emulator.effect(f"{resource.noun}.deleted", resource.store, before["id"], {"id": before["id"]})

    def page(self, resource: Resource, request: Request) -> Body:
        """A page of a collection, filtered as the vendor filters.

        Raises:
            ProblemError: 400, a page or page size out of range.
        """
        query = request.query_params
        number, size = _integer(query.get("page"), 1), _integer(query.get("pageSize"), _MAX_PAGE)
        if number < 1 or not _MIN_PAGE <= size <= _MAX_PAGE:
            raise invalid({"page": [f"page starts at 1 and pageSize lies between {_MIN_PAGE} and {_MAX_PAGE}"]})
        found = self._selected(resource, request)
        wanted, _, direction = query.get("sortBy", "").partition(" ")
        if wanted:
            found.sort(key=lambda body: str(body.get(wanted) or ""), reverse=direction == "desc")
        pages = max(1, -(-len(found) // size))
        repeated = number > 1 and self.emulator.fault_active("duplicate_page", request) is not None
        begin = (number - 2 if repeated else number - 1) * size
        items = found[begin : begin + size]
        meta = {"currentPage": number, "totalPages": pages, "totalItems": len(found), "rows": len(items)}
        return {"type": resource.collection, "meta": meta, "items": [linked(resource, item, request) for item in items]}

    def _selected(self, resource: Resource, request: Request) -> list[Body]:
        query = request.query_params
        external = query.get("externalMappingId")
        filters = {name: query[name] for name in resource.filters if query.get(name)}
        if external:
            mapping = self.emulator.get(f"mappings/{resource.store}", external)
            one = self.emulator.get(resource.store, mapping["id"]) if mapping else None
            found = [one] if one else []
        elif filters:
            name, value = next(iter(filters.items()))
            found = list(self.emulator.find_all(resource.store, name, value))
        else:
            found = self.emulator.list(resource.store)
        found = [body for body in found if all(body.get(name) == value for name, value in filters.items())]
        if query.get("includeClosed") not in ("true", "1"):
            found = [body for body in found if not body.get("closed")]
        if query.get("includeHidden") not in ("true", "1"):
            found = [body for body in found if not body.get("hidden")]
        return found


def _merged_fields(before: list[Body], given: list[Body], now: str) -> list[Body]:
    kept = {item["fieldId"]: item for item in before}
    for item in given:
        old = kept.get(item["fieldId"])
        if old is None:
            stamps = {"id": new_id(), "created": now, "modified": now, "hidden": False}
            kept[item["fieldId"]] = {**stamps, "fieldId": item["fieldId"], "value": item.get("value")}
        elif old["value"] != item.get("value"):
            kept[item["fieldId"]] = {**old, "value": item.get("value"), "modified": now}
    return list(kept.values())


def _merged_mappings(before: list[Body] | None, given: list[Body] | None) -> list[Body]:
    # The vendor says that a mapping cannot be changed once it exists; new ones may join it.
    kept = {item["id"]: item for item in before or []}
    for item in given or []:
        kept.setdefault(item["id"], {"id": item["id"], "url": item["url"]})
    return list(kept.values())


def _utc(day: str | None, clock: str | None, zone: str | None) -> str | None:
    if not day or not clock:
        return None
    local = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZoneInfo(zone or "Europe/London"))
    return local.astimezone(UTC).isoformat()


def _integer(value: str | None, default: int) -> int:
    return default if value is None else int(value)


def linked(resource: Resource, body: Body, request: Request) -> Body:
    """A body with its link to itself."""
    return {"links": {"self": {"href": f"{_root(request)}/{resource.path}/{body['id']}"}}, **body}


def _root(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}/api/v2"


Handler = Callable[["Studio", Resource, "Request", Any], Answer]


def _list(studio: Studio, resource: Resource, request: Request, _body: Any) -> Answer:
    return 200, studio.page(resource, request)


def _get(studio: Studio, resource: Resource, request: Request, _body: Any) -> Answer:
    return 200, linked(resource, studio.existing(resource, request), request)


def _create(studio: Studio, resource: Resource, request: Request, body: Any) -> Answer:
    values = studio.checked(resource, body, creating=True)
    return 201, linked(resource, studio.store(resource, None, values), request)


def _replace(studio: Studio, resource: Resource, request: Request, body: Any) -> Answer:
    before = studio.existing(resource, request)
    values = studio.checked(resource, body, creating=False)
    return 200, linked(resource, studio.store(resource, before, values), request)


def _delete(studio: Studio, resource: Resource, request: Request, _body: Any) -> Answer:
    studio.delete(resource, studio.existing(resource, request))
    return 204, None


def _studio(studio: Studio, _resource: Resource, request: Request, _body: Any) -> Answer:
    body = studio.emulator.get("studios", STUDIO) or {}
    return 200, {"links": {"self": {"href": f"{_root(request)}/studio/me"}}, **body}


def _authorise(emulator: Emulator, request: Request) -> None:
    given = request.headers.get("X-API-KEY") or request.headers.get("Authorization", "").removeprefix("Bearer ")
    stopped = emulator.fault_active("expire_token", request) or emulator.fault_active("revoke_token", request)
    if stopped or given != KEY:
        raise ProblemError(401, "unknown", "Unauthorized", "API key is missing or invalid")


def render_error(status: int, _fault: Fault | None) -> Response:
    """The vendor's own body for a status."""
    limited = status == 429
    kind, title = ("quota-limit", "Too Many Requests") if limited else ("unknown", "Error")
    detail = "Exceeded request quota." if limited else "The request could not be answered."
    return JSONResponse({"type": kind, "title": title, "detail": detail, "status": status}, status)


def _routes(emulator: Emulator) -> list[BaseRoute]:
    studio = Studio(emulator)

    def route(path: str, method: str, resource: Resource, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            emulator.name_operation(request, f"{resource.noun}{handler.__name__}")
            try:
                _authorise(emulator, request)
                raw = await request.body()
                body = json.loads(raw) if raw else None
                with emulator.transaction():
                    status, answer = handler(studio, resource, request, body)
            except ProblemError as problem:
                return JSONResponse(problem.body, problem.status)
            except (ValueError, TypeError):
                return JSONResponse(invalid({"body": ["could not be read"]}).body, 400)
            if emulator.fault_active("schema_drift", request):
                answer = drifted(answer, _DRIFT)
            headers = {"X-Request-Id": uuid.uuid4().hex}
            return Response(status_code=status) if answer is None else JSONResponse(answer, status, headers=headers)

        return Route(path, endpoint, methods=[method])

    found: list[BaseRoute] = [route("/api/v2/studio/me", "GET", RESOURCES[0], _studio)]
    for resource in RESOURCES:
        root = f"/api/v2/{resource.path}"
        found += [route(root, "GET", resource, _list), route(f"{root}/{{id}}", "GET", resource, _get)]
        if resource.writable:
            found += [
                route(root, "POST", resource, _create),
                route(f"{root}/{{id}}", "PUT", resource, _replace),
                route(f"{root}/{{id}}", "DELETE", resource, _delete),
            ]
    return found


def _seed(emulator: Emulator) -> None:
    now = now_iso()
    stamps = {"created": now, "modified": now, "hidden": False}
    studio = {"id": STUDIO, **stamps, "name": "Lumen Studios", "currencyCode": "GBP", "timezoneId": "tz-london"}
    emulator.put("studios", STUDIO, {**studio, "readonlyEnabled": False})
    zones = {"tz-london": "Europe/London", "tz-new-york": "America/New_York", "tz-paris": "Europe/Paris"}
    for zone_id, name in zones.items():
        region, city = name.split("/")
        zone = {"name": name, "displayName": name, "region": region, "city": city.replace("_", " ")}
        emulator.put("timezones", zone_id, {"id": zone_id, **stamps, **zone, "primary": zone_id == "tz-london"})
    wedding = {"name": "Wedding", "kind": "session", "tokenPrefix": "wedding", "sortPosition": 1}
    emulator.put("event-types", "et-wedding", {"id": "et-wedding", **stamps, **wedding})
    field = {"canApplyTo": "Job", "clientAccess": "None", "kind": "TextField", "name": "Booking conflict"}
    emulator.put("custom-fields", "cf-conflict", {"id": "cf-conflict", **stamps, **field, "token": "booking_conflict"})
    role = {"kind": "team", "name": "Photographer", "tokenPrefix": "photographer", "sortPosition": 1}
    emulator.put("job-roles", "role-photographer", {"id": "role-photographer", **stamps, **role})
    _seed_bookings(emulator, stamps)
    _seed_people(emulator, stamps)


def _seed_people(emulator: Emulator, stamps: Body) -> None:
    people = {"ph-9": "nine", "couple-77": "couple77", "couple-91": "couple91"}
    for person_id, name in people.items():
        person = {"kind": "person", "firstName": name, "email": f"{name}@couples.example.com"}
        emulator.put("contacts", person_id, {"id": person_id, **stamps, **person})
    team = {"client": False, "jobRoles": ["role-photographer"], "roleKinds": ["team"]}
    client = {"client": True, "jobRoles": [], "roleKinds": ["client"]}
    links = [("job-77", "ph-9", team), ("job-91", "ph-9", team), ("job-77", "couple-77", client)]
    for job_id, contact_id, own in [*links, ("job-91", "couple-91", client)]:
        link_id = f"{job_id}-{contact_id}"
        body = {"id": link_id, **stamps, "jobId": job_id, "contactId": contact_id, **own}
        emulator.put("job-contacts", link_id, body)


def _seed_bookings(emulator: Emulator, stamps: Body) -> None:
    job, event = RESOURCES[0], RESOURCES[1]
    mapping = {"id": "wed-1001", "url": "https://app.wedsync.example.com/weddings/wed-1001"}
    jobs: dict[str, Body] = {
        "job-77": {"name": "Wedding wed-1001", "guestCount": 120, "externalMappings": [mapping]},
        "job-91": {"name": "Wedding wed-1002", "guestCount": 80},
    }
    for job_id, own in jobs.items():
        body = {"id": job_id, **stamps, **dict.fromkeys(job.fields), **job.defaults, **own}
        emulator.put("jobs", job_id, {**body, "title": own["name"], "stage": "booked", "eventDate": "2027-06-05"})
    emulator.put("mappings/jobs", mapping["id"], {"mapping": mapping["id"], "id": "job-77"})
    session = {
        "name": "Ceremony",
        "jobId": "job-77",
        "typeId": "et-wedding",
        "startDate": "2027-06-12",
        "endDate": "2027-06-12",
        "startTime": "13:00:00",
        "endTime": "22:00:00",
        "startUtc": "2027-06-12T12:00:00+00:00",
        "endUtc": "2027-06-12T21:00:00+00:00",
        "timezoneId": "tz-london",
        "timezoneName": "Europe/London",
        "confirmed": True,
        "location": {"id": None, "address": {"streetAddress": "Hartwell House", "country": "GB"}},
    }
    emulator.put(
        "events", "sess-1", {"id": "sess-1", **stamps, **dict.fromkeys(event.fields), **event.defaults, **session}
    )


def build(state: State) -> Emulator:
    """The emulated VSCO Workspace studio over this state."""
    return Emulator("tave", state, routes=_routes, seed=_seed, base_path="/api/v2", render_error=render_error)
