"""TransformReport: a source's records filtered, checked and mapped into sealed files, with closed books or red."""

from __future__ import annotations

from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.base import Contract
    from contracts.errors import ErrorDetail, ErrorKind, Owner
    from contracts.names import DATA_QUEUE, WorkflowType
    from contracts.transformation import DataTransformation, SourceColumns, TransformedData
    from workflows import policies
    from workflows.visibility import detail_of, failure, tag
    from workflows.waiting import WaitsForReconnection

R = TypeVar("R", bound=Contract)


@workflow.defn(name=WorkflowType.TRANSFORM_REPORT)
class TransformReport(WaitsForReconnection):
    """Check, then transform. The run fails with `books_not_closed` when the files do not hold what the books say."""

    @workflow.run
    async def run(self, request: DataTransformation) -> TransformedData:
        """Transform the source and return where its records lie."""
        tag(organization_id=request.organization_id, run_kind="transform", outcome="running")
        try:
            await self._step("transform.check", request, SourceColumns, "Check source, rules and mapping")
            done = await self._step("transform.run", request, TransformedData, "Read, filter, check and map the source")
        except ActivityError as error:
            tag(outcome="failed")
            raise failure(detail_of(error)) from error
        workflow.set_current_details(_shown(done))
        problem = _not_closed(done)
        tag(outcome="failed" if problem else "completed")
        if problem:
            raise failure(problem)
        return done

    async def _step(self, name: str, request: DataTransformation, answer: type[R], summary: str) -> R:
        workflow.set_current_details(f"Transformation `{request.transformation_id}`\n\n- **{name}: {summary}**")

        async def take() -> R:
            result: R = await workflow.execute_activity(
                name,
                request,
                result_type=answer,
                task_queue=DATA_QUEUE,
                summary=summary,
                priority=policies.priority(request.priority, request.organization_id),
                **policies.BULK.options(),
            )
            return result

        return await self.through_reconnection(request.source.integration_id or "", take)


def _shown(done: TransformedData) -> str:
    books = done.books
    return (
        f"Transformation `{done.transformation_id}`: {books.created} of {books.read} records, {books.rejected} rejected"
    )


def _not_closed(done: TransformedData) -> ErrorDetail | None:
    held = sum(part.rows for part in done.parts)
    quarantined = done.quarantine.rows if done.quarantine else 0
    if done.books.closed and (held, quarantined) == (done.books.created, done.books.rejected):
        return None
    return ErrorDetail(
        kind=ErrorKind.PERMANENT,
        code="books_not_closed",
        message=f"The files hold {held} records and {quarantined} rejections, which is not what the books say.",
        owner=Owner.ENGINEER,
        action="Compare the staged files with the source before starting it again.",
        operation="transform.verify",
    )
