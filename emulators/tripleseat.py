"""An emulated Tripleseat API v1: the events of one site, in rooms, and the notes on them.

From the vendor's help pages: the paths of events and notes, the fields of an event and their formats, the statuses,
paging by 50, 10 requests a second, OAuth 2.0 with tokens of two hours. There is no machine-readable description of the
vendor's. From public clients: `{"event": ...}` around one event and around each result, `total_pages`,
`event_start_date` and `event_end_date` of the search. Unconfirmed: the bodies of errors and of the sites, what a
note is wrapped in, that a PUT leaves the fields that it does not name, and `Retry-After` on a 429.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from emulators.bearer_edge import Answer, BearerEdge, Body, Call, RefusalError
from emulators.core import Emulator, State, now_iso
from emulators.oauth import AuthorisationServer, Vendor
from emulators.oauth_grants import Issued, OAuthError

if TYPE_CHECKING:
    from emulators.faults import Fault

TOKEN = "sandbox-tripleseat-token"
SITE, LOCATION, BOOKING, EVENT = 7001, 7101, 44001, 55001
ROOMS = {301: "Orangery", 302: "Ballroom"}
ZONE = ZoneInfo("Europe/London")
_STATUSES = ("PROSPECT", "TENTATIVE", "DEFINITE", "CLOSED", "LOST", "WAITLIST")
_STAMP, _DAY, _CLOCK = "%m/%d/%Y %I:%M %p", "%m/%d/%Y", "%I:%M %p"
_PLAIN = ("name", "status", "guest_count", "room_ids", "setup_time", "teardown_time", "description")
_PAGE = 50
_LONGEST = timedelta(hours=24)


def refusal(status: int, message: str = "The request could not be served.") -> RefusalError:
    """The vendor's error of a status."""
    return RefusalError(status, {"error": message, "status": status})


def render_error(status: int, _fault: Fault | None) -> Response:
    """The vendor's body of an error."""
    return JSONResponse(refusal(status).body, status)


def timed(start: datetime, end: datetime) -> Body:
    """The fields of an event that say when it is, in all of the vendor's formats."""
    found: Body = {"event_date": start.strftime(_DAY), "event_date_iso8601": start.date().isoformat()}
    for name, instant in (("event_start", start), ("event_end", end)):
        found[name] = instant.strftime(_STAMP)
        found[f"{name}_time"] = instant.strftime(_CLOCK)
        found[f"{name}_iso8601"] = instant.isoformat()
        found[f"{name}_utc"] = instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return found


def _event(call: Call) -> Body:
    found = call.emulator.get("events", call.path("event"))
    if found is None:
        raise refusal(404, "Not Found")
    return found


def _moment(text: Any) -> datetime:
    try:
        return datetime.strptime(str(text), _STAMP).replace(tzinfo=ZONE)
    except ValueError:
        raise refusal(400, "event_start and event_end are mm/dd/yyyy hh:mm am|pm") from None


def read_event(call: Call) -> Answer:
    """GET /v1/events/{id}.json."""
    return 200, {"event": _event(call)}


def update_event(call: Call) -> Answer:
    """PUT /v1/events/{id}.json."""
    before, given = _event(call), call.body.get("event") if isinstance(call.body, dict) else None
    if not isinstance(given, dict):
        raise refusal(400, "event is missing")
    if given.get("status", "DEFINITE") not in _STATUSES:
        raise refusal(400, "status is not included in the list")
    start, end = (_moment(given.get(name, before[name])) for name in ("event_start", "event_end"))
    if not start < end <= start + _LONGEST:
        raise refusal(400, "An event ends within 24 hours after its start")
    after = {**before, **{name: given[name] for name in _PLAIN if name in given}, **timed(start, end)}
    if after != before:
        after["updated_at"] = now_iso()
        changed = {name: after[name] for name in after if after[name] != before.get(name)}
        call.emulator.put("events", str(after["id"]), after)
        call.emulator.effect("event.updated", "events", str(after["id"]), changed)
    return 200, {"event": after}


