"""`wedsync preferences`: what recipients want, and how their organisation writes to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from contracts.preferences import ContactPreferences, KnownPreferences, NotificationPolicy, PreferenceChange
from starters.cli.options import DataDir, File, Json, settings_of
from starters.cli.output import facts, print_json
from starters.documents import read_file
from starters.recipients import Recipients, open_recipients

app = typer.Typer(help="What recipients want, and how their organisation writes to them.", no_args_is_help=True)

Owner = Annotated[str, typer.Option("--organization", help="The organisation.")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="An e-mail address or phone number.")]

T = TypeVar("T")


def with_recipients(data_dir: Path | None, act: Callable[[Recipients], Awaitable[T]]) -> T:
    """Run `act` on the configured store's recipients and return what it returns."""

    async def run() -> T:
        async with open_recipients(settings_of(data_dir)) as recipients:
            return await act(recipients)

    return asyncio.run(run())


@app.command("show")
def show(address: Address, organization: Owner, data_dir: DataDir = None, *, json: Json = False) -> None:
    """Show a recipient's preferences."""

    async def act(recipients: Recipients) -> KnownPreferences:
        return await recipients.show(organization, await recipients.contact(organization, address))

    _show(with_recipients(data_dir, act), as_json=json)


@app.command("set")
def set_(address: Address, file: File, organization: Owner, data_dir: DataDir = None, *, json: Json = False) -> None:
    """Replace a recipient's preferences by those in FILE."""
    wanted = read_file(file, ContactPreferences)

    async def act(recipients: Recipients) -> KnownPreferences:
        return await recipients.set(PreferenceChange(organization_id=organization, address=address, preferences=wanted))

    _show(with_recipients(data_dir, act), as_json=json)


@app.command("policy")
def policy(
    organization: Owner,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A JSON file with the policy.")] = None,
    data_dir: DataDir = None,
    *,
    json: Json = False,
) -> None:
    """Show in whose name, when and how often an organisation writes, or replace it by what FILE says."""
    wanted = None if file is None else read_file(file, NotificationPolicy, organization)

    async def act(recipients: Recipients) -> NotificationPolicy:
        return await recipients.policy(organization) if wanted is None else await recipients.set_policy(wanted)

    found = with_recipients(data_dir, act)
    if json:
        print_json(found)
    else:
        facts(f"Policy of {organization}", found.model_dump(mode="json", exclude={"organization_id"}))


def _show(found: KnownPreferences, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    wishes = found.preferences.model_dump(mode="json", exclude_defaults=True)
    facts(f"Preferences of {found.contact}", wishes or {"wants": "what the organisation's policy says"})
