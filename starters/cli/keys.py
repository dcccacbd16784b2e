"""`wedsync keys ...`."""

from __future__ import annotations

import asyncio

import typer

from starters import keys
from starters.cli.options import DataDir, Json, settings_of
from starters.cli.output import print_json, say, table

app = typer.Typer(help="Care for the master key.", no_args_is_help=True)


@app.command("rotate")
def rotate(data_dir: DataDir = None, *, json: Json = False) -> None:
    """Bring every record under a new master key while everything runs; a broken-off rotation is taken up."""
    done = asyncio.run(keys.rotate(settings_of(data_dir)))
    if json:
        print_json(done)
        return
    retired = f"; retired: {', '.join(done.retired)}" if done.retired else ""
    say(f"All {done.records:,} records are under the master key {done.key_id}{retired}.")


@app.command("status")
def status(data_dir: DataDir = None, *, json: Json = False) -> None:
    """Show the master keys by their public ids, and how many records each seals."""
    found = asyncio.run(keys.status(settings_of(data_dir)))
    if json:
        print_json(found)
        return
    rows = [
        (
            use.key_id or "before key ids",
            "newest" if use.newest else "retired" if use.retired else "accepted" if use.held else "not held here",
            sum(use.rows.values()),
            ", ".join(f"{count:,} {name}" for name, count in use.rows.items()),
        )
        for use in found.keys
    ]
    table("Master keys", ("key", "state", "records", "of which"), rows)
