"""`wedsync explain` and `wedsync held`: why a message did or did not arrive, and what is to become of what waits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.decisions import Decision, HeldAction, HeldActionResult, HeldAnswer
from contracts.explanation import Explanation
from starters.cli.options import DataDir, Json, Organization, organization_of, settings_of, with_wedsync
from starters.cli.output import print_json, say, table
from starters.client import WedSync
from starters.recipients import open_recipients

Recipient = Annotated[
    str | None, typer.Option("--recipient", metavar="ADDRESS", help="Only this e-mail address or phone number.")
]


def explain(
    subject_id: Annotated[
        str, typer.Argument(metavar="ID", help="A notification's id, or with --wedding a wedding's.")
    ],
    recipient: Recipient = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    wedding: Annotated[bool, typer.Option("--wedding", help="Explain the steps of the wedding of this id.")] = False,
    json: Json = False,
) -> None:
    """Tell why this person did or did not get this message: every decision, in order, with its reason."""

    async def act(wedsync: WedSync) -> Explanation:
        owner = await organization_of(wedsync, organization)
        if wedding:
            return await wedsync.notifications.explain_wedding(owner, subject_id)
        contact = await _contact(data_dir, owner, recipient)
        return await wedsync.notifications.explain(owner, subject_id, contact)

    found = with_wedsync(data_dir, act)
    if json:
        print_json(found)
        return
    for run in found.runs:
        table(f"{run.kind}: {run.status}", _COLUMNS, [_row(one) for one in run.decisions])
    say(found.sentence)


def held(
    routing_id: Annotated[str, typer.Argument(metavar="ROUTING", help="The routing's id.")],
    answer: Annotated[HeldAnswer, typer.Argument(help="Send now, or call off.")],
    recipient: Recipient = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Send now, or call off, what waits of a routing: for everybody, or for one recipient."""

    async def act(wedsync: WedSync) -> HeldActionResult:
        owner = await organization_of(wedsync, organization)
        action = HeldAction(answer=answer, recipient=await _contact(data_dir, owner, recipient))
        return await wedsync.notifications.decide_held(owner, routing_id, action)

    found = with_wedsync(data_dir, act)
    if json:
        print_json(found)
    else:
        say(f"{found.ended} {'wait' if found.ended == 1 else 'waits'} ended.")


async def _contact(data_dir: Path | None, organization_id: str, address: str | None) -> str | None:
    if address is None:
        return None
    async with open_recipients(settings_of(data_dir)) as recipients:
        return await recipients.contact(organization_id, address)


_COLUMNS = ("target", "recipient", "stage", "verdict", "code", "until", "at", "detail")


def _row(one: Decision) -> tuple[object, ...]:
    until = one.until.isoformat(timespec="minutes") if one.until else None
    at = one.at.isoformat(timespec="seconds")
    short = one.recipient[:8] if one.recipient else None
    return (one.system_id, short, one.stage.value, one.verdict.value, one.code, until, at, one.detail)
