"""What an emulated HubSpot portal knows from the start, and how it judges property values."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

PORTAL_ID = 48_000_001
SINGULAR = {
    "contacts": "contact",
    "companies": "company",
    "deals": "deal",
    "notes": "note",
    "tasks": "task",
    "communications": "communication",
}
TYPE_IDS = {
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-46": "notes",
    "0-27": "tasks",
    "0-18": "communications",
}
ASSOCIATION_TYPES = {
    ("notes", "contacts"): 202,
    ("notes", "companies"): 190,
    ("notes", "deals"): 214,
    ("tasks", "contacts"): 204,
    ("tasks", "companies"): 192,
    ("tasks", "deals"): 216,
    ("communications", "contacts"): 81,
    ("communications", "companies"): 87,
    ("communications", "deals"): 85,
    ("contacts", "companies"): 279,
    ("companies", "contacts"): 280,
    ("deals", "contacts"): 3,
    ("contacts", "deals"): 4,
    ("deals", "companies"): 341,
    ("companies", "deals"): 342,
}
STAGES = (
    "appointmentscheduled",
    "qualifiedtobuy",
    "presentationscheduled",
    "decisionmakerboughtin",
    "contractsent",
    "in_progress",
    "closedwon",
    "closedlost",
)
REQUIRED = {"notes": ("hs_timestamp",), "tasks": ("hs_timestamp",), "communications": ("hs_timestamp",)}
MODIFIED = {"contacts": "lastmodifieddate"}
CREATED = {"contacts": "createdate", "companies": "createdate", "deals": "createdate"}
_TEXT, _NUMBER, _DATETIME, _ENUM = "string", "number", "datetime", "enumeration"
_STANDARD: dict[str, dict[str, Any]] = {
    "contacts": {
        "email": _TEXT,
        "firstname": _TEXT,
        "lastname": _TEXT,
        "phone": _TEXT,
        "company": _TEXT,
        "jobtitle": _TEXT,
        "website": _TEXT,
        "address": _TEXT,
        "city": _TEXT,
        "state": _TEXT,
        "zip": _TEXT,
        "country": _TEXT,
        "hubspot_owner_id": _TEXT,
        "lifecyclestage": ("subscriber", "lead", "opportunity", "customer", "evangelist", "other"),
    },
    "companies": {
        "name": _TEXT,
        "domain": _TEXT,
        "phone": _TEXT,
        "city": _TEXT,
        "country": _TEXT,
        "description": _TEXT,
        "website": _TEXT,
        "hubspot_owner_id": _TEXT,
    },
    "deals": {
        "dealname": _TEXT,
        "amount": _NUMBER,
        "dealstage": STAGES,
        "pipeline": ("default",),
        "closedate": _DATETIME,
        "description": _TEXT,
        "hubspot_owner_id": _TEXT,
    },
    "notes": {"hs_note_body": _TEXT, "hs_timestamp": _DATETIME, "hubspot_owner_id": _TEXT, "hs_attachment_ids": _TEXT},
    "tasks": {
        "hs_task_subject": _TEXT,
        "hs_task_body": _TEXT,
        "hs_timestamp": _DATETIME,
        "hubspot_owner_id": _TEXT,
        "hs_task_status": ("NOT_STARTED", "IN_PROGRESS", "WAITING", "COMPLETED", "DEFERRED"),
        "hs_task_priority": ("NONE", "LOW", "MEDIUM", "HIGH"),
        "hs_task_type": ("TODO", "CALL", "EMAIL"),
    },
    "communications": {
        "hs_communication_body": _TEXT,
        "hs_communication_channel_type": ("SMS", "WHATS_APP", "LINKEDIN_MESSAGE"),
        "hs_communication_logged_from": ("CRM",),
        "hs_timestamp": _DATETIME,
        "hubspot_owner_id": _TEXT,
    },
}
DEFAULT_FIELDS = {
    "contacts": ("email", "firstname", "lastname"),
    "companies": ("name", "domain"),
    "deals": ("dealname", "amount", "closedate", "dealstage", "pipeline"),
}
FIELD_TYPES = {
    _TEXT: "text",
    _NUMBER: "number",
    _DATETIME: "date",
    "date": "date",
    _ENUM: "select",
    "bool": "booleancheckbox",
}
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class ValueRejectedError(Exception):
    """A property value that HubSpot would refuse; `code` is its machine-readable reason."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the vendor's code beside the message."""
        super().__init__(message)
        self.code = code


