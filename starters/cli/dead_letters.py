"""`wedsync deadletters ...`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from contracts.dead_letters import DeadLetter, DeadLetterList, LetterDecision, RetriedDeadLetters, RetryDeadLetters
from contracts.integration import Side
from contracts.sync import SynchronizationResult
from starters.cli.options import DataDir, Json, NoWait, Organization, organization_of, with_wedsync
from starters.cli.output import note, print_json, say, table
from starters.client import WedSync
from starters.documents import validate

app = typer.Typer(help="Records that could not be brought to their target.", no_args_is_help=True)
Integration = Annotated[str | None, typer.Option("--integration", help="Only those of this integration.")]
LetterIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Letters; all of them when absent.")]


@app.command("list")
def list_(
    integration: Integration = None, data_dir: DataDir = None, organization: Organization = None, *, json: Json = False
) -> None:
    """List the dead letters of an organisation, those that were tried last first."""

    async def act(wedsync: WedSync) -> DeadLetterList:
        return await wedsync.dead_letters.listed(await organization_of(wedsync, organization), integration)

    found = with_wedsync(data_dir, act)
    if json:
        print_json(found)
        return
    columns = ("letter", "integration", "report", "record", "status", "why", "tried", "last", "again")
    table(
        f"Dead letters: {len(found.letters)} of {found.total}",
        columns,
        [
            (
                one.letter_id,
                one.integration_id,
                one.report_id,
                one.record_id,
                one.status,
                one.reason,
                one.attempts,
                one.last_at.isoformat(timespec="seconds"),
                _again(one),
            )
            for one in found.letters
        ],
    )


def _again(letter: DeadLetter) -> str:
    if letter.due_at is not None:
        return letter.due_at.isoformat(timespec="seconds")
    return "when it is decided" if letter.asks else "never by itself"


@app.command("retry")
def retry(
    letter_ids: LetterIds = None,
    integration: Integration = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Try dead letters again now; those that only their source can mend are left alone."""

    async def act(wedsync: WedSync) -> tuple[RetriedDeadLetters, list[SynchronizationResult]]:
        asked = RetryDeadLetters(
            organization_id=await organization_of(wedsync, organization),
            integration_id=integration,
            letter_ids=letter_ids or [],
        )
        retried, runs = await wedsync.dead_letters.retry(asked)
        return retried, [] if no_wait else [await run.result() for run in runs]

    _show(*with_wedsync(data_dir, act), as_json=json)


@app.command("decide")
def decide(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="The letter that asks.")],
    winner: Annotated[Side, typer.Argument(metavar="SIDE", help="Which side stands: source or target.")],
    by: Annotated[str, typer.Option("--by", help="Who decides, as an opaque word.")] = "cli",
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Decide about a record that source and target both changed."""

    async def act(wedsync: WedSync) -> tuple[RetriedDeadLetters, list[SynchronizationResult]]:
        owner = await organization_of(wedsync, organization)
        decision = validate({"organizationId": owner, "winner": winner.value, "decidedBy": by}, LetterDecision)
        retried, runs = await wedsync.dead_letters.decide(letter_id, decision)
        return retried, [] if no_wait else [await run.result() for run in runs]

    _show(*with_wedsync(data_dir, act), as_json=json)


def _show(retried: RetriedDeadLetters, results: Sequence[SynchronizationResult], *, as_json: bool) -> None:
    left = sum(result.failed_syncs for result in results)
    if as_json:
        print_json({**retried.model_dump(mode="json"), "results": [one.model_dump(mode="json") for one in results]})
    elif results:
        say(f"{sum(one.successful_syncs for one in results)} of {retried.letters} letters stand at their target now.")
    else:
        say(f"{retried.letters} letters are tried again: {', '.join(retried.run_ids) or 'no run was needed'}.")
    if left:
        note(f"{left} letters are still there; `wedsync deadletters list` says why.")
        raise typer.Exit(1)
