"""`wedsync sync plan` and `wedsync sync apply`."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.errors import Permanent
from contracts.sync import DataSynchronizationRequest
from contracts.sync_plan import SyncPreview
from starters.cli.options import DataDir, File, Json, NoWait, Organization
from starters.cli.output import facts, note, print_json, say, table
from starters.cli.runs import run_to_end, show_sync
from starters.documents import read_file

PlanHash = Annotated[str, typer.Option("--plan", metavar="HASH", help="The hash that `sync plan` printed.")]


def plan(file: File, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """Show what the sync that FILE describes would do; nothing is written."""
    request = read_file(file, DataSynchronizationRequest, organization).model_copy(update={"dry_run": True})
    result = run_to_end(data_dir, lambda wedsync: wedsync.start_sync(request), wait=True, as_json=False, quiet=json)
    found = result.plan if result else None
    if found is None:
        raise Permanent("plan_missing", "The run made no plan.", action="Look at the run in the Web UI.")
    if json:
        print_json(found)
    else:
        _show(found)


def apply(
    file: File,
    plan_hash: PlanHash,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Carry out exactly what a plan of FILE said; refused when the report or the target changed since."""
    given = read_file(file, DataSynchronizationRequest, organization)
    request = given.model_copy(update={"plan_hash": plan_hash})
    result = run_to_end(data_dir, lambda wedsync: wedsync.start_sync(request), wait=not no_wait, as_json=json)
    if result is not None:
        show_sync(result, as_json=json)


def _show(found: SyncPreview) -> None:
    fields = {f"would change {name}": count for name, count in found.fields.items()}
    facts("Plan", {**found.counts.model_dump(), **fields})
    rows = [(one.record_id, one.action, ", ".join(one.fields) or one.reason) for one in found.changes]
    if rows:
        table("Changes, the first of them", ("record", "what", "fields or reason"), rows)
    if found.needs_approval:
        note("It removes more than may be removed without approval: the sync will wait for `wedsync sync approve`.")
    say(f"Plan {found.hash}: carry it out with `wedsync sync apply FILE --plan {found.hash}`.")
