"""The Snowflake stand-in's process and its control API."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.loopback import loopback_client

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = ROOT / ".venv-snowflake" / "bin" / "python"
_PATIENCE_S = 300


class Account:
    """A running stand-in.

    Args:
        directory: where it keeps databases, staged files and its ledger.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.start()

    def start(self) -> None:
        """Start the process, again on the same data after `stop`."""
        program = ROOT / "emulators" / "snowflake"
        command = [str(INTERPRETER), str(program), "--port", "0", "--data-dir", str(self._directory)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["url"]
        self._control = loopback_client(f"{self.url}/_emulators")

    def stop(self) -> None:
        """End the process, which writes its databases out."""
        self._process.terminate()
        self._process.wait(timeout=_PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._control.close()

    def reset(self) -> None:
        """Drop all data, faults and the ledger."""
        self._post("reset")

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of SCHEMA.TABLE."""
        return self._get(f"objects/{table}")

    def counts(self) -> dict[str, int]:
        """Return the number of rows per SCHEMA.TABLE."""
        return self._get("counts")

    def effects(self) -> list[dict[str, Any]]:
        """Return the ledger."""
        return self._get("effects")

    def changes(self) -> list[tuple[str, str]]:
        """Return kind and object of every effect in the ledger."""
        return [(effect["kind"], effect["objectId"]) for effect in self.effects()]

    def writes(self) -> int:
        """Return how many effects the ledger holds."""
        return len(self.effects())

    def logins(self) -> int:
        """Return how many sessions were opened since the last reset."""
        return sum("login-request" in request["path"] for request in self._get("requests"))

    def calls(self) -> int:
        """Return how many requests were seen since the last reset."""
        return len(self._get("requests"))

    def abort_abandoned(self) -> int:
        """Abort the transactions of sessions that are silent, as though their five minutes had passed."""
        return int(self._control.post("abandoned").raise_for_status().json()["aborted"])

    def drop_after(self, statement: str) -> None:
        """Lose the answer to the next statement that matches, after its effect."""
        self._post("faults", {"kind": "drop_after_effect", "match": {"sql": statement}, "count": 1})

    def _get(self, path: str) -> Any:
        return self._control.get(path).raise_for_status().json()

    def _post(self, path: str, body: dict[str, Any] | None = None) -> None:
        self._control.post(path, json=body).raise_for_status()
