"""The one place where our errors become Temporal failures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory, CancelledError, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.usage import Use, Watcher, collecting
from contracts.errors import NON_RETRYABLE, ErrorDetail, ErrorKind, InvalidInput, Owner, Permanent, WedSyncError


def as_application_error(error: WedSyncError) -> ApplicationError:
    """Return the Temporal failure that carries `error.detail` as its only detail."""
    detail = error.detail
    wait = detail.retry_after_s
    return ApplicationError(
        detail.sentence(),
        detail,
        type=detail.kind,
        non_retryable=detail.kind in NON_RETRYABLE,
        next_retry_delay=None if wait is None else timedelta(seconds=wait),
        # Work that was told when to come back is no fault, and needs no stack trace in the log.
        category=ApplicationErrorCategory.UNSPECIFIED if wait is None else ApplicationErrorCategory.BENIGN,
    )


def invalid_input(error: ValidationError) -> InvalidInput:
    """Return the error of input that does not validate; it names the fields, never their values."""
    problems = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()[:5]]
    return InvalidInput(
        "invalid_input",
        f"The {error.title} does not validate: {'; '.join(problems)}.",
        action="Correct the named fields and send it again.",
    )


def _broken_contract(error: ValidationError) -> Permanent:
    # What a tenant sends is validated before a run begins; what does not validate in here was made here.
    fields = sorted({".".join(str(part) for part in item["loc"]) for item in error.errors(include_input=False)})
    return Permanent(
        "contract_broken",
        f"A {error.title} made by an activity does not fit its contract.",
        action="Correct the activity, or the model of the vendor's answer, at the named fields.",
        operation=activity.info().activity_type,
        evidence={"fields": ", ".join(fields[:5])},
    )


class BoundaryInterceptor(Interceptor):
    """Turns what activities raise into typed Temporal failures, and tells the watchers how each ended.

    Args:
        watchers: asked in turn about every connection that the activity used; each may replace the error.
    """

    def __init__(self, watchers: Sequence[Watcher] = ()) -> None:
        self._watchers = watchers

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wrap the activity chain; the parameter's name is Temporal's."""
        return _Boundary(next, self._watchers)


class _Boundary(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, watchers: Sequence[Watcher]) -> None:  # noqa: A002
        super().__init__(next)
        self._watchers = watchers

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        try:
            return await self._watched(input)
        except WedSyncError as error:
            raise as_application_error(error) from None
        except ValidationError as error:
            raise as_application_error(_broken_contract(error)) from None
        except (FailureError, CancelledError):
            raise
        except Exception as error:
            # The message of an unforeseen exception may hold personal data: only its type travels.
            activity.logger.exception("unclassified error in an activity")
            kind = type(error).__name__
            detail = ErrorDetail(
                kind=ErrorKind.TRANSIENT,
                code="unclassified",
                message=f"An unforeseen {kind} stopped the activity; it is tried again.",
                owner=Owner.ENGINEER,
                action="Look in the worker's log for the stack trace and classify the error.",
                operation=activity.info().activity_type,
                evidence={"type": kind},
            )
            raise ApplicationError(detail.sentence(), detail, type=detail.kind) from None

    async def _watched(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        with collecting() as use:
            try:
                result = await super().execute_activity(input)
            except WedSyncError as error:
                raise await self._told(use, error) or error from None
            await self._told(use, None)
            return result

    async def _told(self, use: Use, error: WedSyncError | None) -> WedSyncError | None:
        """Tell of every connection how it went, and return the error to raise."""
        for connection in use.connections:
            found = error or use.error_of(connection)
            for watcher in self._watchers:
                found = await watcher.ended(connection, found) or found
            # What was met and not raised stays a finding, whatever a watcher makes of it.
            error = found if error is not None else None
        return error