def _page(call: Call, found: list[Body], wrap: str) -> Body:
    page, size = call.query("page", "1"), call.query("per_page", str(_PAGE))
    if not (page.isdigit() and size.isdigit() and int(page) and 0 < int(size) <= _PAGE):
        raise refusal(400, "page is not a number")
    number = int(page)
    if number > 1 and call.emulator.fault_active("duplicate_page", call.request) is not None:
        number -= 1
    shown = found[(number - 1) * int(size) : number * int(size)]
    return {"total_pages": -(-len(found) // int(size)), "results": [{wrap: one} for one in shown]}


def search_events(call: Call) -> Answer:
    """GET /v1/events/search.json."""
    bounds = []
    for name, else_day in (("event_start_date", "01/01/1900"), ("event_end_date", "12/31/2999")):
        try:
            bounds.append(datetime.strptime(call.query(name, else_day), _DAY).replace(tzinfo=UTC).date().isoformat())
        except ValueError:
            raise refusal(400, f"{name} is mm/dd/yyyy") from None
    found = [one for one in call.emulator.list("events") if bounds[0] <= one["event_date_iso8601"] <= bounds[1]]
    return 200, _page(call, found, "event")


def list_notes(call: Call) -> Answer:
    """GET /v1/events/{id}/notes."""
    return 200, _page(call, call.emulator.find_all("notes", "event_id", str(_event(call)["id"])), "note")


def create_note(call: Call) -> Answer:
    """POST /v1/events/{id}/notes."""
    note = {"id": int(call.emulator.next_id("notes")), "event_id": _event(call)["id"], "body": _words(call)}
    note |= {"created_at": now_iso(), "updated_at": now_iso()}
    call.emulator.put("notes", str(note["id"]), note)
    call.emulator.effect("note.created", "notes", str(note["id"]), note)
    return 201, {"note": note}


def _words(call: Call) -> str:
    given = call.body.get("note") if isinstance(call.body, dict) else None
    body = given.get("body") if isinstance(given, dict) else None
    if not isinstance(body, str) or not body:
        raise refusal(400, "body can't be blank")
    return body


def _note(call: Call) -> Body:
    found = call.emulator.get("notes", call.path("note"))
    if found is None or found["event_id"] != _event(call)["id"]:
        raise refusal(404, "Not Found")
    return found


def update_note(call: Call) -> Answer:
    """PUT /v1/events/{id}/notes/{note}."""
    before = _note(call)
    after = {**before, "body": _words(call)}
    if after != before:
        after["updated_at"] = now_iso()
        call.emulator.put("notes", str(after["id"]), after)
        call.emulator.effect("note.updated", "notes", str(after["id"]), after)
    return 200, {"note": after}


def delete_note(call: Call) -> Answer:
    """DELETE /v1/events/{id}/notes/{note}."""
    note = _note(call)
    call.emulator.delete("notes", str(note["id"]))
    call.emulator.effect("note.deleted", "notes", str(note["id"]), {"id": note["id"]})
    return 204, None


def list_sites(call: Call) -> Answer:
    """GET /v1/sites.json."""
    return 200, _page(call, [{"id": SITE, "name": "Hartwell House", "timezone": ZONE.key}], "site")


def _granted(issued: Issued, _mount: str) -> dict[str, Any]:
    body = {"access_token": issued.access_token, "token_type": "Bearer", "expires_in": 7_200}
    return {**body, "refresh_token": issued.refresh_token, "scope": " ".join(issued.scopes)}


def _refused(error: OAuthError) -> dict[str, Any]:
    return {"error": error.error, "error_description": error.description}


VENDOR = Vendor(
    client_id="sandbox-tripleseat-client",
    client_secret="sandbox-tripleseat-secret",
    authorize=("/oauth2/authorize",),
    tokens={"/oauth2/token": ("authorization_code", "refresh_token")},
    revoke=("/oauth2/revoke",),
    lifetime_s=7_200.0,
    scopes=("events:read", "events:write"),
    answer=_granted,
    refusal=_refused,
)


def _routes(emulator: Emulator) -> list[BaseRoute]:
    oauth = AuthorisationServer(emulator, VENDOR)
    edge = BearerEdge(
        emulator, TOKEN, refusal, oauth=oauth, drift={"results": "items", "event": "data", "note": "data"}
    )
    event, notes = "/v1/events/{event}.json", "/v1/events/{event}/notes"
    return [
        *oauth.routes(),
        edge.route("/v1/sites.json", list_sites, "GET"),
        edge.route("/v1/events/search.json", search_events, "GET"),
        edge.route(event, read_event, "GET"),
        edge.route(event, update_event, "PUT"),
        edge.route(notes, list_notes, "GET"),
        edge.route(notes, create_note, "POST"),
        edge.route(f"{notes}/{{note}}", update_note, "PUT"),
        edge.route(f"{notes}/{{note}}", delete_note, "DELETE"),
    ]


def _seed(emulator: Emulator) -> None:
    plan = (
        (EVENT, BOOKING, "Fisher wedding", "DEFINITE", 301, "06/12/2027 02:00 PM", 8),
        (55002, 44002, "Garden tasting", "TENTATIVE", 302, "06/12/2027 10:00 AM", 2),
        (55003, 44003, "Lost lunch", "LOST", 301, "06/12/2027 11:00 AM", 2),
    )
    for event_id, booking, name, status, room, begin, hours in plan:
        start = _moment(begin)
        event = {
            "id": event_id,
            "booking_id": booking,
            "name": name,
            "status": status,
            "site_id": SITE,
            "location_id": LOCATION,
            "room_ids": [room],
            "rooms": [{"id": room, "name": ROOMS[room]}],
            "setup_time": 60,
            "teardown_time": 30,
            "guest_count": 80,
            "description": "",
            "created_at": "2026-01-10T10:00:00Z",
            "updated_at": "2026-01-10T10:00:00Z",
            **timed(start, start + timedelta(hours=hours)),
        }
        emulator.put("events", str(event_id), event)


def build(state: State) -> Emulator:
    """The emulated site over this state."""
    return Emulator("tripleseat", state, routes=_routes, seed=_seed, render_error=render_error)
