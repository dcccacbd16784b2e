"""`wedsync conflicts ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.conflict import BookingConflicts, ConflictDecision, ConflictResolution, DecisionAnswer, ResolutionDetail
from starters.cli.options import DataDir, File, Json, Organization, organization_of, with_wedsync
from starters.cli.output import facts, note, print_json, say, table
from starters.client import WedSync
from starters.conflicts import ConflictView
from starters.documents import read_file, validate

app = typer.Typer(help="Resolve double bookings.", no_args_is_help=True)
ConflictId = Annotated[str, typer.Argument(metavar="ID", help="The conflict's id.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the conflicts are resolved, which can take days.")]


@app.command("raise")
def raise_(
    file: File, data_dir: DataDir = None, organization: Organization = None, *, wait: Wait = False, json: Json = False
) -> None:
    """Have the conflicts in FILE resolved."""
    request = read_file(file, BookingConflicts, organization)

    async def act(wedsync: WedSync) -> tuple[str, ConflictResolution | None]:
        run = await wedsync.conflicts.raise_conflicts(request)
        return run.run_id, await run.result() if wait else None

    run_id, result = with_wedsync(data_dir, act)
    ids = [one.conflict_id for one in request.conflicts]
    if json:
        print_json(result or {"runId": run_id, "conflictIds": list(ids), "status": "running"})
    elif result is None:
        say(f"{', '.join(ids)}: being resolved as {run_id}. Decide with `wedsync conflicts decide ID CHOICE`.")
    else:
        _table([("", "", one) for one in result.resolution_details])
    if result is not None and result.failed_resolutions:
        raise typer.Exit(1)


@app.command("list")
def list_(data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """List the conflicts of an organisation."""

    async def act(wedsync: WedSync) -> list[ConflictView]:
        return await wedsync.conflicts.every(await organization_of(wedsync, organization))

    found = with_wedsync(data_dir, act)
    if json:
        print_json({"conflicts": [one.detail.model_dump(mode="json") for one in found]})
    else:
        _table([(one.integration_id, one.run_id, one.detail) for one in found])


@app.command("show")
def show(
    conflict_id: ConflictId, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False
) -> None:
    """Show how far a conflict is, and what can be chosen."""

    async def act(wedsync: WedSync) -> ConflictView:
        return await wedsync.conflicts.show(await organization_of(wedsync, organization), conflict_id)

    found = with_wedsync(data_dir, act).detail
    if json:
        print_json(found)
        return
    facts(
        f"Conflict {found.conflict_id}",
        {
            "status": found.status,
            "keeps the slot": found.winning_booking_id,
            "decided by": found.decided_by,
            "decided at": found.decided_at,
            "why not": found.error and found.error.sentence(),
        },
    )
    rows = [(f"alternative-{one.rank}", one.photographer_id, one.starts_at, one.ends_at) for one in found.alternatives]
    table("Alternatives", ("choice", "who", "from", "to"), rows)


@app.command("decide")
def decide(
    conflict_id: ConflictId,
    choice: Annotated[str, typer.Argument(metavar="CHOICE", help="The booking that keeps it, or alternative-N.")],
    by: Annotated[str, typer.Option("--by", help="Who decides, as an opaque word.")] = "cli",
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Decide a conflict; a decision is final."""
    decision = validate({"choice": choice, "decidedBy": by}, ConflictDecision)

    async def act(wedsync: WedSync) -> DecisionAnswer:
        organization_id = await organization_of(wedsync, organization)
        return await wedsync.conflicts.decide(organization_id, conflict_id, decision)

    answer = with_wedsync(data_dir, act)
    if json:
        print_json(answer)
    elif answer.accepted:
        say(answer.message)
    if not answer.accepted:
        note(answer.message)
        raise typer.Exit(1)


def _table(rows: list[tuple[str, str, ResolutionDetail]]) -> None:
    table(
        "Conflicts",
        ("conflict", "at", "status", "keeps the slot", "decided by", "run"),
        [
            (one.conflict_id, place, one.status, one.winning_booking_id, one.decided_by, run_id)
            for place, run_id, one in rows
        ],
    )
