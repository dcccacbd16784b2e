"""`wedsync up`, and its parts one by one."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from starters.cli.options import DataDir, Json
from starters.cli.output import console, facts, print_json
from starters.stack import ROOT, UpOptions, run_up
from workers.engine import server_command
from workers.settings import Settings, Stack

Port = Annotated[int, typer.Option(min=0, max=65_535, help="0 means any free port.")]


def up(
    data_dir: DataDir = None,
    temporal_port: Port = 7233,
    ui_port: Port = 8233,
    api_port: Port = 8080,
    emulators_port: Port = 8090,
    *,
    emulators: Annotated[bool, typer.Option("--emulators/--no-emulators", help="The vendors' stand-ins.")] = True,
    json: Json = False,
) -> None:
    """Run everything in the foreground: Temporal, workers, API and the vendors' stand-ins."""
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    _log_to(settings.data_dir)
    options = UpOptions(temporal_port, ui_port, api_port, emulators_port, emulators)
    asyncio.run(run_up(settings, options, _announce_json if json else _announce))


def server(
    data_dir: DataDir = None, port: Port = 7233, ui_port: Port = 8233, metrics_port: Port = 9233, *, json: Json = False
) -> None:
    """Run the embedded Temporal server alone."""
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if json:
        print_json({"event": "starting", "temporal": f"127.0.0.1:{port}"})
    command = server_command(
        settings.data_dir / "temporal.db",
        port=port,
        ui_port=ui_port,
        metrics_port=metrics_port,
        namespace=settings.temporal_namespace,
    )
    os.execv(command[0], command)  # noqa: S606 - the process becomes the server


def worker(
    queues: Annotated[str | None, typer.Option("--queues", help="Comma-separated; all of them when absent.")] = None,
    data_dir: DataDir = None,
    *,
    json: Json = False,
) -> None:
    """Run a worker alone; its ready line is JSON."""
    _ = json
    _become("workers", [*(["--queues", queues] if queues else [])], data_dir)


def api(data_dir: DataDir = None, *, json: Json = False) -> None:
    """Run the HTTP API alone; WEDSYNC_API_HOST and WEDSYNC_API_PORT say where, its ready line is JSON."""
    _ = json
    _become("starters.api", [], data_dir)


def emulators(data_dir: DataDir = None, port: Port = 8090, smtp_port: Port = 0, *, json: Json = False) -> None:
    """Run the vendors' stand-ins alone; their ready line is JSON."""
    _ = json
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    directory = str(settings.data_dir / "emulators")
    _become("emulators", ["--port", str(port), "--smtp-port", str(smtp_port), "--data-dir", directory], None)


def demo(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SCENARIO...]", help="All of them when absent.")] = None,
    data_dir: DataDir = None,
    *,
    list_: Annotated[bool, typer.Option("--list", help="Name the scenarios and what they show.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack and its data for a look.")] = False,
    json: Json = False,
) -> None:
    """Play the user stories on a stack of their own and compare what the vendors hold with what they should."""
    _ = data_dir
    from starters.demo import runner  # noqa: PLC0415 - heavy, and only this command needs it

    if list_:
        raise typer.Exit(runner.run(["--list"], json=json, keep=keep))
    raise typer.Exit(runner.run(names or [], json=json, keep=keep))


def _announce_json(stack: Stack) -> None:
    sys.stdout.write(stack.model_dump_json() + "\n")
    sys.stdout.flush()


def _announce(stack: Stack) -> None:
    facts(
        "Ready",
        {
            "API": stack.api,
            "API description": f"{stack.api}/docs",
            "API key": stack.api_key,
            "Temporal": stack.temporal,
            "Temporal Web UI": stack.temporal_ui,
            "vendors' stand-ins": stack.emulators,
            "metrics": stack.metrics,
        },
    )
    console().print("Ctrl-C stops everything; nothing that runs is lost.")


def _log_to(data_dir: Path) -> None:
    directory = data_dir / "logs"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = logging.getLogger("wedsync.up")
    log.setLevel(logging.INFO)
    log.propagate = False
    form = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    loud = logging.StreamHandler(sys.stderr)
    loud.setLevel(logging.WARNING)
    for handler in (loud, logging.FileHandler(directory / "up.log", mode="w")):
        handler.setFormatter(form)
        log.addHandler(handler)


def _become(module: str, arguments: list[str], data_dir: Path | None) -> None:
    """Replace this process, so that signals and the exit code are the part's own."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH", ""))))
    if data_dir is not None:
        environment["WEDSYNC_DATA_DIR"] = str(data_dir.absolute())
    command = [sys.executable, "-m", module, *arguments]
    os.execve(command[0], command, environment)  # noqa: S606 - the arguments are ours
