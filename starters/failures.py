"""Temporal's failures, as the errors people read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import (
    RPCError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError
from temporalio.exceptions import TimeoutError as RunTimedOut
from temporalio.service import RPCStatusCode

from activities.boundary import invalid_input
from contracts.errors import (
    AuthExpired,
    ErrorDetail,
    ErrorKind,
    IntegrationPaused,
    InvalidInput,
    OutcomeUnknown,
    Owner,
    Permanent,
    QualityGateFailed,
    RateLimited,
    Transient,
    WedSyncError,
)

_CLASSES: dict[ErrorKind, type[WedSyncError]] = {
    one.kind: one
    for one in (
        Transient,
        RateLimited,
        OutcomeUnknown,
        Permanent,
        InvalidInput,
        IntegrationPaused,
        QualityGateFailed,
        AuthExpired,
    )
}
AWAY = {
    RPCStatusCode.ABORTED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.UNKNOWN,
}
"""What a service answers that is starting, overloaded or failing over; the same request may be made again."""
RETRY_AFTER_S = 5.0


def as_error(detail: ErrorDetail) -> WedSyncError:
    """Return the exception that carries `detail`, of the class its kind names."""
    return _CLASSES[detail.kind](
        detail.code,
        detail.message,
        action=detail.action,
        system=detail.system,
        operation=detail.operation,
        owner=detail.owner,
        retry_after_s=detail.retry_after_s,
        evidence=detail.evidence,
    )


def detail_of(error: BaseException | None) -> ErrorDetail:
    """Return the typed detail of whatever a client call or a run failed with.

    A failure without one is described by its type alone: its message may hold personal data.
    """
    if isinstance(error, WedSyncError):
        return error.detail
    if isinstance(error, ValidationError):
        return invalid_input(error).detail
    if isinstance(error, RPCError):
        return _of_rpc(error)
    if isinstance(error, WorkflowUpdateRPCTimeoutOrCancelledError | WorkflowQueryRejectedError | TimeoutError):
        return no_worker().detail
    if isinstance(error, SQLAlchemyError):
        return _of_store(error)
    cause = error
    while cause is not None:
        if isinstance(cause, ApplicationError) and cause.details:
            return ErrorDetail.model_validate(cause.details[0])
        found = _ended(cause)
        if found is not None:
            return found
        cause = cause.__cause__
    kind = type(error).__name__
    return Permanent(
        "unclassified",
        f"An unforeseen {kind} stopped this.",
        action="Look in the worker's log for its stack trace and classify the error.",
        evidence={"type": kind},
    ).detail


def not_found() -> InvalidInput:
    """Return the error of a run that is not there, or not this organisation's."""
    return InvalidInput("run_not_found", "There is no such run.", action="Check the id and the organisation.")


def no_worker() -> Transient:
    """Return the error of a question that no worker answered in time."""
    return Transient(
        "no_worker_answered",
        "No worker answered in time; what was asked may still happen.",
        owner=Owner.OPERATOR,
        action="Start one with `wedsync up` or `wedsync worker`, and look with `wedsync doctor`.",
        retry_after_s=RETRY_AFTER_S,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Raise Temporal's and the store's exceptions as ours.

    Raises:
        WedSyncError: the error, by its typed detail.
    """
    try:
        yield
    except (
        WorkflowFailureError,
        WorkflowUpdateFailedError,
        WorkflowQueryFailedError,
        WorkflowQueryRejectedError,
        WorkflowUpdateRPCTimeoutOrCancelledError,
        ApplicationError,
        RPCError,
        SQLAlchemyError,
        ValidationError,
        TimeoutError,
    ) as error:
        raise as_error(detail_of(error)) from error


def _ended(cause: BaseException) -> ErrorDetail | None:
    """The detail of a run that was ended from outside."""
    words = {
        RunTimedOut: ("run_timed_out", "The run did not finish within its time."),
        CancelledError: ("run_cancelled", "The run was cancelled."),
        TerminatedError: ("run_terminated", "The run was terminated by an operator."),
    }
    for kind, (code, message) in words.items():
        if isinstance(cause, kind):
            return Permanent(
                code, message, owner=Owner.OPERATOR, action="Start it again when the reason for it is gone."
            ).detail
    return None


def _of_rpc(error: RPCError) -> ErrorDetail:
    if error.status in AWAY:
        return Transient(
            "temporal_unreachable",
            "Temporal does not answer.",
            owner=Owner.OPERATOR,
            action="Start it with `wedsync up`, or set WEDSYNC_TEMPORAL_ADDRESS to a running service.",
            retry_after_s=RETRY_AFTER_S,
        ).detail
    if any(one.Is(NamespaceNotFoundFailure.DESCRIPTOR) for one in error.grpc_status.details):
        # A server that has just started answers before it knows its namespace.
        return Transient(
            "namespace_missing",
            "Temporal has no such namespace.",
            owner=Owner.OPERATOR,
            action="Create it, or set WEDSYNC_TEMPORAL_NAMESPACE to one that exists.",
            retry_after_s=RETRY_AFTER_S,
        ).detail
    if error.status is RPCStatusCode.NOT_FOUND:
        return InvalidInput(
            "run_not_found", "There is no such run.", action="Check the id and the organisation."
        ).detail
    if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
        return RateLimited("temporal_busy", "Temporal is busy.", retry_after_s=RETRY_AFTER_S).detail
    if error.status is RPCStatusCode.FAILED_PRECONDITION:
        return Transient(
            "workflow_not_answering",
            "The workflow cannot answer now: no worker runs it, or its worker fails at it.",
            owner=Owner.OPERATOR,
            action="Read the worker's log and the run's pending workflow task in the Web UI.",
            retry_after_s=RETRY_AFTER_S,
        ).detail
    return Permanent(
        "temporal_refused",
        f"Temporal refused the request with {error.status.name}.",
        owner=Owner.OPERATOR,
        action="Look at `wedsync doctor`: the namespace or its search attributes may be missing.",
        evidence={"status": error.status.name},
    ).detail


def _of_store(error: SQLAlchemyError) -> ErrorDetail:
    return Permanent(
        "store_unusable",
        "The store refused the request, or its schema is not current.",
        owner=Owner.OPERATOR,
        action="Run `wedsync doctor`; `wedsync up` brings the schema to the newest version.",
        evidence={"type": type(error).__name__},
    ).detail
