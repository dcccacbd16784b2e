"""`wedsync demo`: a stack of its own, the scenarios, and expected beside found."""

from __future__ import annotations

import asyncio
import json as json_module
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from contracts.errors import InvalidInput, Owner, Permanent, WedSyncError
from starters.client import open_wedsync
from starters.demo.scenarios import SCENARIOS
from starters.demo.stage import ROOT, Check, Stage
from starters.demo.vendors import Vendors
from starters.stack import SANDBOX_REPORT_TOKEN
from workers.settings import Settings, Stack

_LONGEST_S = 900


def run(names: Sequence[str], *, json: bool = False, keep: bool = False) -> int:
    """Play the named scenarios, all of them without a name, and return the exit code."""
    if list(names) == ["--list"]:
        for name, scenario in SCENARIOS.items():
            sys.stdout.write(f"{name:24}{scenario.__doc__}\n")
        return 0
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise InvalidInput(
            "scenario_unknown",
            f"There is no scenario named {unknown[0]!r}.",
            action=f"Use {', '.join(SCENARIOS)}.",
        )
    return asyncio.run(_play(list(names) or list(SCENARIOS), as_json=json, keep=keep))


async def _play(names: list[str], *, as_json: bool, keep: bool) -> int:
    directory = Path(tempfile.mkdtemp(prefix="wedsync-demo-"))
    outcomes: dict[str, list[Check]] = {}
    started = time.monotonic()
    try:
        async with _stack(directory / "data") as stack:
            settings = Settings(
                data_dir=directory / "data",
                temporal_address=stack.temporal,
                emulators_url=stack.emulators,
                report_url=f"{stack.emulators}/wedsync",
                report_token=SecretStr(SANDBOX_REPORT_TOKEN),
                public_url=stack.api,
            )
            vendors = Vendors(stack.emulators)
            async with open_wedsync(settings) as wedsync:
                for name in names:
                    stage = Stage(wedsync, vendors, settings, directory)
                    outcomes[name] = await _scenario(name, stage)
                    if not as_json:
                        _show(name, outcomes[name])
            await vendors.aclose()
            matched = all(check.holds for checks in outcomes.values() for check in checks)
            _close(outcomes, stack, as_json=as_json, seconds=time.monotonic() - started)
            if keep:
                await asyncio.Event().wait()
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    return 0 if matched else 1


async def _scenario(name: str, stage: Stage) -> list[Check]:
    try:
        async with asyncio.timeout(_LONGEST_S):
            return await SCENARIOS[name](stage)
    except WedSyncError as error:
        found = error.detail.sentence()
    except TimeoutError:
        found = f"not within {_LONGEST_S} s; its workflow in the Web UI tells where it waits"
    return [Check("the scenario runs to its end", "yes", found)]


@asynccontextmanager
async def _stack(data_dir: Path) -> AsyncIterator[Stack]:
    """Run `wedsync up` beside us on free ports until the scenarios are over."""
    ports = [item for name in ("temporal", "ui", "api", "emulators") for item in (f"--{name}-port", "0")]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "starters", "up", "--json", "--data-dir", str(data_dir), *ports),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        if process.stdout is None:
            message = "the stack was started without its output"
            raise RuntimeError(message)
        line = await process.stdout.readline()
        if not line:
            raise Permanent(
                "demo_stack_failed",
                "The demo's stack did not start.",
                owner=Owner.OPERATOR,
                action="Read what it said above; `wedsync doctor` names what is missing.",
            )
        yield Stack.model_validate_json(line)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def _show(name: str, checks: list[Check]) -> None:
    table = Table(title=f"{name}: {SCENARIOS[name].__doc__}", title_justify="left")
    for column in ("", "expected", "found", "check"):
        table.add_column(column)
    for check in checks:
        table.add_row("ok" if check.holds else "DIFFERS", str(check.expected), str(check.found), check.name)
    Console().print(table)


def _close(outcomes: dict[str, list[Check]], stack: Stack, *, as_json: bool, seconds: float) -> None:
    if as_json:
        summary = {
            name: [
                {"check": item.name, "expected": item.expected, "found": item.found, "holds": item.holds}
                for item in checks
            ]
            for name, checks in outcomes.items()
        }
        sys.stdout.write(json_module.dumps({"scenarios": summary, "seconds": round(seconds, 1)}, default=str) + "\n")
        return
    matched = sum(all(check.holds for check in checks) for checks in outcomes.values())
    sys.stdout.write(f"{matched} of {len(outcomes)} scenarios matched in {seconds:.0f} s.\n")
    sys.stdout.write(
        f"Temporal Web UI: {stack.temporal_ui} (keep everything running with `wedsync demo --keep` or `wedsync up`)\n"
    )
