"""The state of an emulated Salesforce org: its sObjects, their fields, and how records are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulators.core import Emulator
    from emulators.fault_book import Fault

Record = dict[str, Any]
ORG_ID, USER_ID = "00D000000000001EAA", "005000000000001AAA"
TRANSIENT, REFUSED = "UNABLE_TO_LOCK_ROW", "FIELD_CUSTOM_VALIDATION_EXCEPTION"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class SalesforceError(Exception):
    """An error answer: HTTP status and a list of `message`, `errorCode` and `fields`."""

    def __init__(self, status: int, code: str, message: str, fields: Sequence[str] = ()) -> None:
        """Keep what the answer will say."""
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, list(fields)

    def body(self) -> list[Record]:
        """The whole-request form."""
        fields = {"fields": self.fields} if self.fields else {}
        return [{"message": self.message, "errorCode": self.code, **fields}]

    def item(self) -> Record:
        """The form inside a collection's answer."""
        return {"statusCode": self.code, "message": self.message, "fields": self.fields}


class RolledBackError(SalesforceError):
    """A collection undone as a whole, answered 200 with each record's result."""

    def __init__(self, results: Sequence[Record]) -> None:
        """Keep the results; records that had stood are refused too."""
        super().__init__(200, "ALL_OR_NONE_OPERATION_ROLLED_BACK", "Record rolled back because another one failed.")
        self._results = results

    def body(self) -> list[Record]:
        """One refusal per record, in order."""
        undone = {"success": False, "errors": [self.item()]}
        return [undone if result["success"] else result for result in self._results]


def spoil(fault: Fault | None, place: int) -> None:
    """Refuse every second record while a `partial_batch` fault applies; a status 4xx makes it permanent.

    Raises:
        SalesforceError: this record is refused.
    """
    if fault is not None and place % 2:
        code = TRANSIENT if fault.status >= 500 else REFUSED
        raise SalesforceError(400, code, "The record was refused by a fault.")


@dataclass(frozen=True)
class Field:
    """One field of an sObject."""

    name: str
    type: str = "string"
    length: int = 255
    required: bool = False
    external: bool = False
    read_only: bool = False

    def described(self) -> Record:
        """The field as a describe call shows it."""
        return {
            "name": self.name,
            "label": self.name.removesuffix("__c").replace("_", " "),
            "type": self.type,
            "length": self.length if self.type in {"string", "textarea", "email"} else 0,
            "nillable": not self.required,
            "defaultedOnCreate": False,
            "createable": not self.read_only,
            "updateable": not self.read_only,
            "externalId": self.external,
            "unique": self.external,
            "caseSensitive": self.external,
            "idLookup": self.external or self.name == "Id",
            "custom": self.name.endswith("__c"),
        }


_SYSTEM = (
    Field("Id", "id", 18, read_only=True),
    Field("CreatedDate", "datetime", read_only=True),
    Field("LastModifiedDate", "datetime", read_only=True),
    Field("SystemModstamp", "datetime", read_only=True),
)
_NAMED = (Field("LastName", length=80, required=True), Field("FirstName", length=40), Field("Email", "email", 80))
SOBJECTS: Mapping[str, tuple[Field, ...]] = {
    "Contact": (*_SYSTEM, *_NAMED),
    "Lead": (*_SYSTEM, *_NAMED, Field("Company", required=True)),
    "Opportunity": (
        *_SYSTEM,
        Field("Name", length=120, required=True),
        Field("StageName", "picklist", required=True),
        Field("CloseDate", "date", required=True),
    ),
    "Task": (
        *_SYSTEM,
        Field("Subject", "combobox"),
        Field("Description", "textarea", 32_000),
        Field("Status", "picklist"),
        Field("Priority", "picklist"),
        Field("ActivityDate", "date"),
        Field("WhoId", "reference", 18),
        Field("WhatId", "reference", 18),
        Field("WedSync_Effect_Id__c", length=64, external=True),
    ),
    "Wedding__c": (
        *_SYSTEM,
        Field("Name", length=80, required=True),
        Field("WedSync_Id__c", length=64, external=True),
        Field("Wedding_Date__c", "date"),
        Field("Venue_Name__c"),
        Field("Guest_Count__c", "double"),
        Field("Total_Budget__c", "currency"),
        Field("Booking_Status__c"),
        Field("Satisfaction_Score__c", "double"),
    ),
}
_PREFIXES = {"Contact": "003", "Lead": "00Q", "Opportunity": "006", "Task": "00T", "Wedding__c": "a00"}


