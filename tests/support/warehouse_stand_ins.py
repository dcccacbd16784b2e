"""The processes of the stand-ins that speak a database's wire protocol, and their control API."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support.loopback import loopback_client

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = ROOT / ".venv-warehouses" / "bin" / "python"
_PATIENCE_S = 300


class StandIn:
    """A running stand-in of `.venv-warehouses`.

    Args:
        system: its name, which is also its package below `emulators`.
        directory: where it keeps everything.
    """

    def __init__(self, system: str, directory: Path) -> None:
        self.system = system
        self._directory = directory
        self.start()

    def start(self) -> None:
        """Start the process, again on the same data after `stop` or `kill`."""
        command = [
            str(INTERPRETER),
            "-m",
            f"emulators.{self.system}",
            "--port",
            "0",
            "--data-dir",
            str(self._directory),
        ]
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        # It ends with the tests however they end, because then its input ends.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        self.ready: dict[str, Any] = json.loads(self._process.stdout.readline())
        self._control = loopback_client(f"{self.ready['url']}/_emulators/{self.system}")

    def stop(self) -> None:
        """End the process and wait until it is gone."""
        self._process.terminate()
        self._end()

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash does."""
        self._process.kill()
        self._end()

    def _end(self) -> None:
        self._process.wait(timeout=_PATIENCE_S)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._control.close()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the database."""
        host, _, port = str(self.ready["sql"]).partition(":")
        return host, int(port)

    def reset(self) -> None:
        """Drop all data, faults and the ledger."""
        self._control.post("reset").raise_for_status()

    def counts(self, database: str) -> dict[str, int]:
        """Return the number of rows per schema.table."""
        return self._get(f"{database}/tables")

    def rows(self, database: str, table: str) -> list[dict[str, Any]]:
        """Return the rows of schema.table."""
        return self._get(f"{database}/tables/{table}")

    def changes(self) -> list[tuple[str, str]]:
        """Return kind and object of every effect in the ledger."""
        return [(effect["kind"], effect["objectId"]) for effect in self.effects()]

    def effects(self) -> list[dict[str, Any]]:
        """Return the ledger."""
        return self._get("effects")

    def requests(self) -> list[dict[str, Any]]:
        """Return every login and statement."""
        return self._get("requests")

    def fault(self, kind: str, statement: str, *, method: str = "SQL", count: int | None = 1, **more: Any) -> None:
        """Install a fault for the next statements that match a regular expression."""
        rule = {"kind": kind, "match": {"method": method, "path": statement}, "count": count, **more}
        self._control.post("faults", json=rule).raise_for_status()

    def _get(self, path: str) -> Any:
        return self._control.get(path).raise_for_status().json()


class Standing:
    """A stand-in's database as the suite of warehouses sees it.

    Args:
        stand_in: the process.
        database: whose tables are read.
    """

    def __init__(self, stand_in: StandIn, database: str = "dev") -> None:
        self.stand_in = stand_in
        self._database = database

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return a table's rows, columns in upper case."""
        found = self.stand_in.rows(self._database, table.lower())
        return [{name.upper(): value for name, value in row.items()} for row in found]

    def writes(self) -> int:
        """Return how many statements have changed something so far."""
        return len(self.stand_in.effects())

    def reset(self) -> None:
        """Drop all data."""
        self.stand_in.reset()
