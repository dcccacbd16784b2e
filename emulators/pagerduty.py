"""An emulated PagerDuty Events API v2: alerts that events of one `dedup_key` open, join, acknowledge and resolve.

From the vendor's OpenAPI description of the Events API: paths, fields, required ones, the severities and actions, 202
with `status`, `message`, `dedup_key`. From public copies of vendor answers: the body of a 400, the length and alphabet
of a routing key. Unconfirmed: a well-formed key of no integration is refused with 400; acknowledging or resolving what
is not open is accepted and changes nothing; a trigger after a resolve opens a new alert; a trigger that joins an open
alert takes its summary and severity over; `Retry-After` on a 429.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.core import Emulator, State, now_iso
from emulators.faults import Fault

if TYPE_CHECKING:
    from starlette.requests import Request

ROUTING_KEY = "sandboxpagerdutyroutingkey000001"
_KEY_LENGTH = 32
_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "error", "warning", "info")
_REQUIRED = ("summary", "source", "severity")
_MAX_KEY, _MAX_SUMMARY = 255, 1_024
Body = dict[str, Any]


def problems(event: Body) -> list[str]:
    """What is wrong with an event, in the vendor's manner."""
    return [*_key_problems(event.get("routing_key")), *_event_problems(event)]


def _key_problems(key: Any) -> list[str]:
    if not isinstance(key, str) or not key:
        return ["'routing_key' is missing or blank"]
    found = []
    if len(key) != _KEY_LENGTH:
        found.append(f"Length of 'routing_key' is incorrect (should be {_KEY_LENGTH} characters)")
    if not re.fullmatch(r"[A-Za-z0-9]*", key):
        found.append("'routing_key' cannot contain non-alphanumeric characters.")
    if not found and key != ROUTING_KEY:
        found.append("'routing_key' is invalid")
    return found


def _event_problems(event: Body) -> list[str]:
    action, key = event.get("event_action"), event.get("dedup_key")
    found = []
    if action not in _ACTIONS:
        found.append("'event_action' is missing or invalid")
    if key is None and action != "trigger":
        found.append("'dedup_key' is missing or blank")
    if key is not None and (not isinstance(key, str) or not 0 < len(key) <= _MAX_KEY):
        found.append(f"'dedup_key' must be a string of at most {_MAX_KEY} characters")
    return found + (_payload_problems(event.get("payload")) if action == "trigger" else [])


def _payload_problems(payload: Any) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    found = [f"'payload.{name}' is missing or blank" for name in _REQUIRED if not payload.get(name)]
    if payload.get("severity") and payload["severity"] not in _SEVERITIES:
        found.append(
            "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')"
        )
    if len(str(payload.get("summary") or "")) > _MAX_SUMMARY:
        found.append(f"'payload.summary' is too long (maximum is {_MAX_SUMMARY} characters)")
    if not isinstance(payload.get("custom_details", {}), dict):
        found.append("'payload.custom_details' must be an object")
    return found


def _open_alert(emulator: Emulator, key: str) -> Body | None:
    found = emulator.find_all("alerts", "dedup_key", key, newest_first=True, limit=1)
    return found[0] if found and found[0]["status"] != "resolved" else None


def _trigger(emulator: Emulator, key: str, event: Body) -> None:
    facts = {name: event["payload"].get(name) for name in (*_REQUIRED, "timestamp", "class", "custom_details")}
    known = _open_alert(emulator, key)
    if known is None:
        alert = {"id": uuid.uuid4().hex[:14].upper(), "dedup_key": key, "status": "triggered", **facts}
        alert |= {"links": event.get("links", []), "created_at": now_iso()}
        emulator.put("alerts", alert["id"], alert)
        emulator.effect("alert.triggered", "alerts", alert["id"], alert, idempotency_key=key)
        return
    changed = {**known, "summary": facts["summary"], "severity": facts["severity"]}
    if changed != known:
        emulator.put("alerts", known["id"], changed)
        emulator.effect("alert.updated", "alerts", known["id"], changed, idempotency_key=key)


def _move(emulator: Emulator, key: str, status: str) -> None:
    known = _open_alert(emulator, key)
    if known is None or known["status"] == status:
        return
    changed = {**known, "status": status}
    emulator.put("alerts", known["id"], changed)
    emulator.effect(f"alert.{status}", "alerts", known["id"], changed, idempotency_key=key)


def apply(emulator: Emulator, event: Body) -> str:
    """Do what a valid event says; returns its key, a new one where it has none."""
    key = event.get("dedup_key") or uuid.uuid4().hex
    with emulator.transaction():
        if event["event_action"] == "trigger":
            _trigger(emulator, key, event)
        else:
            _move(emulator, key, "acknowledged" if event["event_action"] == "acknowledge" else "resolved")
    return str(key)


def _invalid(*errors: str) -> Response:
    body = {"status": "invalid event", "message": "Event object is invalid", "errors": list(errors)}
    return JSONResponse(body, 400)


def render_error(status: int, _fault: Fault | None) -> Response:
    """The vendor's body of an error."""
    return JSONResponse({"status": "error", "message": "The event could not be processed.", "errors": []}, status)


def _routes(emulator: Emulator) -> list[BaseRoute]:
    async def enqueue(request: Request) -> Response:
        emulator.name_operation(request, "enqueue")
        try:
            event = json.loads(await request.body())
        except ValueError:
            event = None
        if not isinstance(event, dict):
            body = {"status": "Unrecognized object", "message": "Event object format is unrecognized"}
            return JSONResponse({**body, "errors": ["JSON parse error"]}, 400)
        found = problems(event)
        if emulator.fault_active("revoke_token", request) or emulator.fault_active("expire_token", request):
            found = ["'routing_key' is invalid"]
        if found:
            return _invalid(*found)
        return JSONResponse(
            {"status": "success", "message": "Event processed", "dedup_key": apply(emulator, event)}, 202
        )

    return [Route("/v2/enqueue", enqueue, methods=["POST"])]


def _seed(_emulator: Emulator) -> None:
    """A service has no alert from the start."""


def build(state: State) -> Emulator:
    """The emulated service over this state."""
    return Emulator("pagerduty", state, routes=_routes, seed=_seed, render_error=render_error)
