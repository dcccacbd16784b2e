"""`wedsync sync run`, `wedsync etl run`, `wedsync transform`, `wedsync query` and `wedsync notify`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from activities.admission import ITS_TURN
from contracts.analytics import AnalyticsQuery
from contracts.base import Contract
from contracts.etl import EtlRequest, ETLResult, EtlStatus
from contracts.notification import CrossSystemRouting, OverallStatus, RoutingResult
from contracts.sync import (
    Books,
    DataSynchronizationRequest,
    RemovalAnswer,
    RemovalApproval,
    SynchronizationResult,
    SyncStatus,
)
from contracts.transformation import DataTransformation
from starters.backfill import slices
from starters.cli.options import DataDir, File, Json, NoWait, Organization, organization_of, with_wedsync
from starters.cli.output import facts, note, print_json, say, table
from starters.client import WedSync
from starters.documents import read_file, read_lines, validate
from starters.failures import as_error
from starters.runs import Run

sync_app = typer.Typer(help="Sync reports into suppliers' systems.", no_args_is_help=True)
etl_app = typer.Typer(help="Load reporting data into warehouses.", no_args_is_help=True)

R = TypeVar("R", bound=Contract)

_DAY = ["%Y-%m-%d"]
_LOOK_EVERY_S = 5.0
_PATIENCE_S = 60.0
_SHOWN = 10


@sync_app.command("run")
def sync_run(
    file: File,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Run the sync that FILE describes and show its books."""
    request = read_file(file, DataSynchronizationRequest, organization)
    result = run_to_end(data_dir, lambda wedsync: wedsync.start_sync(request), wait=not no_wait, as_json=json)
    if result is not None:
        show_sync(result, as_json=json)


def show_sync(result: SynchronizationResult, *, as_json: bool) -> None:
    """Show a sync's books and end as it ended; as JSON it is printed already."""
    if not as_json:
        facts(f"Sync {result.sync_id}", {"status": result.status, **_books(result.books), **_beside(result)})
        rows = [(one.record_id, one.status, one.reason) for one in result.details]
        if rows:
            table("Records that need somebody", ("record", "status", "reason"), rows)
    _end(result.error, failed=result.status is SyncStatus.FAILED, partial=result.status is SyncStatus.PARTIAL)


@sync_app.command("approve")
def sync_approve(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run that waits.")],
    by: Annotated[str, typer.Option("--by", help="Who decides, as an opaque word.")] = "cli",
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    refuse: Annotated[bool, typer.Option("--refuse", help="Let the records stay.")] = False,
    json: Json = False,
) -> None:
    """Allow a sync to remove the records that are gone from its report."""

    async def act(wedsync: WedSync) -> RemovalAnswer:
        owner = await organization_of(wedsync, organization)
        approval = validate({"organizationId": owner, "approved": not refuse, "decidedBy": by}, RemovalApproval)
        return await wedsync.approve_removals(run_id, approval)

    found = with_wedsync(data_dir, act)
    if json:
        print_json(found)
    elif found.accepted:
        say("The records stay." if refuse else "The records are removed.")
    if not found.accepted:
        note("Somebody answered before; that answer counts.")
        raise typer.Exit(1)


