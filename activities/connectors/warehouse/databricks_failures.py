"""What a refused request or a failed statement at Databricks means, by HTTP status, error code and SQL state."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import JsonValue

from contracts.errors import CREDENTIAL_REFUSED, AuthExpired, OutcomeUnknown, Owner, Permanent, Transient, WedSyncError

_SYSTEM = "databricks"
_INVALID_TOKEN = str(HTTPStatus.FORBIDDEN.value)
"""The code of the 403 for a token that is not valid; a missing privilege has a word instead."""
_PASSING = frozenset(
    {
        *("ABORTED", "DEADLINE_EXCEEDED", "INTERNAL_ERROR", "IO_ERROR", "RESOURCE_EXHAUSTED", "UNKNOWN"),
        *("SERVICE_UNDER_MAINTENANCE", "TEMPORARILY_UNAVAILABLE", "WORKSPACE_TEMPORARILY_UNAVAILABLE"),
    }
)
_CONFLICTS = frozenset({"2D521", "40000", "40001"})
_MISSING = frozenset({"42P01", "42704"})
_PRIVILEGE = frozenset({"42501"})
_NO_FILE = frozenset({"42K03"})


def error_word(body: JsonValue) -> str:
    """Return the `error_code` of an error body, which is a word or a number."""
    code = body.get("error_code") if isinstance(body, dict) else None
    return str(code) if isinstance(code, int) or (isinstance(code, str) and code.isidentifier()) else ""


def refusal(error: WedSyncError) -> WedSyncError:
    """Return the error for a request that was refused: an invalid token bears the status of a missing privilege."""
    evidence = error.detail.evidence
    if (evidence.get("status"), evidence.get("vendorCode")) != (HTTPStatus.FORBIDDEN, _INVALID_TOKEN):
        return error
    return AuthExpired(
        CREDENTIAL_REFUSED,
        f"Databricks refuses the stored credential for {error.detail.operation}.",
        action="Connect the integration again with a valid credential.",
        system=_SYSTEM,
        operation=error.detail.operation,
        evidence=evidence,
    )


def failure(answer: dict[str, Any], operation: str) -> WedSyncError:
    """Return the error for a statement that did not succeed; a failed statement has changed nothing.

    Source: the states and error codes of the Statement Execution API; docs.databricks.com/error-messages/sqlstates.
    """
    status = answer.get("status") or {}
    code, state = str((status.get("error") or {}).get("error_code", "")), str(status.get("sql_state") or "")
    where: dict[str, Any] = {
        "system": _SYSTEM,
        "operation": operation,
        "evidence": {"vendorCode": code, "sqlState": state, "state": str(status.get("state"))},
    }
    if status.get("state") == "CANCELED":
        return Transient("statement_cancelled", f"Databricks cancelled {operation}.", **where)
    if state in _CONFLICTS:
        return Transient("warehouse_busy", f"Databricks held {operation} back for another writer.", **where)
    if code in _PASSING:
        return Transient("vendor_unavailable", f"Databricks could not carry {operation} out.", **where)
    if state in _NO_FILE:
        return Transient("staged_file_missing", "A staged file is not in the volume any more.", **where)
    for states, code_of_ours, problem, action in _TENANTS_JOB:
        if state in states:
            return Permanent(code_of_ours, f"{problem} for {operation}.", owner=Owner.TENANT, action=action, **where)
    return Permanent(
        "statement_refused",
        f"Databricks refuses the statement of {operation} with SQL state {state or 'unknown'}.",
        action="Look the SQL state up at Databricks and correct the statement or the table.",
        **where,
    )


def unended(operation: str, seconds: int) -> OutcomeUnknown:
    """Return the error for a statement that was told to stop, which it may not have heard in time."""
    return OutcomeUnknown(
        "statement_timeout",
        f"Databricks had not ended {operation} after {seconds} s; it was told to stop.",
        system=_SYSTEM,
        operation=operation,
    )


_GRANT = "Grant the principal what the integration's description lists, then start the load again."
_SETTINGS = "Check warehouseId and catalog in the integration's settings, then start the load again."
_TENANTS_JOB = (
    (_PRIVILEGE, "missing_permission", "The Databricks principal lacks a privilege", _GRANT),
    (_MISSING, "object_missing", "Databricks lacks an object that is needed", _SETTINGS),
)