def stamp() -> str:
    """The current time as Salesforce prints it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + "000+0000"


def sobject_id(sobject: str, number: int | str) -> str:
    """An 18-character record id."""
    return f"{_PREFIXES[sobject]}{number:0>12}AAA"


class Org:
    """Reads and writes of one org; every method runs inside the caller's transaction."""

    def __init__(self, emulator: Emulator) -> None:
        """Work on the emulator's stored records."""
        self.emulator = emulator

    def fields(self, sobject: str) -> Mapping[str, Field]:
        """The fields of an sObject by name.

        Raises:
            SalesforceError: 404, there is no such sObject.
        """
        if sobject not in SOBJECTS:
            raise SalesforceError(404, "NOT_FOUND", "The requested resource does not exist")
        return {field.name: field for field in SOBJECTS[sobject]}

    def external(self, sobject: str, name: str) -> Field:
        """The external id field of that name.

        Raises:
            SalesforceError: 400 or 404, there is none.
        """
        field = self.fields(sobject).get(name)
        if field is None or not field.external:
            message = f"Provided external ID field does not exist or is not accessible: {name}"
            raise SalesforceError(404, "NOT_FOUND", message)
        return field

    def known(self, sobject: str, values: Mapping[str, Any]) -> None:
        """Refuse fields that the sObject does not have.

        Raises:
            SalesforceError: 400 `INVALID_FIELD`.
        """
        for name in values:
            if name not in self.fields(sobject):
                raise SalesforceError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject}")

    def find(self, sobject: str, field: str, value: str) -> Record | None:
        """The record whose field has this value."""
        return self.emulator.get(sobject, value) if field == "Id" else self.emulator.find(sobject, field, value)

    def create(self, sobject: str, values: Record, key: str | None = None) -> Record:
        """A new record, entered in the ledger.

        Raises:
            SalesforceError: 400, a value is missing or does not fit.
        """
        accepted = self._accepted(sobject, values)
        missing = [f.name for f in SOBJECTS[sobject] if f.required and accepted.get(f.name) is None]
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise SalesforceError(400, "REQUIRED_FIELD_MISSING", message, missing)
        record_id, now = sobject_id(sobject, self.emulator.next_id(sobject)), stamp()
        record = {"Id": record_id, **accepted, "CreatedDate": now, "LastModifiedDate": now, "SystemModstamp": now}
        self.emulator.put(sobject, record_id, record)
        self.emulator.effect(f"{sobject}.created", sobject, record_id, record, key)
        return record

    def update(self, sobject: str, record: Record, values: Record, key: str | None = None) -> Record:
        """Changed values on an existing record; what changes nothing is no effect.

        Raises:
            SalesforceError: 400, a value does not fit.
        """
        accepted = self._accepted(sobject, values)
        changed = {**record, **accepted}
        missing = [f.name for f in SOBJECTS[sobject] if f.required and changed.get(f.name) is None]
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise SalesforceError(400, "REQUIRED_FIELD_MISSING", message, missing)
        if changed == record:
            return record
        changed |= {"LastModifiedDate": stamp(), "SystemModstamp": stamp()}
        self.emulator.put(sobject, record["Id"], changed)
        self.emulator.effect(f"{sobject}.updated", sobject, record["Id"], changed, key)
        return changed

    def upsert(self, sobject: str, field: str, value: str, values: Record) -> tuple[Record, bool]:
        """Create or update by external id; the second item says whether it was created.

        Raises:
            SalesforceError: 400 or 404.
        """
        self.external(sobject, field)
        if not value:
            raise SalesforceError(400, "MISSING_ARGUMENT", f"{field} not specified")
        held = self.find(sobject, field, value)
        if held is None:
            return self.create(sobject, {**values, field: value}, value), True
        return self.update(sobject, held, values, value), False

    def delete(self, sobject: str, record_id: str) -> None:
        """Move a record to the recycle bin.

        Raises:
            SalesforceError: 404, there is none, or it is there already.
        """
        self.fields(sobject)
        if self.emulator.get(f"deleted/{sobject}", record_id) is not None:
            raise SalesforceError(404, "ENTITY_IS_DELETED", "entity is deleted")
        record = self.emulator.get(sobject, record_id)
        if record is None:
            raise SalesforceError(404, "NOT_FOUND", "The requested resource does not exist")
        self.emulator.delete(sobject, record_id)
        self.emulator.put(f"deleted/{sobject}", record_id, record)
        self.emulator.effect(f"{sobject}.deleted", sobject, record_id, {"Id": record_id})

    def _accepted(self, sobject: str, values: Record) -> Record:
        fields = self.fields(sobject)
        self.known(sobject, values)
        accepted: Record = {}
        for name, value in values.items():
            field = fields[name]
            if field.read_only:
                message = f"Unable to create/update fields: {name}. Please check the security settings of this field."
                raise SalesforceError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, [name])
            accepted[name] = _fitted(field, value)
        return accepted


def _fitted(field: Field, value: Any) -> Any:
    if value is None or value == "":
        return None
    if field.type in {"double", "currency"}:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _mistyped(field)
        return float(value)
    if not isinstance(value, str):
        raise _mistyped(field)
    text = value.strip()
    if field.type == "date":
        return _day(field, text)
    if len(text) > field.length:
        message = f"{field.name}: data value too large (max length={field.length})"
        raise SalesforceError(400, "STRING_TOO_LONG", message, [field.name])
    return text or None


def _day(field: Field, text: str) -> str:
    if not _DATE.fullmatch(text):
        raise _mistyped(field)
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise _mistyped(field) from None


def _mistyped(field: Field) -> SalesforceError:
    message = f"{field.name}: value not of required type"
    return SalesforceError(400, "INVALID_TYPE_ON_FIELD_IN_RECORD", message, [field.name])
