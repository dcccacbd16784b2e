"""What a failure at BigQuery means, by the client's exceptions, the status and the reason of the error."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import ConnectTimeout  # noqa: TID251 - the client's transport

from activities.transport.bounds import AnswerTooLargeError, too_large
from activities.transport.tls import tls_error
from contracts.errors import (
    CREDENTIAL_REFUSED,
    AuthExpired,
    InvalidInput,
    OutcomeUnknown,
    Owner,
    Permanent,
    RateLimited,
    Transient,
    WedSyncError,
)

_SYSTEM = "bigquery"
_PASSING = frozenset({"backendError", "internalError", "badGateway", "jobBackendError", "jobInternalError", "stopped"})
_LIMITED = frozenset({"rateLimitExceeded", "jobRateLimitExceeded", "quotaExceeded", "tableUnavailable"})
_RETRY_AFTER_S = 30.0
_CONNECT = "Connect the integration again with a valid key of the service account."


def classify(error: Exception, operation: str, *, writes: bool) -> WedSyncError:
    """Return our error for one of the client's.

    Args:
        error: what the client raised.
        operation: what was done.
        writes: whether a lost answer leaves the outcome open.

    Source: cloud.google.com/bigquery/docs/error-messages.
    """
    where: dict[str, Any] = {"system": _SYSTEM, "operation": operation}
    if isinstance(error, AnswerTooLargeError):
        return too_large(_SYSTEM, operation, writes=writes)
    if isinstance(error, GoogleAPICallError):
        return _refusal(error, where, writes=writes)
    distrust = tls_error(_SYSTEM, operation, error)
    if distrust is not None:
        return distrust
    if isinstance(error, GoogleAuthError | ConnectTimeout):
        return Transient("vendor_unreachable", f"Google was not reached for {operation}; nothing was sent.", **where)
    kind = OutcomeUnknown if writes else Transient
    return kind("no_answer", f"BigQuery gave no complete answer to {operation}.", **where)


def _refusal(error: GoogleAPICallError, where: dict[str, Any], *, writes: bool) -> WedSyncError:
    status, reason = int(error.code or 0), _reason(error)
    operation = where["operation"]
    where = {**where, "evidence": {"status": status, "vendorCode": reason}}
    if status == HTTPStatus.UNAUTHORIZED:
        return AuthExpired(CREDENTIAL_REFUSED, f"BigQuery refuses the token for {operation}.", action=_CONNECT, **where)
    if reason in _LIMITED or status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(
            "rate_limited", f"BigQuery asks to wait before {operation}.", retry_after_s=_RETRY_AFTER_S, **where
        )
    if reason in _PASSING:
        return Transient("vendor_unavailable", f"BigQuery could not carry {operation} out.", **where)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = OutcomeUnknown if writes else Transient
        return kind("vendor_unavailable", f"BigQuery answered {status} to {operation}.", **where)
    if reason == "accessDenied" or status == HTTPStatus.FORBIDDEN:
        action = "Grant the account BigQuery Data Editor and Job User on the project, then start the load again."
        problem = f"The service account lacks a permission for {operation}."
        return Permanent("missing_permission", problem, owner=Owner.TENANT, action=action, **where)
    if status == HTTPStatus.NOT_FOUND:
        action = "Check project and location in the integration's settings, then start the load again."
        problem = f"BigQuery lacks an object that is needed for {operation}."
        return Permanent("object_missing", problem, owner=Owner.TENANT, action=action, **where)
    return Permanent(
        "statement_refused",
        f"BigQuery refuses the statement of {operation}.",
        action="Look the reason up at BigQuery and correct the statement or the table.",
        **where,
    )


def _reason(error: GoogleAPICallError) -> str:
    reason = error.errors[0].get("reason") if error.errors and isinstance(error.errors[0], dict) else None
    return reason if isinstance(reason, str) and reason.isidentifier() else ""


def unreadable_key() -> AuthExpired:
    """Return the error for a credential that is no service account's key."""
    return AuthExpired(
        "credential_unreadable",
        "The BigQuery credential is no key of a service account.",
        action="Connect the integration again with the key file's whole JSON as serviceAccountKey.",
        system=_SYSTEM,
    )


def unended(operation: str, seconds: int) -> OutcomeUnknown:
    """Return the error for a job that goes on after we stopped looking."""
    return OutcomeUnknown(
        "statement_timeout",
        f"BigQuery had not ended {operation} after {seconds} s.",
        system=_SYSTEM,
        operation=operation,
    )


def not_a_select() -> InvalidInput:
    """Return the error for a question that BigQuery takes for something other than a query."""
    return InvalidInput(
        "query_not_a_select",
        "The query is not one SELECT in BigQuery's eyes; it was not run.",
        action="Write one SELECT.",
        operation="query.plan",
    )


def too_expensive() -> Permanent:
    """Return the error for a question that would read more than the integration pays for; it costs nothing."""
    return Permanent(
        "query_too_expensive",
        "BigQuery would bill the query for more bytes than the integration allows; it was not run.",
        owner=Owner.TENANT,
        action="Ask for fewer columns or a shorter time, or raise the integration's maximumBytesBilled.",
        system=_SYSTEM,
        operation="query",
    )


def worn_out(operation: str) -> Permanent:
    """Return the error for a file whose load failed under every id."""
    return Permanent(
        "load_failed",
        f"BigQuery failed every load job of a file of {operation}.",
        action="Read the jobs' errors in the project's job history, and load under another id.",
        system=_SYSTEM,
        operation=operation,
    )
