"""How large an answer may be and how long it may take."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import JsonValue

from contracts.errors import OutcomeUnknown, Permanent, WedSyncError

MAX_RESPONSE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """The bounds of one answer: its unpacked bytes, and the seconds from the request's end to the last of them."""

    max_bytes: int = MAX_RESPONSE_BYTES
    total_s: float = 30.0


class AnswerTooLargeError(Exception):
    """An answer was cut off at its limit; raised inside an SDK and turned into `too_large` outside of it."""


def too_large(system: str, operation: str, *, writes: bool) -> WedSyncError:
    """Return the error for an answer that is larger or more deeply nested than is read."""
    kind = OutcomeUnknown if writes else Permanent
    return kind(
        "response_too_large",
        f"{system} answered {operation} with more than this connector reads.",
        action="Ask for smaller pages or raise the limit of this connector.",
        system=system,
        operation=operation,
    )


def parse_json(body: bytes | str) -> JsonValue:
    """Return a JSON document.

    Raises:
        ValueError: it is no JSON.
        AnswerTooLargeError: it is nested more deeply than the interpreter follows, about a thousand levels.
    """
    try:
        parsed: JsonValue = json.loads(body)
    except RecursionError:
        raise AnswerTooLargeError from None
    return parsed
