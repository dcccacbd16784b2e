"""The base model and the bounded scalar types every contract is built from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints
from pydantic.alias_generators import to_camel


class Contract(BaseModel):
    """A frozen value that is camelCase JSON on the wire and snake_case in Python.

    Unknown fields are ignored, so that an old worker reads what a newer client sends;
    the doors refuse them with `unknown_fields`.
    """

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        extra="ignore",
        str_max_length=20_000,
    )


def _as_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        message = "the instant has no zone: write it with an offset, such as 2027-06-12T14:00:00+01:00"
        raise ValueError(message)
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        message = "the instant is not within the years 1 to 9999 in UTC"
        raise ValueError(message) from error


OpaqueId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:\-]{0,63}$")]
"""An id without meaning: letters, digits, `.`, `_`, `:` and `-`, at most 64. Never a name, address or number."""

Text = Annotated[str, StringConstraints(max_length=4_000)]
ShortText = Annotated[str, StringConstraints(max_length=255)]
FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,99}$")]
Instant = Annotated[datetime, AfterValidator(_as_utc)]
"""A zone-aware instant, kept in UTC."""

JsonObject = Annotated[dict[str, JsonValue], Field(max_length=100)]
"""A small JSON object of at most 100 keys."""


def unknown_fields(model: Contract, given: JsonValue) -> list[str]:
    """Return the dotted paths in `given` that `model` did not take from it.

    Args:
        model: the contract validated from `given`.
        given: the JSON the caller sent.
    """
    return _missing(given, model.model_dump(mode="json", exclude_unset=True), "")


def _missing(given: JsonValue, taken: JsonValue, path: str) -> list[str]:
    if isinstance(given, dict) and isinstance(taken, dict):
        found = [f"{path}{key}" for key in given if key not in taken]
        for key in given.keys() & taken.keys():
            found += _missing(given[key], taken[key], f"{path}{key}.")
        return sorted(found)
    if isinstance(given, list) and isinstance(taken, list):
        return sorted(
            name
            for index, (left, right) in enumerate(zip(given, taken, strict=False))
            for name in _missing(left, right, f"{path}{index}.")
        )
    return []
