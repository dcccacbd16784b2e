"""`wedsync health`: a check now, what the scheduled checks found, and where alerts go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.live import Live
from rich.table import Table
from typer.core import TyperGroup

from contracts.alerts import AlertRoutes
from contracts.health import HealthBoard, HealthStatus, HealthWord, MonitorHealthResult
from starters.cli.options import DataDir, Json, Organization, only_one, organization_of, settings_of, with_wedsync
from starters.cli.output import console, print_json, say, table
from starters.client import WedSync
from starters.documents import read_file
from starters.health_desk import HealthDesk, open_desk

T = TypeVar("T")
_COLUMNS = ("integration", "platform", "state", "health", "since", "found")
_CHECK = "check"
REFRESH_S = 2.0


class _ChecksByDefault(TyperGroup):
    """Takes `wedsync health ID` as `wedsync health check ID`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command where none is named."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [_CHECK, *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(cls=_ChecksByDefault, help="The health of integrations; `wedsync health [ID]` checks them now.")


@app.command(_CHECK)
def check(
    integration_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One integration, else all.")] = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show what the scheduled checks find, until Ctrl-C; asks no vendor.")
    ] = False,
    json: Json = False,
) -> None:
    """Probe the integrations now; exit 1 when one of them is unhealthy."""
    if watch:
        _watch(data_dir, organization, integration_id, as_json=json)
        return

    async def act(wedsync: WedSync) -> MonitorHealthResult:
        return await wedsync.health(await organization_of(wedsync, organization), integration_id)

    found = with_wedsync(data_dir, act)
    if json:
        print_json(found)
    else:
        table(f"{found.checked} checked", _COLUMNS, _rows(found.statuses))
    if any(one.status is HealthWord.UNHEALTHY for one in found.statuses):
        raise typer.Exit(1)


@app.command("routes")
def routes(
    file: Annotated[str, typer.Argument(metavar="FILE|show", help="A JSON file with routes, or `show`.")],
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Set, or show, which integrations and recipients get an organisation's alerts."""

    async def act(desk: HealthDesk) -> AlertRoutes:
        if file == "show":
            return await desk.routes(organization or only_one(await desk.organizations()))
        return await desk.set_routes(read_file(Path(file), AlertRoutes, organization))

    found = _with_desk(data_dir, act)
    if json:
        print_json(found)
    elif found.routes:
        rows = [
            (
                one.integration_id,
                one.min_severity,
                ", ".join(one.kinds) or "all",
                ", ".join([channel.channel_id for channel in one.channels] + list(one.recipients)),
            )
            for one in found.routes
        ]
        table(f"Alerts of {found.organization_id}", ("integration", "from", "kinds", "to"), rows)
    else:
        say(f"{found.organization_id} has no alert routes.")


def _watch(data_dir: Path | None, organization: str | None, integration_id: str | None, *, as_json: bool) -> None:
    async def follow(desk: HealthDesk) -> None:
        owner = organization or only_one(await desk.organizations())
        shown: HealthBoard | None = None
        with Live(console=console(), auto_refresh=False, transient=False) as live:
            while True:
                board = await desk.board(owner, integration_id)
                if board != shown:
                    shown = board
                    if as_json:
                        print_json(board)
                    elif live.is_started and live.console.is_terminal:
                        live.update(_drawn(board), refresh=True)
                    else:
                        table(_title(board), _COLUMNS, _rows(board.statuses))
                await asyncio.sleep(REFRESH_S)

    with suppress(KeyboardInterrupt):
        _with_desk(data_dir, follow)


def _drawn(board: HealthBoard) -> Table:
    drawn = Table(title=_title(board), title_justify="left")
    for column in _COLUMNS:
        drawn.add_column(column, overflow="fold")
    for row in _rows(board.statuses):
        drawn.add_row(*(str(cell) for cell in row))
    return drawn


def _title(board: HealthBoard) -> str:
    bad = sum(one.status is not HealthWord.HEALTHY for one in board.statuses)
    return f"{len(board.statuses)} checked, {bad} not healthy at {time.strftime('%H:%M:%S')}"


def _rows(statuses: Sequence[HealthStatus]) -> list[tuple[object, ...]]:
    return [
        (
            one.integration_id,
            one.platform,
            one.state,
            f"{one.status} (suspected {one.suspected})" if one.suspected else one.status,
            f"{one.since:%Y-%m-%d %H:%M}" if one.since else "",
            "; ".join(metric.message for metric in one.metrics) or "takes no work, was not asked",
        )
        for one in statuses
    ]


def _with_desk(data_dir: Path | None, act: Callable[[HealthDesk], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_desk(settings_of(data_dir)) as desk:
            return await act(desk)

    return asyncio.run(run())
