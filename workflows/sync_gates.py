"""When a sync ends red instead of green: too much rejected, books that do not close, fields or plans that changed."""

from __future__ import annotations

from functools import reduce

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.errors import ErrorDetail, ErrorKind, Owner
    from contracts.sync import Books
    from contracts.sync_plan import SyncPreview
    from contracts.sync_schema import SchemaPolicy
    from contracts.sync_steps import ExtractedReport, FinishedSync, PushedRecords, SyncPlan
    from workflows.visibility import failure


def refuse_rejected(plan: SyncPlan, books: Books, retried: Books) -> None:
    """Fail the run when more records are rejected than the integration allows.

    Those tried again do not count, and records that were named may all be rejected.
    """
    allowed = 1.0 if plan.record_ids else plan.max_rejected_ratio
    if books.rejected - retried.rejected > allowed * (books.read - retried.read):
        raise failure(
            ErrorDetail(
                kind=ErrorKind.QUALITY_GATE_FAILED,
                code="too_many_rejected",
                message=f"{books.rejected} of {books.read} records were rejected; at most {allowed:.0%} may be.",
                owner=Owner.TENANT,
                action="Mend the records or the mapping, or raise errorHandling.maxRejectedRatio.",
                operation="sync",
                evidence={"read": books.read, "rejected": books.rejected},
            )
        )


def refuse_open_books(extracted: ExtractedReport, pushed: list[PushedRecords], finished: FinishedSync) -> None:
    """Fail the run unless what was read, what the pushes told and what their outcomes show agree."""
    told = reduce(Books.plus, (item.books for item in pushed), Books())
    if finished.books.closed and finished.books == told and finished.books.read == extracted.read:
        return
    raise failure(
        ErrorDetail(
            kind=ErrorKind.PERMANENT,
            code="books_not_closed",
            message=f"{extracted.read} records were read and {finished.books.read} are accounted for.",
            owner=Owner.ENGINEER,
            action="Compare the run's staged outcomes with the report, then start the sync again.",
            operation="sync",
            evidence={"read": extracted.read, "told": told.read, "found": finished.books.read},
        )
    )


def refuse_schema(plan: SyncPlan, extracted: ExtractedReport) -> None:
    """Fail the run when the report's fields changed and are to stay as they are."""
    if plan.schema_policy is not SchemaPolicy.FREEZE or not extracted.drift:
        return
    changes = "; ".join(change.sentence() for change in extracted.drift[:10])
    raise failure(
        ErrorDetail(
            kind=ErrorKind.QUALITY_GATE_FAILED,
            code="schema_drifted",
            message=f"The report's fields changed, and nothing was written: {changes}.",
            owner=Owner.TENANT,
            action="Adapt the mapping if it is concerned, then run the sync once with schemaPolicy evolve.",
            operation="sync",
            evidence={"fields": [change.field for change in extracted.drift[:100]]},
        )
    )


def refuse_drift(wanted: str, preview: SyncPreview) -> None:
    """Fail the run unless what it would do is what the plan said."""
    if preview.hash == wanted:
        return
    raise failure(
        ErrorDetail(
            kind=ErrorKind.INVALID_INPUT,
            code="plan_outdated",
            message="The report or the target changed since the plan was made; nothing was written.",
            owner=Owner.TENANT,
            action="Plan again with `wedsync sync plan FILE`, and apply that plan's hash.",
            operation="sync",
            evidence={"planned": wanted, "found": preview.hash},
        )
    )
