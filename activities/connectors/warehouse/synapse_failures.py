"""What the errors of a dedicated SQL pool mean, by the number that SQL Server gives them.

Source: Microsoft Learn, "Database engine events and errors"; "Troubleshoot transient connection errors" (40197, 40501,
40613, 49918 to 49920, 10928, 10929); that 42108 is a paused pool no document confirmed.
"""

from __future__ import annotations

from typing import Any

from contracts.errors import AuthExpired, OutcomeUnknown, Owner, Permanent, Transient, WedSyncError

_SYSTEM = "synapse"
_REFUSED = frozenset({18_452, 18_456, 18_486, 18_487, 18_488})
_HELD_BACK = frozenset({1_205, 1_222, 3_960})
_PASSING = frozenset({10_928, 10_929, 40_197, 40_501, 40_613, 49_918, 49_919, 49_920})
_PRIVILEGE = frozenset({229, 230, 262, 297, 300, 916})
_MISSING = frozenset({208, 911, 2_812, 4_060, 4_902})
_FULL = frozenset({1_101, 1_105, 9_002})
_PAUSED = frozenset({42_108})
_GRANT = "Grant the login what the integration's description lists, then start the load again."
_SETTINGS = "Check the pool's name in the integration's settings, then start the load again."
_ROOM = "Free space or scale the pool, then start the load again."
_RESUME = "Resume the pool, then start the load again."
_TENANTS_JOB = (
    (_PRIVILEGE, "missing_permission", "The login lacks a privilege", _GRANT),
    (_MISSING, "object_missing", "The pool lacks an object that is needed", _SETTINGS),
    (_FULL, "storage_full", "The pool has no room left", _ROOM),
    (_PAUSED, "warehouse_missing", "The pool is paused", _RESUME),
)


def classify(error: BaseException, operation: str, *, writes: bool) -> WedSyncError:
    """Return the error of ours for one of the driver."""
    where: dict[str, Any] = {"system": _SYSTEM, "operation": operation}
    number = int(getattr(error, "msg_no", 0) or 0)
    if number in _REFUSED:
        return AuthExpired(
            "credential_refused",
            "Synapse refuses the stored credential.",
            action="Connect the integration again with a valid credential.",
            **where,
        )
    if number in _HELD_BACK:
        return Transient("warehouse_busy", f"Synapse held {operation} back for another transaction.", **where)
    for numbers, code, problem, action in _TENANTS_JOB:
        if number in numbers:
            return Permanent(code, f"{problem} for {operation}.", owner=Owner.TENANT, action=action, **where)
    if number and number not in _PASSING:
        return Permanent(
            "statement_refused",
            f"Synapse refuses the statement of {operation} with error {number}.",
            action="Look the error number up at Microsoft and correct the statement or the table.",
            **where,
        )
    kind = OutcomeUnknown if writes and not number else Transient
    return kind("vendor_unavailable", f"Synapse did not answer {operation}.", **where)


def without_tls(operation: str) -> Permanent:
    """Return the error for a server that does not encrypt."""
    return Permanent(
        "tls_error",
        "The Synapse server offers no TLS; nothing was sent.",
        owner=Owner.TENANT,
        action="Check the host in the integration's settings.",
        system=_SYSTEM,
        operation=operation,
        evidence={"reason": "not_tls"},
    )


def dirty_reads() -> Permanent:
    """Return the error for a pool in which a load could take another's open transaction for a finished one."""
    return Permanent(
        "isolation_missing",
        "The pool lets its readers see what is not committed; nothing was loaded.",
        owner=Owner.TENANT,
        action="Run ALTER DATABASE ... SET READ_COMMITTED_SNAPSHOT ON for the pool, then start the load again.",
        system=_SYSTEM,
        operation="session.isolation",
    )
