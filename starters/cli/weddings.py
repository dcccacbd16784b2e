"""`wedsync weddings ...`."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from contracts.facts import StepAnswer, StepDecision
from contracts.recall import CorrectedWords, RecallReport, RecallRequest
from contracts.wedding import TimelineStep, Wedding, WeddingEvent, WeddingState
from starters.cli.options import DataDir, File, Json, NoWait, Organization, organization_of, with_wedsync
from starters.cli.output import note, print_json, say, table
from starters.cli.runs import run_to_end
from starters.client import WedSync
from starters.documents import read_file, validate
from starters.runs import Run

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
        return await wedsync.weddings.state(await organization_of(wedsync, organization), wedding_id)

    _show(with_wedsync(data_dir, act), as_json=json)


@app.command("move")
def move(
    wedding_id: WeddingId,
    date_: Annotated[str | None, typer.Option("--date", help="The new day, such as 2027-06-19.")] = None,
    time_: Annotated[str | None, typer.Option("--time", help="The new local time, such as 15:30.")] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", help="The new venue's time zone, such as Europe/London.")
    ] = None,
    venue: Annotated[str | None, typer.Option("--venue", help="The new venue.")] = None,
    event_id: EventId = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Move a wedding to another day, time or place; what is due changes with it, and its systems are told."""
    places = {"timeZone": zone, "venueName": venue}
    given: dict[str, JsonValue] = {"type": "moved", **{name: value for name, value in places.items() if value}}
    if date_ is not None:
        given["weddingDate"] = _parsed(date_, date, "--date", "2027-06-19").isoformat()
    if time_ is not None:
        given["ceremonyTime"] = _parsed(time_, time, "--time", "15:30").isoformat()
    if len(given) == 1:
        raise typer.BadParameter("give --date, --time, --zone or --venue")
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


@app.command("postpone")
def postpone(
    wedding_id: WeddingId,
    reason: Reason = "",
    event_id: EventId = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Leave a wedding's day open; nothing is sent until `move` names a new one."""
    _tell(wedding_id, {"type": "postponed", "reason": reason}, event_id, data_dir, organization, as_json=json)


@app.command("reopen")
def reopen(
    wedding_id: WeddingId,
    event_id: EventId = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Take up a wedding again that was cancelled, completed or recalled; what was not sent is planned anew."""
    _tell(wedding_id, {"type": "reopened"}, event_id, data_dir, organization, as_json=json)


@app.command("decide")
def decide(
    wedding_id: WeddingId,
    step_id: Annotated[str, typer.Argument(metavar="STEP", help="The step or dispute that asks; `show` names it.")],
    word: Annotated[StepAnswer, typer.Argument(metavar="ANSWER", help="approve or reject.")],
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Answer a step whose instant had passed, or a change made in two systems at once."""
    decision = validate({"stepId": step_id, "answer": word.value}, StepDecision)

    async def act(wedsync: WedSync) -> WeddingState:
        return await wedsync.weddings.decide(await organization_of(wedsync, organization), wedding_id, decision)

    _show(with_wedsync(data_dir, act), as_json=json)


@app.command("recall")
def recall(
    wedding_id: WeddingId,
    correct: Annotated[Path | None, typer.Option("--correct", help="A JSON file with a new title and message.")] = None,
    notification_id: Annotated[str | None, typer.Option("--notification", help="Only what this one made.")] = None,
    recall_id: Annotated[str | None, typer.Option("--recall-id", help="Joins the recall of the same key.")] = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Stop all that is still to come for a wedding, and take back or set right what was sent."""
    words = read_file(correct, CorrectedWords).model_dump(mode="json") if correct else None
    given: dict[str, JsonValue] = {"weddingId": wedding_id, "recallId": recall_id or uuid.uuid4().hex}
    given |= {"notificationId": notification_id, "correction": words}

    async def start_(wedsync: WedSync) -> Run[RecallReport]:
        named = {**given, "organizationId": await organization_of(wedsync, organization)}
        return await wedsync.start_recall(validate(named, RecallRequest))

    report = run_to_end(data_dir, start_, wait=not no_wait, as_json=json)
    if report is None:
        return
    if not json:
        rows = [(one.system, one.kind, one.outcome, one.action) for one in report.entries]
        title = f"Recall of {wedding_id}: {report.status}, {report.stopped_steps} steps will not be sent"
        table(title, ("system", "effect", "outcome", "what is left to do"), rows)
    if report.status != "complete":
        note("Something stands that a person has to deal with: the report says what, and how.")
        raise typer.Exit(1)


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
        return await wedsync.weddings.tell(await organization_of(wedsync, organization), wedding_id, event)

    _show(with_wedsync(data_dir, act), as_json=as_json)


def _show(state: WeddingState, *, as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    rows = [
        (step.due_at.isoformat(timespec="minutes"), step.automation, step.action.type, step.status, _why(step))
        for step in state.steps
    ]
    day = state.wedding.wedding_date or "no day yet"
    table(
        f"Wedding {state.wedding.wedding_id}: {state.status}, {day}",
        ("due", "automation", "does", "status", "why"),
        rows,
    )
    if state.gap_since is not None:
        asked = f"; WedSync is asked at {state.pull.due_at:%Y-%m-%d %H:%M} UTC" if state.pull else ""
        note(f"Events after number {state.sequence} are missing{asked}.")
        if state.pull and state.pull.error:
            note(f"It was asked in vain: {state.pull.error.sentence()}")
    for dispute in state.disputes:
        note(f"Two systems changed the wedding at once: decide {dispute.dispute_id}.")
    if state.followers:
        told = [
            (one.system_id, "behind" if one.behind else "told", one.error.sentence() if one.error else "")
            for one in state.followers
        ]
        table("Its systems", ("system", "is", "why not"), told)


def _why(step: TimelineStep) -> str:
    if step.status == "asked":
        return f"{step.reason}: decide {step.step_id}"
    return f"told another {', '.join(step.outdated)}" if step.outdated else step.reason
