"""The emulated HubSpot associations: default and labelled, singly and in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulators.core import now_iso
from emulators.hubspot_portal import ApiError, Record

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from emulators.hubspot_edge import Answer, Call, Edge


def _ends(call: Call) -> tuple[str, str]:
    params = call.request.path_params
    return call.portal.type_of(params["type"]), call.portal.type_of(params["to_type"])


def _associate(call: Call, from_id: str, to_id: str, specs: list[Record] | None) -> Record:
    from_type, to_type = _ends(call)
    for kind, object_id in ((from_type, from_id), (to_type, to_id)):
        if call.portal.emulator.get(kind, object_id) is None:
            raise ApiError(404, "OBJECT_NOT_FOUND", f"No {kind} record has this id.", context={"ids": [object_id]})
    used = specs or [call.portal.default_spec(from_type, to_type)]
    body = {"from": {"id": from_id}, "to": {"id": to_id}, "associationSpec": used[0]}
    if call.portal.link(from_type, from_id, to_type, to_id, used):
        object_id = f"{from_type}/{from_id}/{to_type}/{to_id}"
        call.portal.emulator.effect("association.created", "associations", object_id, body)
    return body


def associate_default(call: Call) -> Answer:
    """PUT .../associations/default/{to_type}/{to_id}."""
    params, started = call.request.path_params, now_iso()
    body = _associate(call, params["id"], params["to_id"], None)
    return 200, {"status": "COMPLETE", "results": [body], "startedAt": started, "completedAt": now_iso()}


def associate_labelled(call: Call) -> Answer:
    """PUT .../associations/{to_type}/{to_id} with a list of association specs."""
    params, (from_type, to_type) = call.request.path_params, _ends(call)
    specs = call.body if isinstance(call.body, list) else None
    _associate(call, params["id"], params["to_id"], specs)
    return 201, {
        "fromObjectId": params["id"],
        "fromObjectTypeId": call.portal.type_id(from_type),
        "toObjectId": params["to_id"],
        "toObjectTypeId": call.portal.type_id(to_type),
        "labels": [],
    }


def associate_batch(call: Call) -> Answer:
    """POST .../batch/associate/default."""
    started = now_iso()
    results, errors = [], []
    for item in call.inputs():
        try:
            results.append(_associate(call, str(item["from"]["id"]), str(item["to"]["id"]), None))
        except KeyError:
            raise ApiError(400, "VALIDATION_ERROR", "Invalid input JSON: each input needs from and to.") from None
        except ApiError as error:
            errors.append(error.item(None))
    answer: Record = {"status": "COMPLETE", "results": results, "startedAt": started, "completedAt": now_iso()}
    return (207, {**answer, "numErrors": len(errors), "errors": errors}) if errors else (200, answer)


def list_associations(call: Call) -> Answer:
    """GET /crm/v4/objects/{type}/{id}/associations/{to_type}."""
    from_type, to_type = _ends(call)
    links = call.portal.linked(from_type, call.request.path_params["id"], to_type)
    results = [
        {
            "toObjectId": to_id,
            "associationTypes": [
                {"category": spec["associationCategory"], "typeId": spec["associationTypeId"], "label": None}
                for spec in specs
            ],
        }
        for to_id, specs in links
    ]
    return 200, {"results": results}


def routes(edge: Edge) -> list[BaseRoute]:
    """All routes of the associations, in every version served."""
    found: list[BaseRoute] = []
    for root in ("/crm/v4/objects", "/crm/objects/2026-03", "/crm/objects/2026-09"):
        pair = f"{root}/{{type}}/{{id}}/associations"
        found += [
            edge.route(f"{pair}/default/{{to_type}}/{{to_id}}", associate_default, "PUT"),
            edge.route(f"{pair}/{{to_type}}/{{to_id}}", associate_labelled, "PUT"),
            edge.route(f"{pair}/{{to_type}}", list_associations, "GET"),
        ]
    for root in ("/crm/v4/associations", "/crm/associations/2026-03", "/crm/associations/2026-09"):
        found.append(edge.route(f"{root}/{{type}}/{{to_type}}/batch/associate/default", associate_batch, "POST"))
    return found