@etl_app.command("run")
def etl_run(
    file: File,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    first: Annotated[
        datetime | None,
        typer.Option("--from", formats=_DAY, help="Load only what changed from this day on, in slices."),
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=_DAY, help="The last day; today when absent.")
    ] = None,
    slice_days: Annotated[int, typer.Option("--slice-days", min=1, help="Days per slice.")] = 31,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Run the load that FILE describes and show what the warehouse holds."""
    request = read_file(file, EtlRequest, organization)
    if last is not None and first is None:
        raise typer.BadParameter("--to needs --from")
    if first is None:
        _load(request, data_dir, wait=not no_wait, as_json=json)
        return
    until = last or datetime.now(UTC)
    for one in slices(request, first.date(), until.date(), slice_days):
        # One after the other: what an earlier slice says holds from an earlier day.
        _load(one, data_dir, wait=not no_wait, as_json=json)


def _load(request: EtlRequest, data_dir: Path | None, *, wait: bool, as_json: bool) -> None:
    result = run_to_end(data_dir, lambda wedsync: wedsync.start_etl(request), wait=wait, as_json=as_json)
    if result is None:
        return
    if not as_json:
        _show_etl(result)
    _end(result.error, failed=result.status is EtlStatus.FAILED)


def transform(
    file: File,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Filter, check and map the records of the source that FILE names, and show where they lie."""
    request = read_file(file, DataTransformation, organization)
    result = run_to_end(data_dir, lambda wedsync: wedsync.start_transformation(request), wait=not no_wait, as_json=json)
    if result is not None and not json:
        quarantine = {"quarantine": result.quarantine.key} if result.quarantine else {}
        facts(f"Transformation {result.transformation_id}", {**_books(result.books), **quarantine})
        table("Parts", ("key", "rows"), [(part.key, part.rows) for part in result.parts])


