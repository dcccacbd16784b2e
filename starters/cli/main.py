"""The entry of the command line: the commands, and errors as one sentence."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer
from pydantic import ValidationError

from activities.boundary import invalid_input
from contracts.errors import ErrorDetail, InvalidInput, Owner, Permanent, WedSyncError
from starters.cli import (
    automations,
    conflicts,
    dead_letters,
    emergencies,
    explain,
    health,
    integrations,
    keys,
    operations,
    plans,
    preferences,
    processes,
    runs,
    templates,
    weddings,
)
from starters.cli.output import fail, note
from starters.failures import detail_of
from workers.privacy import leave_no_core_dump

_USAGE = 2
_INTERRUPTED = 130

app = typer.Typer(
    name="wedsync",
    help="Durable integrations for wedding suppliers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in (
    processes.demo,
    processes.up,
    processes.server,
    processes.worker,
    processes.api,
    processes.emulators,
    runs.notify,
    runs.transform,
    runs.query,
    emergencies.ack,
    explain.explain,
    explain.held,
    operations.schema,
    operations.doctor,
):
    app.command()(_command)
app.add_typer(emergencies.app, name="emergency")
app.add_typer(health.app, name="health")
app.add_typer(integrations.app, name="integrations")
for _planning in (plans.plan, plans.apply):
    runs.sync_app.command()(_planning)
app.add_typer(runs.sync_app, name="sync")
app.add_typer(runs.etl_app, name="etl")
app.add_typer(weddings.app, name="weddings")
app.add_typer(automations.app, name="automations")
app.add_typer(conflicts.app, name="conflicts")
app.add_typer(dead_letters.app, name="deadletters")
app.add_typer(operations.schedules_app, name="schedules")
app.add_typer(keys.app, name="keys")
app.add_typer(preferences.app, name="preferences")
app.add_typer(templates.app, name="templates")


def main(argv: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 wrong usage."""
    leave_no_core_dump()
    arguments = sys.argv[1:] if argv is None else argv
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code; no exception leaves this function."""
    as_json = "--json" in arguments
    try:
        return _code(app(args=arguments, prog_name="wedsync", standalone_mode=False))
    except typer.Exit as ended:
        return ended.exit_code
    except (KeyboardInterrupt, typer.Abort):
        note("Interrupted; a run that was started goes on.")
        return _INTERRUPTED
    except WedSyncError as error:
        fail(error.detail, as_json=as_json)
    except ValidationError as error:
        fail(_of_settings(error), as_json=as_json)
    except Exception as error:
        if hasattr(error, "format_message"):
            return _usage(error, as_json=as_json)
        fail(_unforeseen(error), as_json=as_json)
    return 1


def _code(returned: object) -> int:
    return returned if isinstance(returned, int) else 0


def _usage(error: Any, *, as_json: bool) -> int:
    """The parser's own errors, which typer gives no public type."""
    detail = InvalidInput(
        "usage",
        str(error.format_message()),
        owner=Owner.NOBODY,
        action="Run the command with --help.",
    ).detail
    fail(detail, as_json=as_json)
    return _USAGE


def _of_settings(error: ValidationError) -> ErrorDetail:
    found = invalid_input(error).detail
    return found.model_copy(update={"action": "Correct the WEDSYNC_* environment variables it names."})


def _unforeseen(error: Exception) -> ErrorDetail:
    if os.environ.get("WEDSYNC_DEBUG"):
        traceback.print_exception(error)
    known = detail_of(error)
    if known.code != "unclassified":
        return known
    return Permanent(
        "internal",
        f"The command met an unforeseen {type(error).__name__}.",
        action="Run it again with WEDSYNC_DEBUG=1 and hand the trace to an engineer.",
    ).detail


if __name__ == "__main__":
    main()
