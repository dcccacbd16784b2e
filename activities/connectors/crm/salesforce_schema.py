"""What a sync needs to exist in a Salesforce org, and the formats of its fields."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from types import MappingProxyType

from pydantic import JsonValue

from contracts.errors import InvalidInput

SYSTEM = "salesforce"
WEDDING_OBJECT, RECORD_ID_FIELD = "Wedding__c", "WedSync_Id__c"
TASK_OBJECT, EFFECT_ID_FIELD = "Task", "WedSync_Effect_Id__c"
NO_VALUE = "#N/A"
"""Bulk API 2.0's word for an empty field; as text it would mean one thing there and another elsewhere."""
DATE, NUMBER = "date", "number"
WEDDING_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "Wedding_Date__c": DATE,
        "Guest_Count__c": NUMBER,
        "Total_Budget__c": NUMBER,
        "Satisfaction_Score__c": NUMBER,
    }
)
"""Fields of the default object whose format is not text."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_EPOCH_MS = re.compile(r"-?\d{9,15}")
_NUMBER = re.compile(r"[+-]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}.*")
_MAX_TEXT = 131_072


def checked_name(name: str) -> str:
    """Return the API name of an object or a field.

    Raises:
        InvalidInput: `invalid_object`.
    """
    if _NAME.fullmatch(name):
        return name
    raise InvalidInput(
        "invalid_object",
        "The target object, or the external id field, is not an API name of Salesforce.",
        action=f"Give names such as {WEDDING_OBJECT} and {RECORD_ID_FIELD}.",
        system=SYSTEM,
    )


def formatted(object_type: str, name: str, value: JsonValue) -> JsonValue:
    """Return a value as Salesforce takes and returns it, so that equal values mean unchanged.

    Text is stripped as Salesforce strips it; empty text and `#N/A` are null; instants are UTC with milliseconds and
    `Z`; dates and numbers of the default object are `YYYY-MM-DD` and JSON numbers.

    Raises:
        InvalidInput: `invalid_property_value`; the value does not fit the field.
    """
    kind = WEDDING_FIELDS.get(name, "") if object_type == WEDDING_OBJECT else ""
    plain = comparable(value)
    if plain is None:
        return None
    fitted = _date(plain) if kind == DATE else _number(plain) if kind == NUMBER else _single(plain)
    if fitted is None:
        raise InvalidInput(
            "invalid_property_value",
            f"The value of {object_type}.{name} is not {_EXPECTED[kind]}.",
            action="Correct the record at the source, or the mapping of this field.",
            system=SYSTEM,
            evidence={"objectType": object_type, "property": name},
        )
    return fitted


def comparable(value: JsonValue) -> JsonValue:
    """Return a value read from Salesforce, or about to be written, in the one form we compare."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text in {"", NO_VALUE}:
        return None
    return _instant(text) if _INSTANT.fullmatch(text) else text


_EXPECTED = {
    DATE: "a date such as 2027-06-12",
    NUMBER: "a number",
    "": f"a single value of at most {_MAX_TEXT} characters",
}


def _single(value: JsonValue) -> JsonValue:
    if isinstance(value, dict | list) or (isinstance(value, str) and len(value) > _MAX_TEXT):
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _date(value: JsonValue) -> str | None:
    text = str(value)
    try:
        if _EPOCH_MS.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC).date().isoformat()
        return (date.fromisoformat(text) if "T" not in text else datetime.fromisoformat(text).date()).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _number(value: JsonValue) -> JsonValue:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None
        value = float(value)
    return comparable(value) if math.isfinite(value) else None


def _instant(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    if moment.tzinfo is None:
        return text
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
