"""Reading a caller's JSON into a contract, strictly."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, ValidationError
from pydantic_core import from_json

from activities.boundary import invalid_input
from contracts.base import Contract, unknown_fields
from contracts.errors import InvalidInput

M = TypeVar("M", bound=Contract)
_NAMED = 10


def read_file(path: Path, model: type[M], organization_id: str | None = None) -> M:
    """Return the contract in a JSON file.

    Args:
        path: the file.
        model: what it should hold.
        organization_id: fills `organizationId` in where the file is silent.

    Raises:
        InvalidInput: not there, no JSON, invalid or unknown fields, or another organisation's.
    """
    return parse(read_text(path), model, organization_id)


def read_lines(path: Path, model: type[M], organization_id: str | None = None) -> list[M]:
    """Return the contracts in a file with one JSON object per line; the errors are those of `read_file`."""
    return [parse(line, model, organization_id) for line in read_text(path).splitlines() if line.strip()]


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        InvalidInput: it is not there, or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "file_unreadable",
            f"The file {path} cannot be read as text.",
            action="Check its name and that you may read it.",
        ) from error


def parse(text: str | bytes, model: type[M], organization_id: str | None = None) -> M:
    """Return the contract in a JSON text; the arguments and errors are those of `read_file`."""
    return validate(parse_object(text, model), model, organization_id)


def parse_object(text: str | bytes, model: type[Contract]) -> dict[str, JsonValue]:
    """Return the JSON object in a text, which is to become a `model`.

    Raises:
        InvalidInput: no JSON, or no object.
    """
    try:
        given: JsonValue = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput(
            "not_json", f"What was sent is not valid JSON: {error}.", action="Correct it and send it again."
        ) from None
    if not isinstance(given, dict):
        raise InvalidInput(
            "not_an_object", "What was sent is not a JSON object.", action=f"Send one {model.__name__} object."
        )
    return given


def validate(given: dict[str, JsonValue], model: type[M], organization_id: str | None = None) -> M:
    """Return the contract in a JSON object; the arguments and errors are those of `read_file`."""
    if organization_id is not None and "organization_id" in model.model_fields:
        mine = given.get("organizationId", organization_id)
        if mine != organization_id:
            raise InvalidInput(
                "organization_mismatch",
                "organizationId in the body is not the organisation that was asked for.",
                action="Send it to its own organisation, or leave organizationId out.",
            )
        given = {**given, "organizationId": organization_id}
    try:
        found = model.model_validate(given)
    except ValidationError as error:
        raise invalid_input(error) from None
    if unknown := unknown_fields(found, given):
        raise InvalidInput(
            "unknown_fields",
            f"The {model.__name__} has unknown fields: {', '.join(unknown[:_NAMED])}.",
            action="Remove them or correct their names; `wedsync schema` shows every field.",
        )
    return found
