"""The state of an emulated HubSpot portal: its types, records and associations, and how they are written."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from emulators import hubspot_rules as rules
from emulators.core import now_iso

if TYPE_CHECKING:
    from emulators.core import Emulator

Record = dict[str, Any]


class ApiError(Exception):
    """An error answer in HubSpot's own shape."""

    def __init__(
        self,
        status: int,
        category: str,
        message: str,
        *,
        errors: Sequence[Record] = (),
        context: dict[str, list[str]] | None = None,
    ) -> None:
        """Keep what the answer will say."""
        super().__init__(message)
        self.status, self.category, self.message = status, category, message
        self.errors, self.context = list(errors), context or {}

    def body(self) -> Record:
        """The whole-request form."""
        body: Record = {
            "status": "error",
            "message": self.message,
            "correlationId": str(uuid.uuid4()),
            "category": self.category,
        }
        if self.errors:
            body["errors"] = self.errors
        if self.context:
            body["context"] = self.context
        return body

    def item(self, trace: str | None) -> Record:
        """The form inside a multi-status answer, naming the input it belongs to."""
        context = {**self.context, **({"objectWriteTraceId": [trace]} if trace else {})}
        return {
            "status": "error",
            "category": self.category,
            "message": self.message,
            "context": context,
            "errors": self.errors,
            "links": {},
        }


