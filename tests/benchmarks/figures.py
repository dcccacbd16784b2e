"""A figure with its limit, and how a measurement is run that prints figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 1_800


@dataclass(frozen=True)
class Row:
    """One figure, the limit it should keep, and what it is of."""

    what: str
    found: float
    limit: float | None
    unit: str

    @property
    def verdict(self) -> str:
        """`within`, `beyond`, or nothing where no limit is set."""
        if self.limit is None:
            return ""
        return "within" if self.found <= self.limit else "beyond"


def run(*command: str) -> dict[str, Any]:
    """Run one measurement in a process of its own and return the JSON line it prints."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"WEDSYNC_EMULATOR_RATE_LIMITS": "off"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    lines = [line[line.index("{") :] for line in done.stdout.splitlines() if "{" in line]
    if done.returncode or not lines:
        message = f"{' '.join(command)} ended with code {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        raise RuntimeError(message)
    found: dict[str, Any] = json.loads(lines[-1])
    return found
