"""`wedsync emergency` and `wedsync ack`: raising, acknowledging, rehearsing, and the policies behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from contracts.actions import ActionAnswer
from contracts.emergency import Acknowledgement, EmergencyAlert, EmergencyResult
from contracts.escalation import EscalationPolicy, PolicyCheck
from starters.cli.options import (
    DataDir,
    Json,
    NoWait,
    Organization,
    only_one,
    organization_of,
    settings_of,
    with_wedsync,
)
from starters.cli.output import note, print_json, say, table
from starters.client import WedSync
from starters.documents import read_file
from starters.escalation_desk import PolicyDesk, drill_of, open_policies
from starters.runs import Run

T = TypeVar("T")
_RAISE = "raise"
_LOOK_EVERY_S = 0.5
_PACE_S = 10.0


class _RaisesByDefault(TyperGroup):
    """Takes `wedsync emergency FILE` as `wedsync emergency raise FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command where none is named."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [_RAISE, *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=_RaisesByDefault,
    help="Alert people until one of them acknowledges; `wedsync emergency FILE` raises one. No emergency service is "
    "ever called: call it yourself.",
    no_args_is_help=True,
)
policy_app = typer.Typer(help="Who is alerted in which order.", no_args_is_help=True)
app.add_typer(policy_app, name="policy")


@app.command(_RAISE)
def raise_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON file with the alert.")],
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    no_wait: NoWait = False,
    json: Json = False,
) -> None:
    """Raise the emergency in FILE and follow it until somebody has it; Ctrl-C leaves it running."""
    alert = read_file(file, EmergencyAlert, organization)
    _follow(data_dir, alert, wait=not no_wait, as_json=json)


def ack(
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="The alert's id.")],
    by: Annotated[str, typer.Option("--by", help="Who has it, in one word such as a user's id.")] = "operator",
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Acknowledge an emergency: everything stops, and everybody who was alerted is told."""
    given = Acknowledgement.model_validate({"acknowledgedBy": by})

    async def act(wedsync: WedSync) -> ActionAnswer:
        owner = await organization_of(wedsync, organization)
        return await wedsync.emergencies.acknowledge(owner, alert_id, given)

    answer = with_wedsync(data_dir, act)
    if json:
        print_json(answer)
    else:
        say(answer.message)
    if not answer.accepted:
        raise typer.Exit(1)


@app.command("drill")
def drill(
    policy_id: Annotated[str | None, typer.Argument(metavar="[POLICY]", help="The only one there is, else.")] = None,
    data_dir: DataDir = None,
    organization: Organization = None,
    pace: Annotated[float, typer.Option("--pace", min=1.0, max=3_600.0, help="Seconds between levels.")] = _PACE_S,
    *,
    dry: Annotated[bool, typer.Option("--dry", help="Only check the policy; alert nobody.")] = False,
    json: Json = False,
) -> None:
    """Rehearse a policy over its real channels, marked as a drill; it ends by itself and says who was reached when."""

    async def wanted(desk: PolicyDesk) -> tuple[EscalationPolicy, PolicyCheck]:
        owner = organization or only_one(await desk.organizations())
        name = policy_id or only_one([one.policy_id for one in await desk.all(owner)], "policy", "escalation policy")
        policy = await desk.get(owner, name)
        return policy, await desk.check(policy)

    policy, found = _with_desk(data_dir, wanted)
    if dry:
        _show_check(found, as_json=json)
        return
    for one in found.problems:
        note(f"{one.where}: {one.sentence}")
    _follow(data_dir, drill_of(policy, timedelta(seconds=pace)), wait=True, as_json=json)


@policy_app.command("set")
def policy_set(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON file with the policy.")],
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Save the policy in FILE; one that would not reach everybody is refused, and all that is wrong with it named."""
    policy = read_file(file, EscalationPolicy, organization)
    saved = _with_desk(data_dir, lambda desk: desk.put(policy))
    if json:
        print_json(saved)
    else:
        say(f"The policy {saved.policy_id} of {saved.organization_id} is saved: {len(saved.levels)} levels.")


@policy_app.command("show")
def policy_show(
    policy_id: Annotated[str, typer.Argument(metavar="POLICY", help="The policy's id.")],
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Show a policy."""

    async def act(desk: PolicyDesk) -> EscalationPolicy:
        return await desk.get(organization or only_one(await desk.organizations()), policy_id)

    found = _with_desk(data_dir, act)
    if json:
        print_json(found)
        return
    rows = [(number, level.ack_within, ", ".join(level.contacts)) for number, level in enumerate(found.levels, start=1)]
    table(f"Policy {found.policy_id}", ("level", "time to acknowledge", "contacts"), rows)


@policy_app.command("check")
def policy_check(
    policy: Annotated[str, typer.Argument(metavar="POLICY|FILE", help="A saved policy's id, or a JSON file.")],
    data_dir: DataDir = None,
    organization: Organization = None,
    *,
    json: Json = False,
) -> None:
    """Say everything that would keep a policy from reaching somebody; exit 1 when there is anything."""
    given = read_file(Path(policy), EscalationPolicy, organization) if Path(policy).is_file() else None

    async def act(desk: PolicyDesk) -> PolicyCheck:
        return await desk.check(given or await desk.get(organization or only_one(await desk.organizations()), policy))

    _show_check(_with_desk(data_dir, act), as_json=json)


def _show_check(found: PolicyCheck, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    elif found.problems:
        rows = [(one.code, one.where, one.sentence) for one in found.problems]
        table(f"Policy {found.policy_id}", ("problem", "where", "what"), rows)
    else:
        say(f"The policy {found.policy_id} reaches everybody.")
    if found.problems:
        raise typer.Exit(1)


def _follow(data_dir: Path | None, alert: EmergencyAlert, *, wait: bool, as_json: bool) -> None:
    async def act(wedsync: WedSync) -> EmergencyResult | None:
        run = await wedsync.emergencies.start(alert)
        if not wait:
            _show_started(run, alert, as_json=as_json)
            return None
        note(f"Emergency {alert.alert_id}; whoever has it says so with `wedsync ack {alert.alert_id}`.")
        return await _ended(wedsync, run, alert)

    result = with_wedsync(data_dir, act)
    if result is None:
        return
    if as_json:
        print_json(result)
    else:
        _show(result)


async def _ended(wedsync: WedSync, run: Run[EmergencyResult], alert: EmergencyAlert) -> EmergencyResult:
    """Wait for the end, and say meanwhile who is reached."""
    ending = asyncio.create_task(run.result())
    said: set[tuple[int, str, str]] = set()
    try:
        while True:
            done, _ = await asyncio.wait({ending}, timeout=_LOOK_EVERY_S)
            if done:
                return ending.result()
            for one in (await wedsync.emergencies.state(alert.organization_id, alert.alert_id)).deliveries:
                if (one.repetition, one.system_id, one.status) not in said:
                    said.add((one.repetition, one.system_id, one.status))
                    note(f"level {one.level}, {one.system_id}: {one.error.sentence() if one.error else one.status}")
    finally:
        ending.cancel()


def _show_started(run: Run[EmergencyResult], alert: EmergencyAlert, *, as_json: bool) -> None:
    if as_json:
        print_json({"runId": run.run_id, "workflowId": run.handle.id, "alertId": alert.alert_id, "status": "running"})
    else:
        say(run.run_id)


def _show(result: EmergencyResult) -> None:
    rows = [
        (
            one.repetition,
            one.level,
            one.system_id,
            one.status,
            one.delivered_at and f"{one.delivered_at:%H:%M:%S}",
            one.error.sentence() if one.error else f"in place of {one.in_place_of}" if one.in_place_of else "",
        )
        for one in result.deliveries
    ]
    by = f" by {result.acknowledged_by}" if result.acknowledged_by else ""
    columns = ("repetition", "level", "target", "status", "at (UTC)", "why")
    table(f"Emergency {result.alert_id}: {result.outcome}{by}", columns, rows)


def _with_desk(data_dir: Path | None, act: Callable[[PolicyDesk], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_policies(settings_of(data_dir)) as desk:
            return await act(desk)

    return asyncio.run(run())
