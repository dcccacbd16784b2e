"""An emulated HubSpot: CRM records over the v3 and the date-based paths, and what the portal holds from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators import hubspot_batch, hubspot_links, hubspot_model
from emulators import hubspot_rules as rules
from emulators.core import Emulator, State, now_iso
from emulators.hubspot_edge import Answer, Call, Edge, not_found, properties_of, render_error
from emulators.hubspot_oauth import VENDOR
from emulators.hubspot_portal import ApiError, Portal, Record, present
from emulators.hubspot_search import search
from emulators.oauth import AuthorisationServer

if TYPE_CHECKING:
    from starlette.requests import Request

OBJECT_ROOTS = ("/crm/v3/objects", "/crm/objects/v3", "/crm/objects/2026-03", "/crm/objects/2026-09")


def create_object(call: Call) -> Answer:
    """POST /{type}."""
    links = call.body.get("associations") or [] if isinstance(call.body, dict) else []
    return 201, call.portal.create(call.object_type, properties_of(call.body), links, None)


def _existing(call: Call) -> Record:
    object_id = call.request.path_params["id"]
    record = call.portal.record(call.object_type, object_id, call.request.query_params.get("idProperty"))
    if record is None:
        raise not_found(call.object_type, object_id)
    return record


def _wanted(call: Call) -> list[str]:
    given = call.request.query_params.getlist("properties")
    return [name for part in given for name in part.split(",") if name]


def get_object(call: Call) -> Answer:
    """GET /{type}/{id}."""
    record = _existing(call)
    answer = present(call.object_type, record, _wanted(call))
    asked = [kind for part in call.request.query_params.getlist("associations") for kind in part.split(",") if kind]
    if asked:
        answer["associations"] = {}
        for kind in asked:
            other = call.portal.type_of(kind)
            links = call.portal.linked(call.object_type, record["id"], other)
            label = f"{rules.SINGULAR.get(call.object_type, call.object_type)}_to_{rules.SINGULAR.get(other, other)}"
            if links:
                answer["associations"][other] = {"results": [{"id": to_id, "type": label} for to_id, _ in links]}
    return 200, answer


def update_object(call: Call) -> Answer:
    """PATCH /{type}/{id}."""
    return 200, call.portal.update(call.object_type, _existing(call), properties_of(call.body), None)


def archive_object(call: Call) -> Answer:
    """DELETE /{type}/{id}."""
    call.portal.archive(call.object_type, call.request.path_params["id"])
    return 204, None


def list_objects(call: Call) -> Answer:
    """GET /{type}, a page at a time."""
    query = call.request.query_params
    limit, offset = min(100, int(query.get("limit", "10"))), int(query.get("after") or 0)
    repeated = offset > 0 and call.portal.emulator.fault_active("duplicate_page", call.request) is not None
    begin = max(0, offset - limit) if repeated else offset
    records = call.portal.emulator.list(call.object_type, limit=limit, offset=begin)
    answer: Record = {"results": [present(call.object_type, record, _wanted(call)) for record in records]}
    if offset + limit < call.portal.emulator.count(call.object_type):
        answer["paging"] = {"next": {"after": str(offset + limit)}}
    return 200, answer


def search_objects(call: Call) -> Answer:
    """POST /{type}/search."""
    return 200, search(call.portal, call.object_type, call.body, call.request)


def account_details(_call: Call) -> Answer:
    """GET /account-info/v3/details."""
    return 200, {
        "portalId": rules.PORTAL_ID,
        "accountType": "SANDBOX",
        "timeZone": "Europe/London",
        "companyCurrency": "GBP",
        "additionalCurrencies": [],
        "utcOffset": "+00:00",
        "utcOffsetMilliseconds": 0,
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    }


def _object_routes(edge: Edge, root: str) -> list[BaseRoute]:
    kind = f"{root}/{{type}}"
    return [
        edge.route(f"{kind}/batch/upsert", hubspot_batch.batch_upsert, "POST"),
        edge.route(f"{kind}/batch/create", hubspot_batch.batch_create, "POST"),
        edge.route(f"{kind}/batch/update", hubspot_batch.batch_update, "POST"),
        edge.route(f"{kind}/batch/read", hubspot_batch.batch_read, "POST"),
        edge.route(f"{kind}/batch/archive", hubspot_batch.batch_archive, "POST"),
        edge.route(f"{kind}/search", search_objects, "POST"),
        edge.route(kind, list_objects, "GET"),
        edge.route(kind, create_object, "POST"),
        edge.route(f"{kind}/{{id}}", get_object, "GET"),
        edge.route(f"{kind}/{{id}}", update_object, "PATCH"),
        edge.route(f"{kind}/{{id}}", archive_object, "DELETE"),
    ]


async def _unknown_path(request: Request) -> Response:
    del request
    return JSONResponse(ApiError(404, "OBJECT_NOT_FOUND", "No such API path.").body(), 404)


def _routes(emulator: Emulator) -> list[BaseRoute]:
    portal, oauth = Portal(emulator), AuthorisationServer(emulator, VENDOR)
    edge = Edge(emulator, portal, oauth)
    found: list[BaseRoute] = [
        *oauth.routes(),
        edge.route("/account-info/v3/details", account_details, "GET"),
        edge.route("/account-info/2026-09/details", account_details, "GET"),
    ]
    for root in OBJECT_ROOTS:
        found += _object_routes(edge, root)
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [
        *found,
        *hubspot_model.routes(edge),
        *hubspot_links.routes(edge),
        Route("/{rest:path}", _unknown_path, methods=methods),
    ]


def _seed(emulator: Emulator) -> None:
    now = now_iso()
    for object_type in rules.SINGULAR:
        group = rules.groups_of(object_type)
        body = {"name": group, "label": group.capitalize(), "displayOrder": 0, "archived": False}
        emulator.put(f"groups/{object_type}", group, body)
        for prop in rules.standard_properties(object_type, now):
            emulator.put(f"properties/{object_type}", prop["name"], prop)
    stages = [
        {
            "id": stage,
            "label": stage.replace("_", " ").capitalize(),
            "displayOrder": place,
            "metadata": {"isClosed": str(stage.startswith("closed")).lower(), "probability": "0.5"},
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
            "createdAt": now,
            "updatedAt": now,
            "archived": False,
        }
        for place, stage in enumerate(rules.STAGES)
    ]
    pipeline = {"id": "default", "label": "Sales Pipeline", "displayOrder": 0, "stages": stages, "archived": False}
    emulator.put("pipelines/deals", "default", {**pipeline, "createdAt": now, "updatedAt": now})
    records = {
        ("contacts", "501"): {"email": "anna.fisher@example.com", "firstname": "Anna", "lastname": "Fisher"},
        ("companies", "601"): {"name": "Lumen Studios", "domain": "lumen-studios.example.com"},
        ("deals", "701"): {"dealname": "Wedding wed-1001", "pipeline": "default", "dealstage": rules.STAGES[0]},
    }
    for (object_type, object_id), values in records.items():
        stamps = {
            "hs_object_id": object_id,
            rules.CREATED.get(object_type, "hs_createdate"): now,
            rules.MODIFIED.get(object_type, "hs_lastmodifieddate"): now,
        }
        body = {"id": object_id, "properties": {**values, **stamps}, "createdAt": now, "updatedAt": now}
        emulator.put(object_type, object_id, {**body, "archived": False})


def build(state: State) -> Emulator:
    """The emulated HubSpot portal over this state."""
    return Emulator("hubspot", state, routes=_routes, seed=_seed, render_error=render_error)
