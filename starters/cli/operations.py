"""`wedsync schedules`, `schema` and `doctor`."""

from __future__ import annotations

import asyncio
import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from starters.catalogue import contract_schemas
from starters.cli.options import DataDir, Json, settings_of, with_wedsync
from starters.cli.output import print_json, say, table
from starters.client import WedSync
from starters.schedules import ScheduleView, apply_schedules, list_schedules

schedules_app = typer.Typer(help="Schedules of the whole installation.", no_args_is_help=True)


@schedules_app.command("list")
def schedules_list(data_dir: DataDir = None, *, json: Json = False) -> None:
    """List every schedule."""

    async def act(wedsync: WedSync) -> list[ScheduleView]:
        return await list_schedules(wedsync.client)

    found = with_wedsync(data_dir, act)
    if json:
        print_json({"schedules": [one.model_dump(mode="json") for one in found]})
    else:
        rows = [(one.schedule_id, one.workflow, "paused" if one.paused else "on", one.next_at) for one in found]
        table("Schedules", ("schedule", "starts", "state", "next"), rows)


@schedules_app.command("apply")
def schedules_apply(data_dir: DataDir = None, *, json: Json = False) -> None:
    """Create the installation's schedules, or bring them to their present shape."""

    async def act(wedsync: WedSync) -> list[str]:
        return await apply_schedules(wedsync.client, settings_of(data_dir).health_shards)

    applied = with_wedsync(data_dir, act)
    if json:
        print_json({"applied": list(applied)})
    else:
        say(f"Applied: {', '.join(applied)}")


def schema(
    out: Annotated[Path | None, typer.Option("--out", help="Write one file per contract into this directory.")] = None,
    data_dir: DataDir = None,
    *,
    json: Json = False,
) -> None:
    """Print the JSON Schema of every contract."""
    _ = data_dir
    schemas = contract_schemas()
    if out is None:
        print_json(dict(schemas))
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, document in schemas.items():
        (out / f"{name}.json").write_text(jsonlib.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if json:
        print_json({"written": [*sorted(schemas)]})
    else:
        say(f"{len(schemas)} schemas are in {out}.")


def doctor(data_dir: DataDir = None, *, json: Json = False) -> None:
    """Examine the installation, part by part; exit 1 when something needs mending."""
    from starters.doctor import examine  # noqa: PLC0415 - it loads every connector, and no other command needs them

    checks = asyncio.run(examine(settings_of(data_dir)))
    if json:
        print_json({"checks": [check.model_dump(mode="json") for check in checks]})
    else:
        rows = [("ok" if check.ok else "problem", check.name, check.found, check.action) for check in checks]
        table("Doctor", ("", "part", "found", "next"), rows)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
