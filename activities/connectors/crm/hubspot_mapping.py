"""HubSpot's property formats: what is written, and how what is read back compares with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

from pydantic import JsonValue

from activities.connectors.crm.hubspot_schema import PropertySpec, PropertyType
from contracts.errors import InvalidInput

_EPOCH_MS = re.compile(r"-?\d{9,15}")
_PLAIN_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?", re.ASCII)
_MAX_TEXT = 65_536
_WEDDING_SUFFIX = " Wedding"


class _UnfitError(ValueError):
    """A value that does not fit its property; the text says what is expected, never the value."""


def formatted(object_type: str, spec: PropertySpec | None, name: str, value: JsonValue) -> str:
    """Return a value in the form HubSpot stores for the property, so that equal text means unchanged.

    Dates are `YYYY-MM-DD` of the date as written (HubSpot reads it as midnight UTC), instants are ISO 8601 in UTC with
    milliseconds, numbers are plain decimals without trailing zeros, options are lower-case, null is the empty text.

    Args:
        object_type: HubSpot's object type, for the error's sentence.
        spec: the property's definition; None for a property we did not provision, which is written as text.
        name: the property's name.
        value: the mapped value.

    Raises:
        InvalidInput: `invalid_property_value`; the value does not fit the property's type or options.

    Source: https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide (v3).
    """
    if value is None or value == "":
        return ""
    try:
        if spec is None:
            return _text(value)
        if spec.type is PropertyType.ENUMERATION:
            return _option(value, spec.options)
        return canonical(spec.type, value)
    except _UnfitError as unfit:
        expected = str(unfit)
    raise InvalidInput(
        "invalid_property_value",
        f"The value of {object_type}.{name} is not {expected}.",
        action="Correct the record at the source, or the mapping of this property.",
        system="hubspot",
        evidence={"objectType": object_type, "property": name},
    )


def canonical(kind: str, value: JsonValue) -> str:
    """Return a value of HubSpot's property type `kind` in the one form we compare.

    Raises:
        ValueError: the value does not fit the type.
    """
    if value is None or value == "":
        return ""
    if kind == PropertyType.DATE:
        return _date(value).isoformat()
    if kind == PropertyType.DATETIME:
        return instant(_instant(value))
    if kind == PropertyType.NUMBER:
        return _number(value)
    return _text(value)


def comparable(kind: str, value: JsonValue) -> str:
    """Return a value read from HubSpot as `canonical` would, or as it stands when it does not fit its type."""
    try:
        return canonical(kind, value)
    except _UnfitError:
        return str(value)


def same_values(types: Mapping[str, str], wanted: Mapping[str, JsonValue], held: Mapping[str, JsonValue]) -> bool:
    """Return whether HubSpot holds every wanted value; `types` is property -> HubSpot type where known."""
    return all(
        comparable(types.get(name, ""), value) == comparable(types.get(name, ""), held.get(name))
        for name, value in wanted.items()
    )


def instant(moment: datetime) -> str:
    """Return an instant as HubSpot's datetime properties hold it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wedding_name(client_name: str) -> str:
    """Return the wedding's name for a client's name; a name that already ends in "Wedding" stays."""
    name = client_name.strip()
    return name if not name or name.casefold().endswith(_WEDDING_SUFFIX.casefold()) else name + _WEDDING_SUFFIX


def _text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if not isinstance(value, str):
        raise _UnfitError("a single value")
    if len(value) > _MAX_TEXT:
        raise _UnfitError(f"at most {_MAX_TEXT} characters long")
    return value


def _option(value: JsonValue, options: tuple[str, ...]) -> str:
    word = re.sub(r"[\s\-]+", "_", _text(value).strip().lower())
    if word not in options:
        raise _UnfitError(f"one of {', '.join(options)}")
    return word


def _number(value: JsonValue) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _UnfitError("a number")
    text = str(value).strip()
    if not _PLAIN_NUMBER.fullmatch(text):
        raise _UnfitError("a number")
    plain = format(Decimal(text), "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in {"-0", ""} else plain


def _date(value: JsonValue) -> date:
    text = _text(value).strip()
    try:
        if _EPOCH_MS.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC).date()
        return datetime.fromisoformat(text).date()
    except (ValueError, OverflowError, OSError):
        raise _UnfitError("a date such as 2027-06-12") from None


def _instant(value: JsonValue) -> datetime:
    text = _text(value).strip()
    try:
        if _EPOCH_MS.fullmatch(text):
            return datetime.fromtimestamp(int(text) / 1000, UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise _UnfitError("an instant such as 2027-06-12T14:00:00+01:00") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
