"""HTTP status -> the error that says what recovers."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypedDict

from pydantic import JsonValue

from contracts.errors import (
    CREDENTIAL_REFUSED,
    AuthExpired,
    OutcomeUnknown,
    Owner,
    Permanent,
    RateLimited,
    Transient,
    WedSyncError,
)

MAX_RETRY_AFTER_S = 3_600.0
DEFAULT_RETRY_AFTER_S = 10.0
TRANSIENT_STATUSES = frozenset({408, 423, 425, 500, 502, 503, 504, 524})


class _Where(TypedDict):
    system: str
    operation: str
    evidence: dict[str, JsonValue]


def retry_after_s(header: str | None) -> float:
    """Return the seconds a Retry-After header asks for, clamped to one hour; 10 s when absent or absurd.

    Args:
        header: delay in seconds or an HTTP date.
    """
    if header is None:
        return DEFAULT_RETRY_AFTER_S
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return DEFAULT_RETRY_AFTER_S
    if not 0 <= seconds < float("inf"):
        return DEFAULT_RETRY_AFTER_S
    return min(seconds, MAX_RETRY_AFTER_S)


def status_error(
    system: str, operation: str, status: int, *, retry_after: str | None = None, code: str = "", writes: bool = False
) -> WedSyncError:
    """Return the error for a refused request.

    Args:
        system: the vendor.
        operation: what was asked, such as `contacts.update`.
        status: HTTP status of the answer.
        retry_after: the Retry-After header, if any.
        code: the vendor's own error code or category, when it is a fixed word.
        writes: whether the request changes something, so that a 5xx leaves the outcome open.
    """
    evidence: dict[str, JsonValue] = {"status": status}
    if code:
        evidence["vendorCode"] = code
    where = _Where(system=system, operation=operation, evidence=evidence)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = retry_after_s(retry_after)
        return RateLimited(
            "rate_limited", f"{system} asks to wait {wait:.0f} s before {operation}.", retry_after_s=wait, **where
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return AuthExpired(
            CREDENTIAL_REFUSED,
            f"{system} refuses the stored credential for {operation}.",
            action="Connect the integration again with a valid credential.",
            **where,
        )
    if status in TRANSIENT_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = OutcomeUnknown if writes else Transient
        return kind("vendor_unavailable", f"{system} answered {status} to {operation}.", **where)
    if status == HTTPStatus.FORBIDDEN:
        return Permanent(
            "missing_permission",
            f"{system} does not allow this account to do {operation}.",
            owner=Owner.TENANT,
            action="Grant the missing scope or role, then connect again.",
            **where,
        )
    if status == HTTPStatus.NOT_FOUND:
        return Permanent(
            "not_found",
            f"{system} has no such object for {operation}.",
            owner=Owner.TENANT,
            action="Check the object's id in the request or the integration's settings.",
            **where,
        )
    return Permanent(
        "request_refused",
        f"{system} refused {operation} with status {status}.",
        action="Compare the mapping with the vendor's requirements named in the evidence.",
        **where,
    )
