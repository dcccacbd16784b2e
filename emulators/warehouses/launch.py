"""Stand-ins that are processes of their own, in environments of their own, started when they are first asked for."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_ROOT = Path(__file__).resolve().parents[2]
_ENVIRONMENTS = {"redshift": ".venv-warehouses", "synapse": ".venv-warehouses", "bigquery": ".venv-bigquery"}
_HARMLESS = ("PATH", "HOME", "LANG", "TMPDIR")
_PATIENCE_S = 300.0
_STOPS_WITHIN_S = 10.0


class Launcher:
    """The processes, each started once; one that has died is started again on its data and at its ports.

    Args:
        data_dir: where each keeps everything, below its own name.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._running: dict[str, tuple[asyncio.subprocess.Process, dict[str, Any]]] = {}
        self._locks = {system: asyncio.Lock() for system in self.systems()}

    @staticmethod
    def systems() -> list[str]:
        """Return the systems whose environments are installed."""
        return [name for name, environment in _ENVIRONMENTS.items() if _interpreter(environment).exists()]

    async def details(self, system: str) -> dict[str, Any]:
        """Return a system's addresses, once it answers: `baseUrl`, `control`, and what it has besides.

        Raises:
            TimeoutError: it does not come up.
        """
        async with self._locks[system]:
            process, found = self._running.get(system, (None, {}))
            if process is None or process.returncode is not None:
                found = await asyncio.wait_for(self._start(system), _PATIENCE_S)
            return found

    def control_url(self, system: str) -> str | None:
        """Return where a running system's control API is."""
        running = self._running.get(system)
        return None if running is None or running[0].returncode is not None else str(running[1]["control"])

    async def aclose(self) -> None:
        """End every process and wait until it is gone."""
        for process, _ in self._running.values():
            with suppress(ProcessLookupError):
                process.terminate()
        for process, _ in self._running.values():
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOPS_WITHIN_S)

    async def _start(self, system: str) -> dict[str, Any]:
        directory = self._data_dir / system
        directory.mkdir(parents=True, exist_ok=True)
        ports = _known_ports(directory)
        environment = {name: os.environ[name] for name in _HARMLESS if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            *(str(_interpreter(_ENVIRONMENTS[system])), "-m", f"emulators.{system}", "--until-eof"),
            *(item for name, port in ports.items() for item in (f"--{name}", str(port))),
            *("--data-dir", str(directory)),
            # It ends with us however we end, because then its input ends.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
            env=environment | {"PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"},
        )
        if process.stdout is None:
            message = "a process was started without its output"
            raise RuntimeError(message)
        line = await process.stdout.readline()
        if not line:
            message = f"the stand-in of {system} ended with code {await process.wait()}"
            raise RuntimeError(message)
        ready = json.loads(line)
        _keep_ports(directory, ready)
        base = f"http://{ready['sql']}" if "sql" in ready else ready["url"]
        details = {"baseUrl": base, "control": ready["url"]}
        details |= {name: value for name, value in ready.items() if name not in {"event", "url", "sql"}}
        self._running[system] = (process, details)
        return details


def _interpreter(environment: str) -> Path:
    return _ROOT / environment / "bin" / "python"


def _known_ports(directory: Path) -> dict[str, int]:
    """Return the ports of the process before: whoever knows its addresses finds the next one there."""
    file = directory / "ports.json"
    found: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    return found


def _keep_ports(directory: Path, ready: Mapping[str, Any]) -> None:
    found = {"port": urlsplit(ready["url"]).port}
    for name in ("sql", "s3", "blob"):
        if name in ready:
            found[f"{name}-port"] = urlsplit(f"//{str(ready[name]).rpartition('//')[2]}").port
    (directory / "ports.json").write_text(json.dumps(found))
