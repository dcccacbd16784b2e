"""`wedsync weddings ...`."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from contracts.wedding import Wedding, WeddingEvent, WeddingState
from starters.cli.options import DataDir, File, Json, Organization, organization_of, with_wedsync
from starters.cli.output import print_json, say, table
from starters.client import WedSync
from starters.documents import read_file, validate

app = typer.Typer(help="Follow weddings through time.", no_args_is_help=True)
WeddingId = Annotated[str, typer.Argument(metavar="ID", help="The wedding's id.")]
EventId = Annotated[
    str | None, typer.Option("--event-id", help="Makes a repeat of this command harmless; a fresh one when absent.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]


@app.command("start")
def start(file: File, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False) -> None:
    """Start the timeline of the wedding in FILE."""
    wedding = read_file(file, Wedding, organization)

    async def act(wedsync: WedSync) -> str:
        return (await wedsync.start_wedding(wedding)).run_id

    run_id = with_wedsync(data_dir, act)
    if json:
        print_json({"runId": run_id, "weddingId": wedding.wedding_id, "status": "running"})
    else:
        say(f"The timeline of {wedding.wedding_id} runs as {run_id}.")


@app.command("show")
def show(
    wedding_id: WeddingId, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False
) -> None:
    """Show a wedding's steps."""

    async def act(wedsync: WedSync) -> WeddingState:
        return await wedsync.wedding_state(await organization_of(wedsync, organization), wedding_id)

    _show(with_wedsync(data_dir, act), as_json=json)


@app.command("move")
def move(
    wedding_id: WeddingId,
    date_: Annotated[str | None, typer.Option("--date", help="The new day, such as 2027-06-19.")] = None,
    time_: Annotated[str | None, typer.Option("--time", help="The new local time, such as 15:30.")] = None,
    event_id: EventId = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Move a wedding to another day or time; what is due changes with it."""
    given: dict[str, JsonValue] = {"type": "moved"}
    if date_ is not None:
        given["weddingDate"] = _parsed(date_, date, "--date", "2027-06-19").isoformat()
    if time_ is not None:
        given["ceremonyTime"] = _parsed(time_, time, "--time", "15:30").isoformat()
    if len(given) == 1:
        raise typer.BadParameter("give --date, --time or both")
    _tell(wedding_id, given, event_id, data_dir, organization, as_json=json)


@app.command("cancel")
def cancel(
    wedding_id: WeddingId,
    reason: Reason = "",
    event_id: EventId = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Cancel a wedding; nothing of its plan is sent any more."""
    _tell(wedding_id, {"type": "cancelled", "reason": reason}, event_id, data_dir, organization, as_json=json)


@app.command("complete")
def complete(
    wedding_id: WeddingId,
    event_id: EventId = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Say that a wedding has taken place."""
    _tell(wedding_id, {"type": "completed"}, event_id, data_dir, organization, as_json=json)


def _parsed(text: str, kind: type[date | time], option: str, example: str) -> date | time:
    try:
        return kind.fromisoformat(text)
    except ValueError as error:
        message = f"{option} reads like {example}"
        raise typer.BadParameter(message) from error


def _tell(
    wedding_id: str,
    given: dict[str, JsonValue],
    event_id: str | None,
    data_dir: Path | None,
    organization: str | None,
    *,
    as_json: bool,
) -> None:
    now = datetime.now(UTC).isoformat()
    event = validate({**given, "eventId": event_id or uuid.uuid4().hex, "occurredAt": now}, WeddingEvent)

    async def act(wedsync: WedSync) -> WeddingState:
        return await wedsync.wedding_event(await organization_of(wedsync, organization), wedding_id, event)

    _show(with_wedsync(data_dir, act), as_json=as_json)


def _show(state: WeddingState, *, as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    rows = [
        (step.due_at.isoformat(timespec="minutes"), step.automation, step.action.type, step.status, step.reason)
        for step in state.steps
    ]
    day = state.wedding.wedding_date or "no day yet"
    table(
        f"Wedding {state.wedding.wedding_id}: {state.status}, {day}",
        ("due", "automation", "does", "status", "why"),
        rows,
    )
