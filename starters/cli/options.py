"""The options every command shares."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from contracts.errors import InvalidInput
from starters.client import WedSync, open_wedsync
from workers.settings import Settings

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where the stack keeps its data; WEDSYNC_DATA_DIR, else .wedsync."),
]
Organization = Annotated[
    str | None,
    typer.Option("--organization", help="The organisation; the file's, or the only one there is, when absent."),
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A JSON file.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the run's id and do not wait for its result.")]


def settings_of(data_dir: Path | None) -> Settings:
    """Return the settings of the environment and of the stack in the data directory."""
    return (Settings() if data_dir is None else Settings(data_dir=data_dir)).on_stack()


def with_wedsync(data_dir: Path | None, act: Callable[[WedSync], Awaitable[T]]) -> T:
    """Run `act` on the facade and return what it returns."""

    async def run() -> T:
        async with open_wedsync(settings_of(data_dir)) as wedsync:
            return await act(wedsync)

    return asyncio.run(run())


async def organization_of(wedsync: WedSync, given: str | None) -> str:
    """Return the organisation that was named, or the only one there is.

    Raises:
        InvalidInput: none is named and there is not exactly one.
    """
    return given or only_one(await wedsync.integrations.organizations())


def only_one(known: Sequence[str], code: str = "organization", what: str = "organisation with integrations") -> str:
    """Return the only one there is, an organisation if nothing else is said.

    Raises:
        InvalidInput: there is not exactly one.
    """
    if len(known) != 1:
        raise InvalidInput(
            f"{code}_needed",
            f"There is {'no' if not known else 'more than one'} {what} here.",
            action="Name one with --organization." if code == "organization" else "Name one.",
        )
    return known[0]
