"""The emulated HubSpot data model: custom object schemas, properties, groups and pipelines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from emulators import hubspot_rules as rules
from emulators.core import now_iso
from emulators.hubspot_portal import ApiError, Record

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from emulators.hubspot_edge import Answer, Call, Edge

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_SCHEMA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_TYPES = ("bool", "date", "datetime", "enumeration", "number", "phone_number", "string")
_FIELDS = (
    "booleancheckbox",
    "calculation_equation",
    "checkbox",
    "date",
    "file",
    "html",
    "number",
    "phonenumber",
    "radio",
    "select",
    "text",
    "textarea",
)
_FIRST_TYPE_NUMBER = 10_000
_PATCHABLE = ("label", "description", "groupName", "fieldType", "displayOrder", "hidden", "formField")


def _needs(body: Any, names: tuple[str, ...]) -> Record:
    missing = [name for name in names if not isinstance(body, dict) or body.get(name) is None]
    if missing:
        raise ApiError(400, "VALIDATION_ERROR", f"Invalid input JSON: missing {', '.join(missing)}.")
    return dict(body)


def _options(given: Any) -> list[Record]:
    if not isinstance(given, list) or not all(isinstance(option, dict) for option in given):
        raise ApiError(400, "VALIDATION_ERROR", "Property options must be a list of objects.")
    options = [
        {
            "label": str(option.get("label") or option.get("value")),
            "value": str(option.get("value")),
            "displayOrder": option.get("displayOrder", place),
            "hidden": bool(option.get("hidden", False)),
            **({"description": option["description"]} if option.get("description") else {}),
        }
        for place, option in enumerate(given)
    ]
    if len({option["value"] for option in options}) < len(options):
        raise ApiError(400, "VALIDATION_ERROR", "Property option values must be unique.")
    return options


def property_body(object_type: str, given: Any, *, custom_group: bool = False) -> Record:
    """A custom property as HubSpot stores it.

    Raises:
        ApiError: 400, the definition is not valid.
    """
    needed = (
        ("name", "label", "type", "fieldType") if custom_group else ("name", "label", "type", "fieldType", "groupName")
    )
    body = _needs(given, needed)
    if not _NAME.fullmatch(body["name"]):
        message = "Property names start with a letter and hold lower-case letters, digits and underscores."
        raise ApiError(400, "VALIDATION_ERROR", message)
    if body["type"] not in _TYPES or body["fieldType"] not in _FIELDS:
        raise ApiError(400, "VALIDATION_ERROR", "The property's type or fieldType is not one of the allowed values.")
    options = _options(body.get("options") or [])
    if body["type"] == "enumeration" and not options:
        raise ApiError(400, "VALIDATION_ERROR", "Properties of type enumeration need options.")
    now = now_iso()
    return {
        "name": body["name"],
        "label": body["label"],
        "type": body["type"],
        "fieldType": body["fieldType"],
        "description": body.get("description") or "",
        "groupName": body.get("groupName") or rules.groups_of(object_type),
        "options": options,
        "displayOrder": body.get("displayOrder", -1),
        "calculated": False,
        "externalOptions": bool(body.get("externalOptions", False)),
        "hasUniqueValue": bool(body.get("hasUniqueValue", False)),
        "hidden": bool(body.get("hidden", False)),
        "hubspotDefined": False,
        "formField": bool(body.get("formField", False)),
        "archived": False,
        "createdAt": now,
        "updatedAt": now,
        "modificationMetadata": {"archivable": True, "readOnlyDefinition": False, "readOnlyValue": False},
    }


def _define(call: Call, object_type: str, given: Any) -> Record:
    body = property_body(object_type, given)
    if body["name"] in call.portal.catalog(object_type):
        message = f"A property named '{body['name']}' already exists."
        raise ApiError(409, "OBJECT_ALREADY_EXISTS", message, context={"name": [body["name"]]})
    if call.portal.emulator.get(f"groups/{object_type}", body["groupName"]) is None:
        raise ApiError(400, "VALIDATION_ERROR", f"The property group {body['groupName']} does not exist.")
    call.portal.define(object_type, body)
    call.portal.emulator.effect("property.created", "properties", f"{object_type}/{body['name']}", body)
    return body


def list_properties(call: Call) -> Answer:
    """GET /{type}."""
    return 200, {"results": list(call.portal.catalog(call.object_type).values())}


def create_property(call: Call) -> Answer:
    """POST /{type}."""
    return 201, _define(call, call.object_type, call.body)


def _existing_property(call: Call) -> Record:
    body = call.portal.catalog(call.object_type).get(call.request.path_params["name"])
    if body is None:
        raise ApiError(404, "OBJECT_NOT_FOUND", "No property has this name.")
    return body


def get_property(call: Call) -> Answer:
    """GET /{type}/{name}."""
    return 200, _existing_property(call)


def update_property(call: Call) -> Answer:
    """PATCH /{type}/{name}; `options` replaces the list of options."""
    before = _existing_property(call)
    if before["modificationMetadata"]["readOnlyDefinition"] and call.body:
        raise ApiError(400, "VALIDATION_ERROR", "This property's definition is read only.")
    given = call.body if isinstance(call.body, dict) else {}
    changes = {name: given[name] for name in _PATCHABLE if given.get(name) is not None}
    if given.get("options") is not None:
        changes["options"] = _options(given["options"])
    if all(before.get(name) == value for name, value in changes.items()):
        return 200, before
    body = {**before, **changes, "updatedAt": now_iso()}
    call.portal.define(call.object_type, body)
    call.portal.emulator.effect("property.updated", "properties", f"{call.object_type}/{body['name']}", changes)
    return 200, body


def _property_batch(call: Call, success: int) -> Answer:
    started, kind = now_iso(), call.object_type
    results, errors = [], []
    for item in call.inputs():
        try:
            results.append(_define(call, kind, item))
        except ApiError as error:
            if error.status != 409:
                raise
            errors.append(error.item(None))
    answer: Record = {"status": "COMPLETE", "results": results, "startedAt": started, "completedAt": now_iso()}
    return (207, {**answer, "numErrors": len(errors), "errors": errors}) if errors else (success, answer)


def create_properties_v3(call: Call) -> Answer:
    """POST /crm/v3/properties/{type}/batch/create, answered 201."""
    return _property_batch(call, 201)


def create_properties(call: Call) -> Answer:
    """POST /crm/properties/{version}/{type}/batch/create, answered 200 as the date-based specification says."""
    return _property_batch(call, 200)


def read_properties(call: Call) -> Answer:
    """POST /{type}/batch/read."""
    catalog, now = call.portal.catalog(call.object_type), now_iso()
    names = [str(item.get("name")) for item in call.inputs()]
    missing = [name for name in names if name not in catalog]
    found = [catalog[name] for name in names if name in catalog]
    answer: Record = {"status": "COMPLETE", "results": found, "startedAt": now, "completedAt": now}
    if not missing:
        return 200, answer
    lost = ApiError(404, "OBJECT_NOT_FOUND", "Some properties do not exist.", context={"name": missing})
    return 207, {**answer, "numErrors": 1, "errors": [lost.item(None)]}


def list_groups(call: Call) -> Answer:
    """GET /{type}/groups."""
    return 200, {"results": call.portal.emulator.list(f"groups/{call.object_type}")}


def create_group(call: Call) -> Answer:
    """POST /{type}/groups."""
    body, kind, emulator = _needs(call.body, ("name", "label")), call.object_type, call.portal.emulator
    if emulator.get(f"groups/{kind}", body["name"]) is not None:
        raise ApiError(409, "OBJECT_ALREADY_EXISTS", f"A property group named '{body['name']}' already exists.")
    group: Record = {
        "name": body["name"],
        "label": body["label"],
        "displayOrder": body.get("displayOrder", -1),
        "archived": False,
    }
    emulator.put(f"groups/{kind}", group["name"], group)
    emulator.effect("property_group.created", "groups", f"{kind}/{group['name']}", group)
    return 201, group


def get_group(call: Call) -> Answer:
    """GET /{type}/groups/{name}."""
    group = call.portal.emulator.get(f"groups/{call.object_type}", call.request.path_params["name"])
    if group is None:
        raise ApiError(404, "OBJECT_NOT_FOUND", "No property group has this name.")
    return 200, group


def list_pipelines(call: Call) -> Answer:
    """GET /crm/pipelines/{type}."""
    return 200, {"results": call.portal.emulator.list(f"pipelines/{call.object_type}")}


def get_pipeline(call: Call) -> Answer:
    """GET /crm/pipelines/{type}/{id}."""
    pipeline = call.portal.emulator.get(f"pipelines/{call.object_type}", call.request.path_params["id"])
    if pipeline is None:
        raise ApiError(404, "OBJECT_NOT_FOUND", "No pipeline has this id.")
    return 200, pipeline


def list_stages(call: Call) -> Answer:
    """GET /crm/pipelines/{type}/{id}/stages."""
    return 200, {"results": get_pipeline(call)[1]["stages"]}


def list_schemas(call: Call) -> Answer:
    """GET /schemas."""
    return 200, {"results": [_with_properties(call, schema) for schema in call.portal.emulator.list("schemas")]}


def _with_properties(call: Call, schema: Record) -> Record:
    return {**schema, "properties": list(call.portal.catalog(schema["name"]).values())}


def get_schema(call: Call) -> Answer:
    """GET /schemas/{type}."""
    schema = call.portal.schema(call.request.path_params["type"])
    if schema is None:
        raise ApiError(404, "OBJECT_NOT_FOUND", "No custom object has this type.")
    return 200, _with_properties(call, schema)


def create_schema(call: Call) -> Answer:
    """POST /schemas."""
    egg = _needs(call.body, ("name", "labels", "properties", "requiredProperties", "associatedObjects"))
    name, emulator = egg["name"], call.portal.emulator
    if not _SCHEMA_NAME.fullmatch(name):
        raise ApiError(
            400, "VALIDATION_ERROR", "Object names start with a letter and hold letters, digits and underscores."
        )
    if call.portal.schema(name) is not None or name in rules.SINGULAR:
        raise ApiError(409, "OBJECT_ALREADY_EXISTS", f"An object named '{name}' already exists.")
    own = [property_body(name, item, custom_group=True) for item in egg["properties"]]
    known = {body["name"] for body in own}
    display = egg.get("primaryDisplayProperty")
    if not {*egg["requiredProperties"], *([display] if display else [])} <= known:
        raise ApiError(
            400, "VALIDATION_ERROR", "requiredProperties and primaryDisplayProperty must name given properties."
        )
    schema = _schema_body(call, egg)
    emulator.put("schemas", schema["objectTypeId"], schema)
    group: Record = {
        "name": rules.groups_of(name),
        "label": f"{name} information",
        "displayOrder": 0,
        "archived": False,
    }
    emulator.put(f"groups/{name}", group["name"], group)
    for body in [*own, *rules.standard_properties(name, schema["createdAt"])]:
        call.portal.define(name, body)
    emulator.effect("schema.created", "schemas", schema["objectTypeId"], {**schema, "properties": sorted(known)})
    return 201, _with_properties(call, schema)


def _schema_body(call: Call, egg: Record) -> Record:
    state, now = call.portal.emulator.state, now_iso()
    number = state.counter("hubspot", "object-type", _FIRST_TYPE_NUMBER)
    type_id = f"2-{number}"
    associations = []
    for target in egg["associatedObjects"]:
        for ends in ((type_id, target), (target, type_id)):
            from_id, to_id = (
                end if end == type_id else call.portal.type_id(call.portal.type_of(_plain(end))) for end in ends
            )
            definition = {
                "id": str(state.counter("hubspot", "association-type", 1000)),
                "fromObjectTypeId": from_id,
                "toObjectTypeId": to_id,
                "name": f"{egg['name']}_to_{target}".lower(),
                "createdAt": now,
                "updatedAt": now,
            }
            associations.append(definition)
    return {
        "id": str(number),
        "objectTypeId": type_id,
        "name": egg["name"],
        "fullyQualifiedName": f"p{rules.PORTAL_ID}_{egg['name']}",
        "labels": egg["labels"],
        "description": egg.get("description") or "",
        "primaryDisplayProperty": egg.get("primaryDisplayProperty") or "hs_object_id",
        "secondaryDisplayProperties": egg.get("secondaryDisplayProperties") or [],
        "requiredProperties": egg["requiredProperties"],
        "searchableProperties": egg.get("searchableProperties") or [],
        "allowsSensitiveProperties": bool(egg.get("allowsSensitiveProperties", False)),
        "associations": associations,
        "archived": False,
        "createdAt": now,
        "updatedAt": now,
    }


def _plain(target: str) -> str:
    upper = {"CONTACT": "contacts", "COMPANY": "companies", "DEAL": "deals", "TASK": "tasks", "NOTE": "notes"}
    return upper.get(target.upper(), target)


def routes(edge: Edge) -> list[BaseRoute]:
    """All routes of the data model, in every version served."""
    found: list[BaseRoute] = []
    for root in ("/crm/v3/properties", "/crm/properties/v3", "/crm/properties/2026-03", "/crm/properties/2026-09"):
        batch = create_properties_v3 if "v3" in root else create_properties
        found += [
            edge.route(f"{root}/{{type}}/batch/create", batch, "POST"),
            edge.route(f"{root}/{{type}}/batch/read", read_properties, "POST"),
            edge.route(f"{root}/{{type}}/groups", list_groups, "GET"),
            edge.route(f"{root}/{{type}}/groups", create_group, "POST"),
            edge.route(f"{root}/{{type}}/groups/{{name}}", get_group, "GET"),
            edge.route(f"{root}/{{type}}", list_properties, "GET"),
            edge.route(f"{root}/{{type}}", create_property, "POST"),
            edge.route(f"{root}/{{type}}/{{name}}", get_property, "GET"),
            edge.route(f"{root}/{{type}}/{{name}}", update_property, "PATCH"),
        ]
    for root in (
        "/crm/v3/schemas",
        *(f"/crm-object-schemas/{version}/schemas" for version in ("v3", "2026-03", "2026-09")),
    ):
        found += [
            edge.route(root, list_schemas, "GET"),
            edge.route(root, create_schema, "POST"),
            edge.route(f"{root}/{{type}}", get_schema, "GET"),
        ]
    for root in ("/crm/v3/pipelines", "/crm/pipelines/v3", "/crm/pipelines/2026-03", "/crm/pipelines/2026-09"):
        found += [
            edge.route(f"{root}/{{type}}", list_pipelines, "GET"),
            edge.route(f"{root}/{{type}}/{{id}}", get_pipeline, "GET"),
            edge.route(f"{root}/{{type}}/{{id}}/stages", list_stages, "GET"),
        ]
    return found