class Portal:
    """Reads and writes of one portal; every method runs inside the caller's transaction."""

    def __init__(self, emulator: Emulator) -> None:
        """Work on the emulator's stored objects."""
        self.emulator = emulator
        self._catalog: dict[str, dict[str, Record]] = {}
        emulator.on_reset.append(self._catalog.clear)

    def type_of(self, text: str) -> str:
        """The canonical name of an object type given by name, fully qualified name or object type id.

        Raises:
            ApiError: 400, no such type.
        """
        if text in rules.SINGULAR:
            return text
        if text in rules.TYPE_IDS:
            return rules.TYPE_IDS[text]
        for plural, singular in rules.SINGULAR.items():
            if text == singular:
                return plural
        schema = self.schema(text)
        if schema is None:
            raise ApiError(400, "VALIDATION_ERROR", f"Unable to infer object type from: {text}")
        return str(schema["name"])

    def schema(self, text: str) -> Record | None:
        """The custom object schema with this name, fully qualified name or object type id."""
        for schema in self.emulator.list("schemas"):
            if text in (schema["name"], schema["fullyQualifiedName"], schema["objectTypeId"]):
                return schema
        return None

    def catalog(self, object_type: str) -> dict[str, Record]:
        """The properties of an object type by name."""
        if object_type not in self._catalog:
            stored = self.emulator.list(f"properties/{object_type}")
            self._catalog[object_type] = {body["name"]: body for body in stored}
        return self._catalog[object_type]

    def define(self, object_type: str, body: Record) -> None:
        """Store a property's definition."""
        self.emulator.put(f"properties/{object_type}", body["name"], body)
        self._catalog.pop(object_type, None)

    def forget_catalogs(self) -> None:
        """Read the properties again next time, because a write may have been rolled back."""
        self._catalog.clear()

    def checked(self, object_type: str, given: Record) -> dict[str, str]:
        """The values HubSpot would store.

        Raises:
            ApiError: 400 with one detail per refused property.
        """
        kept: dict[str, str] = {}
        problems: list[Record] = []
        catalog = self.catalog(object_type)
        for name, raw in given.items():
            rule = catalog.get(name)
            try:
                if rule is None:
                    reason = f'Property "{name}" does not exist'
                    raise rules.ValueRejectedError("PROPERTY_DOESNT_EXIST", reason)  # noqa: TRY301
                kept[name] = rules.accepted(rule, raw)
            except rules.ValueRejectedError as refused:
                problems.append(
                    {"message": str(refused), "code": refused.code, "context": {"propertyName": [name]}},
                )
        if problems:
            summary = "; ".join(problem["message"] for problem in problems)
            raise ApiError(400, "VALIDATION_ERROR", f"Property values were not valid: {summary}", errors=problems)
        return kept

    def _reserve(self, object_type: str, values: dict[str, str], own_id: str | None) -> None:
        for name, value in values.items():
            if not value or not self.catalog(object_type)[name]["hasUniqueValue"]:
                continue
            other = self.emulator.find(object_type, f"properties.{name}", value)
            if other is not None and other["id"] != own_id:
                message = f"A record with this unique value of {name} already exists. Existing ID: {other['id']}"
                raise ApiError(409, "CONFLICT", message)

    def record(self, object_type: str, object_id: str, id_property: str | None = None) -> Record | None:
        """A live record by id, or by the value of a unique property.

        Raises:
            ApiError: 400, the property is not unique.
        """
        if id_property in (None, "", "hs_object_id"):
            return self.emulator.get(object_type, object_id)
        rule = self.catalog(object_type).get(str(id_property))
        if rule is None or not rule["hasUniqueValue"]:
            raise ApiError(400, "VALIDATION_ERROR", f"The property {id_property} is not a unique identifier.")
        value = object_id.lower() if id_property == "email" else object_id
        return self.emulator.find(object_type, f"properties.{id_property}", value)

    def create(self, object_type: str, given: Record, associations: Iterable[Record], trace: str | None) -> Record:
        """Create a record with its associations, as one effect.

        Raises:
            ApiError: 400 or 409, nothing was written.
        """
        values = self.checked(object_type, given)
        self._require(object_type, values)
        self._reserve(object_type, values, None)
        links = [(self._target(object_type, link), link) for link in associations]
        object_id, now = self.emulator.next_id("records"), now_iso()
        stamps = {
            "hs_object_id": object_id,
            rules.CREATED.get(object_type, "hs_createdate"): now,
            rules.MODIFIED.get(object_type, "hs_lastmodifieddate"): now,
        }
        body = {
            "id": object_id,
            "properties": {**values, **stamps},
            "createdAt": now,
            "updatedAt": now,
            "archived": False,
        }
        self.emulator.put(object_type, object_id, body)
        for (to_type, to_id), link in links:
            self.link(object_type, object_id, to_type, to_id, link["types"])
        effect = {**body, "associations": [link for _, link in links]} if links else body
        self._effect(object_type, "created", object_id, effect, trace)
        return body

    def _require(self, object_type: str, values: dict[str, str]) -> None:
        schema = None if object_type in rules.SINGULAR else self.schema(object_type)
        required = rules.REQUIRED.get(object_type, ()) if schema is None else schema["requiredProperties"]
        missing = [name for name in required if not values.get(name)]
        if missing:
            message = f"Error creating {object_type.upper()}. Some required properties were not set."
            detail = {"message": message, "code": "REQUIRED_FIELD", "context": {"properties": missing}}
            raise ApiError(400, "VALIDATION_ERROR", message, errors=[detail], context={"properties": missing})

    def update(self, object_type: str, record: Record, given: Record, trace: str | None) -> Record:
        """Change a record; values that stay the same are not an effect.

        Raises:
            ApiError: 400 or 409, nothing was written.
        """
        values = self.checked(object_type, given)
        changed = {name: value for name, value in values.items() if record["properties"].get(name, "") != value}
        if not changed:
            return record
        self._reserve(object_type, changed, record["id"])
        now = now_iso()
        stamp = {rules.MODIFIED.get(object_type, "hs_lastmodifieddate"): now}
        body = {**record, "properties": {**record["properties"], **changed, **stamp}, "updatedAt": now}
        self.emulator.put(object_type, record["id"], body)
        self._effect(object_type, "updated", record["id"], {"id": record["id"], "properties": changed}, trace)
        return body

    def archive(self, object_type: str, object_id: str) -> None:
        """Take a record away; an absent one is not an error."""
        if self.emulator.get(object_type, object_id) is None:
            return
        self.emulator.delete(object_type, object_id)
        self._effect(object_type, "archived", object_id, {"id": object_id}, None)

    def _effect(self, object_type: str, verb: str, object_id: str, body: Record, trace: str | None) -> None:
        kind = f"{rules.SINGULAR.get(object_type, object_type)}.{verb}"
        self.emulator.effect(kind, object_type, object_id, body, trace)

    def type_id(self, object_type: str) -> str:
        """The object type id, for example `0-1` or `2-10001`."""
        for type_id, name in rules.TYPE_IDS.items():
            if name == object_type:
                return type_id
        schema = self.schema(object_type)
        return str(schema["objectTypeId"]) if schema else object_type

    def _target(self, from_type: str, link: Record) -> tuple[str, str]:
        to_id = str(link.get("to", {}).get("id", ""))
        for kind in link.get("types") or ():
            for to_type in self._types_linked_by(from_type, kind.get("associationTypeId")):
                if self.emulator.get(to_type, to_id) is not None:
                    return to_type, to_id
        message = "One or more associations are not valid: the association type or the object does not exist."
        raise ApiError(400, "VALIDATION_ERROR", message, context={"toObjectId": [to_id]})

    def _types_linked_by(self, from_type: str, association_type: Any) -> list[str]:
        standard = [
            pair[1]
            for pair, type_id in rules.ASSOCIATION_TYPES.items()
            if (pair[0], type_id) == (from_type, association_type)
        ]
        own = self.type_id(from_type)
        for schema in self.emulator.list("schemas"):
            for definition in schema["associations"]:
                if definition["id"] == str(association_type):
                    ends = {definition["fromObjectTypeId"], definition["toObjectTypeId"]} - {own}
                    standard.extend(self.type_of(end) for end in ends)
        return standard

    def default_spec(self, from_type: str, to_type: str) -> Record:
        """The association HubSpot uses when the caller names none."""
        known = rules.ASSOCIATION_TYPES.get((from_type, to_type))
        if known is not None:
            return {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": known}
        ends = {self.type_id(from_type), self.type_id(to_type)}
        for schema in self.emulator.list("schemas"):
            for definition in schema["associations"]:
                if {definition["fromObjectTypeId"], definition["toObjectTypeId"]} == ends:
                    return {"associationCategory": "USER_DEFINED", "associationTypeId": int(definition["id"])}
        message = f"No association between {from_type} and {to_type} is defined in this account."
        raise ApiError(400, "VALIDATION_ERROR", message)

    def link(self, from_type: str, from_id: str, to_type: str, to_id: str, specs: list[Record]) -> bool:
        """Store an association; false when it was already there."""
        key = f"{from_type}/{from_id}/{to_type}/{to_id}"
        backwards = f"{to_type}/{to_id}/{from_type}/{from_id}"
        if self.emulator.get("associations", key) or self.emulator.get("associations", backwards):
            return False
        body = {
            "id": key,
            "fromObjectType": from_type,
            "fromObjectId": from_id,
            "toObjectType": to_type,
            "toObjectId": to_id,
            "types": specs,
        }
        body["fromKey"], body["toKey"] = f"{from_type}/{from_id}", f"{to_type}/{to_id}"
        self.emulator.put("associations", key, body)
        return True

    def linked(self, object_type: str, object_id: str, other_type: str) -> list[tuple[str, list[Record]]]:
        """Ids of the records of another type that a record is associated with, and the association specs."""
        key = f"{object_type}/{object_id}"
        forward = self.emulator.find_all("associations", "fromKey", key)
        backward = self.emulator.find_all("associations", "toKey", key)
        found = [(body["toObjectId"], body["types"]) for body in forward if body["toObjectType"] == other_type]
        found.extend(
            (body["fromObjectId"], [self.default_spec(object_type, other_type)])
            for body in backward
            if body["fromObjectType"] == other_type
        )
        return found


def present(object_type: str, record: Record, wanted: Sequence[str]) -> Record:
    """A record as a read answers it: the wanted properties, or the type's default ones."""
    names = list(wanted) or list(rules.DEFAULT_FIELDS.get(object_type, ()))
    created = rules.CREATED.get(object_type, "hs_createdate")
    modified = rules.MODIFIED.get(object_type, "hs_lastmodifieddate")
    stored = record["properties"]
    picked = {name: stored.get(name) or None for name in dict.fromkeys([*names, "hs_object_id", created, modified])}
    return {**record, "properties": picked}
