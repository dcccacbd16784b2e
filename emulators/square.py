"""An emulated Square API v2: a seller, and orders whose fulfilments the point of sale shows.

From the vendor's OpenAPI description: paths, envelopes, fields, lengths, error categories and codes. From its guide
"Update Orders": sparse updates, the current version being required, and that a key used before is answered with the
order as it is, whatever else the request says. From its forum: 400 VERSION_MISMATCH, which the
description does not list. Unconfirmed: which fulfilments of a sparse update are merged (here those that bear a known
uid), `Retry-After` on a 429.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from emulators.bearer_edge import Answer, BearerEdge, Body, Call, RefusalError
from emulators.core import Emulator, State, now_iso

if TYPE_CHECKING:
    from emulators.faults import Fault

TOKEN = "sandbox-square-token"
MERCHANT, LOCATION, ORDER = "MLHARTWELL001", "LHARTWELL0001", "ORDFISHERBAR0000000000001"
_CODES = {
    400: ("INVALID_REQUEST_ERROR", "BAD_REQUEST"),
    401: ("AUTHENTICATION_ERROR", "UNAUTHORIZED"),
    403: ("AUTHENTICATION_ERROR", "INSUFFICIENT_SCOPES"),
    404: ("INVALID_REQUEST_ERROR", "NOT_FOUND"),
    429: ("RATE_LIMIT_ERROR", "RATE_LIMITED"),
}
_NOTE_LIMITS = {"pickup_details": 500, "delivery_details": 550}
_TIMES = {"pickup_details": "pickup_at", "delivery_details": "deliver_at"}
_MAX_KEY = 192


def refusal(status: int, code: str = "", detail: str = "The request could not be served.") -> RefusalError:
    """The vendor's error of a status."""
    category, usual = _CODES.get(status, ("API_ERROR", "INTERNAL_SERVER_ERROR"))
    return RefusalError(status, {"errors": [{"category": category, "code": code or usual, "detail": detail}]})


def render_error(status: int, _fault: Fault | None) -> Response:
    """The vendor's body of an error."""
    return JSONResponse(refusal(status).body, status)


def read_merchant(call: Call) -> Answer:
    """GET /v2/merchants/{id}, where `me` is the token's own."""
    if call.path("merchant") not in {"me", MERCHANT}:
        raise refusal(404)
    merchant = {"id": MERCHANT, "country": "GB", "currency": "GBP", "status": "ACTIVE", "main_location_id": LOCATION}
    return 200, {"merchant": merchant}


def _order(call: Call) -> Body:
    found = call.emulator.get("orders", call.path("order"))
    if found is None:
        raise refusal(404, detail="Order not found.")
    return found


def read_order(call: Call) -> Answer:
    """GET /v2/orders/{id}."""
    return 200, {"order": _order(call)}


def update_order(call: Call) -> Answer:
    """PUT /v2/orders/{id}."""
    before, body = _order(call), call.body if isinstance(call.body, dict) else {}
    given, key = body.get("order"), str(body.get("idempotency_key") or "")
    if len(key) > _MAX_KEY:
        raise refusal(400, "VALUE_TOO_LONG")
    if key and call.emulator.get("keys", key) is not None:
        return 200, {"order": before}
    if not isinstance(given, dict) or "version" not in given:
        raise refusal(400, detail="Missing required parameter.")
    if given["version"] != before["version"]:
        raise refusal(400, "VERSION_MISMATCH", "Supplied version does not match the current version of the order.")
    if before["state"] in {"COMPLETED", "CANCELED"}:
        raise refusal(400, detail="The order cannot be updated any more.")
    after = _merged(before, given)
    if key:
        call.emulator.put("keys", key, {"order": before["id"]})
    call.emulator.put("orders", after["id"], after)
    call.emulator.effect("order.updated", "orders", after["id"], after, key or None)
    return 200, {"order": after}


def _merged(before: Body, given: Body) -> Body:
    changes = {one.get("uid"): one for one in given.get("fulfillments") or []}
    known = {one["uid"] for one in before["fulfillments"]}
    if not changes.keys() <= known:
        raise refusal(400, "NOT_FOUND", "A fulfillment uid does not exist.")
    return {
        **before,
        "ticket_name": given.get("ticket_name", before.get("ticket_name")),
        "metadata": {**before.get("metadata", {}), **(given.get("metadata") or {})},
        "fulfillments": [_fulfilled(one, changes.get(one["uid"], {})) for one in before["fulfillments"]],
        "version": before["version"] + 1,
        "updated_at": now_iso(),
    }


def _fulfilled(before: Body, change: Body) -> Body:
    after = {**before, **{name: change[name] for name in ("state",) if name in change}}
    for name, limit in _NOTE_LIMITS.items():
        details = change.get(name)
        if not isinstance(details, dict):
            continue
        if len(str(details.get("note") or "")) > limit:
            raise refusal(400, "VALUE_TOO_LONG", "The note is too long.")
        _timestamp(details.get(_TIMES[name]))
        after[name] = {**before.get(name, {}), **details}
    return after


def _timestamp(given: Any) -> None:
    try:
        aware = given is None or datetime.fromisoformat(str(given)).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise refusal(400, "INVALID_TIME", "The time is not in RFC 3339 format.")


def _routes(emulator: Emulator) -> list[BaseRoute]:
    edge = BearerEdge(emulator, TOKEN, refusal, drift={"order": "sale", "merchant": "seller"})
    return [
        edge.route("/v2/merchants/{merchant}", read_merchant, "GET"),
        edge.route("/v2/orders/{order}", read_order, "GET"),
        edge.route("/v2/orders/{order}", update_order, "PUT"),
    ]


def _seed(emulator: Emulator) -> None:
    bar = {
        "uid": "bar",
        "name": "Reception drinks",
        "quantity": "80",
        "base_price_money": {"amount": 1200, "currency": "GBP"},
    }
    pickup = {"schedule_type": "SCHEDULED", "pickup_at": "2027-06-12T13:00:00Z", "note": "Terrace bar"}
    order = {
        "id": ORDER,
        "location_id": LOCATION,
        "reference_id": "wed-1001",
        "line_items": [bar],
        "fulfillments": [{"uid": "ready", "type": "PICKUP", "state": "PROPOSED", "pickup_details": pickup}],
        "metadata": {},
        "state": "OPEN",
        "version": 1,
        "created_at": "2026-01-10T10:00:00.000Z",
        "updated_at": "2026-01-10T10:00:00.000Z",
    }
    emulator.put("orders", ORDER, order)


def build(state: State) -> Emulator:
    """The emulated seller over this state."""
    return Emulator("square", state, routes=_routes, seed=_seed, render_error=render_error)