def groups_of(object_type: str) -> str:
    """The name of the property group an object type starts with."""
    singular = SINGULAR.get(object_type, object_type)
    return f"{singular}information" if object_type in SINGULAR else f"{singular}_information"


def standard_properties(object_type: str, now: str) -> list[dict[str, Any]]:
    """The properties HubSpot itself defines for an object type, custom types included."""
    created = CREATED.get(object_type, "hs_createdate")
    modified = MODIFIED.get(object_type, "hs_lastmodifieddate")
    own = dict(_STANDARD.get(object_type, {}))
    found = [hubspot_property(object_type, name, kind, now) for name, kind in own.items()]
    for name, kind in (("hs_object_id", _NUMBER), (created, _DATETIME), (modified, _DATETIME)):
        body = hubspot_property(object_type, name, kind, now)
        body["modificationMetadata"] = {"archivable": False, "readOnlyDefinition": True, "readOnlyValue": True}
        found.append(body)
    for body in found:
        body["hasUniqueValue"] = object_type == "contacts" and body["name"] == "email"
    return found


def hubspot_property(object_type: str, name: str, kind: Any, now: str) -> dict[str, Any]:
    """One HubSpot-defined property; a tuple as `kind` makes an enumeration of those values."""
    options = kind if isinstance(kind, tuple) else ()
    value_type = _ENUM if options else kind
    return {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "type": value_type,
        "fieldType": FIELD_TYPES[value_type],
        "description": "",
        "groupName": groups_of(object_type),
        "options": [
            {"label": value, "value": value, "displayOrder": place, "hidden": False}
            for place, value in enumerate(options)
        ],
        "displayOrder": -1,
        "calculated": False,
        "externalOptions": False,
        "hasUniqueValue": False,
        "hidden": False,
        "hubspotDefined": True,
        "formField": False,
        "archived": False,
        "createdAt": now,
        "updatedAt": now,
        "modificationMetadata": {"archivable": False, "readOnlyDefinition": True, "readOnlyValue": False},
    }


def as_text(value: Any) -> str:
    """A JSON value as HubSpot stores it: text; null clears."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def accepted(rule: dict[str, Any], raw: Any) -> str:
    """The value HubSpot would store for a property.

    Raises:
        ValueRejectedError: The value does not fit the property.
    """
    name, value = rule["name"], as_text(raw)
    if rule["modificationMetadata"]["readOnlyValue"]:
        raise ValueRejectedError("READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.')
    if value == "":
        return value
    kind = rule["type"]
    if kind == "enumeration":
        return _option(rule, value)
    if kind == "bool":
        if value not in ("true", "false"):
            raise ValueRejectedError("INVALID_OPTION", f'The value of "{name}" was not one of the allowed options.')
        return value
    if kind == "number":
        return _number(name, value)
    if kind == "date":
        return _date(name, value)
    if kind == "datetime":
        return _datetime(name, value)
    if name == "email" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
        raise ValueRejectedError("INVALID_EMAIL", "The email address is invalid.")
    return value.lower() if name == "email" else value


def _option(rule: dict[str, Any], value: str) -> str:
    allowed = {option["value"] for option in rule["options"]}
    chosen = [part for part in value.split(";") if part] if rule["fieldType"] == "checkbox" else [value]
    if not set(chosen) <= allowed:
        message = f'A value of "{rule["name"]}" was not one of the allowed options: {sorted(allowed)}'
        raise ValueRejectedError("INVALID_OPTION", message)
    return value


def _number(name: str, value: str) -> str:
    try:
        float(value)
    except ValueError:
        raise ValueRejectedError("INVALID_NUMBER", f'The value of "{name}" was not a valid number.') from None
    return value


def _date(name: str, value: str) -> str:
    moment = _moment(value, "INVALID_DATE", name)
    if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
        raise ValueRejectedError("INVALID_DATE", f'The value of "{name}" is not at midnight UTC.')
    return moment.date().isoformat()


def _datetime(name: str, value: str) -> str:
    moment = _moment(value, "INVALID_DATE", name)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(value: str, code: str, name: str) -> datetime:
    try:
        if re.fullmatch(r"-?\d+", value):
            return datetime.fromtimestamp(int(value) / 1000, UTC)
        if _ISO_DATE.fullmatch(value):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        moment = datetime.fromisoformat(value)
    except (ValueError, OverflowError, OSError):
        raise ValueRejectedError(code, f'The value of "{name}" was not a valid date.') from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