def query(
    file: File,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Put the read-only question in FILE to a warehouse and show the answer."""
    request = read_file(file, AnalyticsQuery, organization)
    result = run_to_end(data_dir, lambda wedsync: wedsync.start_query(request), wait=not no_wait, as_json=json)
    if result is None or json:
        return
    more = "; there are more" if result.truncated else ""
    title = f"Query {result.query_id}: {result.row_count} rows{more}"
    if result.rows_ref is not None:
        facts(title, {"key": result.rows_ref.key})
    else:
        table(title, tuple(column.name for column in result.columns), [tuple(row) for row in result.rows])


def notify(
    file: File,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    batch: Annotated[
        str | None, typer.Option("--batch", help="FILE holds one routing per line; route them all as this batch.")
    ] = None,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Route the notification in FILE and show what became of it at each system."""
    if batch is not None:
        _notify_many(file, batch, data_dir, organization, wait=not no_wait, as_json=json)
        return
    routing = read_file(file, CrossSystemRouting, organization)
    result = run_to_end(data_dir, lambda wedsync: wedsync.start_notification(routing), wait=not no_wait, as_json=json)
    if result is None:
        return
    if not json:
        _show_routing(result)
    status = result.overall_status
    if status in {OverallStatus.FAILED, OverallStatus.PARTIAL_FAILURE, OverallStatus.COMPENSATED}:
        note("Not everything arrived: the result says what did not, and why.")
        raise typer.Exit(1)


def _notify_many(
    file: Path, batch_id: str, data_dir: Path | None, organization: str | None, *, wait: bool, as_json: bool
) -> None:
    routings = read_lines(file, CrossSystemRouting, organization)
    owner = routings[0].organization_id if routings else ""
    result = run_to_end(
        data_dir, lambda wedsync: wedsync.batches.start_many(owner, batch_id, routings), wait=wait, as_json=as_json
    )
    if result is None:
        return
    counts = result.counts
    if not as_json:
        facts(f"Batch {batch_id}", {"notifications": result.total, **counts.model_dump()})
    if not counts.went_well:
        note("Not everything arrived: the results of the batch say what did not, and why.")
        raise typer.Exit(1)


def run_to_end(
    data_dir: Path | None,
    start: Callable[[WedSync], Awaitable[Run[R]]],
    *,
    wait: bool,
    as_json: bool,
    quiet: bool = False,
) -> R | None:
    """Start a run and return its result, None when it is not waited for; as JSON, either is printed.

    Args:
        data_dir: of the stack.
        start: starts or joins the run.
        wait: whether to wait for its end.
        as_json: whether to print its result or its id as JSON.
        quiet: whether to say nothing on the way.
    """

    async def act(wedsync: WedSync) -> R | None:
        run = await start(wedsync)
        if not wait:
            _show_started(run, as_json=as_json)
            return None
        silent = as_json or quiet
        if not silent:
            note(f"Run {run.run_id}")
        return await _ended(run, _nothing if silent else note)

    result = with_wedsync(data_dir, act)
    if result is not None and as_json:
        print_json(result)
    return result


def _nothing(_: str) -> None:
    """Tell nobody."""


async def _ended(run: Run[R], tell: Callable[[str], None]) -> R:
    """Wait for the run and tell how far it is; when a step is only repeated for a minute, leave it to itself.

    Raises:
        WedSyncError: the run failed, or what hinders it.
    """
    ending = asyncio.create_task(run.result())
    hindered_since: float | None = None
    told = ""
    try:
        while True:
            done, _ = await asyncio.wait({ending}, timeout=_LOOK_EVERY_S)
            if done:
                return ending.result()
            hindrance = await run.hindered_by()
            far = await run.progress()
            if far != told:
                tell(far)
                told = far
            if hindrance is not None and hindrance.code in ITS_TURN:
                continue
            if hindrance is None:
                hindered_since = None
            elif hindered_since is None:
                hindered_since = time.monotonic()
                note(f"{hindrance.message} It is tried again.")
            elif time.monotonic() - hindered_since > _PATIENCE_S:
                raise as_error(hindrance.model_copy(update={"action": "The run goes on trying; the Web UI shows it."}))
    finally:
        ending.cancel()


def _show_started(run: Run[R], *, as_json: bool) -> None:
    if as_json:
        print_json({"runId": run.run_id, "workflowId": run.handle.id, "status": "running"})
    else:
        say(run.run_id)


def _show_etl(result: ETLResult) -> None:
    quality = result.data_quality
    facts(
        f"Load {result.job_id}",
        {
            "status": result.status,
            **_books(result.books),
            "bad rows": f"{quality.failed_records} ({quality.failure_rate:.1%}, allowed {quality.threshold:.1%})",
            "facts": f"{result.facts_created} created, {result.facts_updated} updated, "
            f"{result.facts_unchanged} unchanged",
        },
    )
    if quality.reasons:
        table("Bad rows, which RAW holds", ("REJECTED_BECAUSE", "rows"), sorted(quality.reasons.items()))
    if result.tables:
        table("Tables", ("table", "rows"), list(result.tables.items()))


def _show_routing(result: RoutingResult) -> None:
    rows = [
        (
            one.system_id,
            one.system_type,
            one.status,
            one.success_count,
            one.failure_count,
            one.error.sentence() if one.error else one.reason,
        )
        for one in result.system_results
    ]
    columns = ("target", "system", "status", "done", "failed", "why")
    table(f"Notification {result.routing_id}: {result.overall_status}", columns, rows)


def _beside(result: SynchronizationResult) -> dict[str, object]:
    """Return what a sync did beside its books."""
    gone = result.removals
    told = f"{gone.removed} removed, {gone.withheld} stay ({gone.decision})" if gone.found else None
    letters = {"tried again": result.retried or None, "dead letters": result.dead_letters or None}
    drift = [change.sentence() for change in result.drift[:_SHOWN]]
    return {
        "gone from the report": told,
        "fields that changed": drift,
        "not in the report": result.absent or None,
        **letters,
    }


def _books(books: Books) -> dict[str, object]:
    return {name: getattr(books, name) for name in type(books).model_fields}


def _end(error: object, *, failed: bool, partial: bool = False) -> None:
    """Exit 1 for a failed run; say so when a run ended only in part."""
    if partial:
        note("Not everything arrived: the result says what did not, and why.")
    if failed:
        note(_sentence(error))
        raise typer.Exit(1)


def _sentence(error: object) -> str:
    sentence = getattr(error, "sentence", None)
    return str(sentence()) if sentence else "The run failed; the result says where and why."
