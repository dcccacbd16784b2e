"""What operators see of a run: search attributes and failures with their typed detail."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from contracts.errors import NON_RETRYABLE, ErrorDetail, ErrorKind, Owner
    from contracts.names import SearchAttribute


NO_ANSWER = "no_answer"
"""The code of a step that did not finish within its time."""


def tag(**values: str) -> None:
    """Set search attributes by snake_case name, such as `tag(organization_id="o", outcome="success")`.

    The values are readable at rest: opaque ids and fixed words only.
    """
    workflow.upsert_search_attributes(
        [
            SearchAttributeKey.for_keyword(SearchAttribute[name.upper()].value).value_set(value)
            for name, value in values.items()
        ]
    )


def detail_of(error: BaseException) -> ErrorDetail:
    """Return the typed detail inside a failure, looking through activity and child failures."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError) and cause.details:
            found = cause.details[0]
            return found if isinstance(found, ErrorDetail) else ErrorDetail.model_validate(found)
        cause = cause.cause if isinstance(cause, ActivityError | ChildWorkflowError) else cause.__cause__
    return ErrorDetail(
        kind=ErrorKind.TRANSIENT,
        code=NO_ANSWER,
        message="The step did not finish within its time.",
        owner=Owner.OPERATOR,
        action="Check that a worker polls its queue and that the vendor answers, then start the run again.",
    )


def failure(detail: ErrorDetail) -> ApplicationError:
    """Return the failure that ends a workflow with a typed detail."""
    return ApplicationError(detail.sentence(), detail, type=detail.kind, non_retryable=detail.kind in NON_RETRYABLE)
