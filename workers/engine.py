"""The embedded Temporal server: a real one, on a SQLite file."""

from __future__ import annotations

import sys
from pathlib import Path

from contracts.errors import Owner, Permanent
from contracts.names import SearchAttribute

_DYNAMIC_CONFIG = {
    # Fairness keys are ignored without this.
    "matching.useNewMatcher": "true",
    "matching.enableFairness": "true",
    # The default of 20 per shard holds every dispatch for a 50 ms tick.
    "history.transferProcessorMaxPollRPS": "200",
    # The default of one second rounds short timers and retry delays up to it.
    "history.timerProcessorMaxTimeShift": '"1ms"',
    # One partition makes rate limits exact and shortens the tail.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    "frontend.namespaceRPS": "100000",
    "frontend.rps": "100000",
}


def binary(name: str) -> Path:
    """Return the path of an executable that the environment installs beside the interpreter.

    Raises:
        Permanent: it is not installed.
    """
    found = Path(sys.executable).parent / name
    if not found.exists():
        raise Permanent(
            "engine_missing",
            f"The program {name} is not installed beside this interpreter.",
            owner=Owner.OPERATOR,
            action="Run `make setup`.",
        )
    return found


def server_command(
    database: Path, *, port: int, ui_port: int, metrics_port: int, namespace: str = "default", codec_url: str = ""
) -> list[str]:
    """Return the command line of the embedded server.

    Args:
        database: the SQLite file; created when missing.
        port: of the gRPC frontend.
        ui_port: of the Web UI.
        metrics_port: of the server's Prometheus endpoint.
        namespace: created when missing.
        codec_url: where the Web UI's browser decodes payloads.
    """
    command = [str(binary("temporal")), "server", "start-dev", "--ip", "127.0.0.1", "--log-level", "error"]
    command += ["--port", str(port), "--ui-port", str(ui_port), "--metrics-port", str(metrics_port)]
    command += ["--ui-disable-news-fetch", "--namespace", namespace, "--db-filename", str(database)]
    command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]
    if codec_url:
        command += ["--ui-codec-endpoint", codec_url]
    for attribute in SearchAttribute:
        command += ["--search-attribute", f"{attribute}=Keyword"]
    return command + dynamic_config()


def dynamic_config() -> list[str]:
    """Return the server's settings as command line arguments."""
    return [part for key, value in _DYNAMIC_CONFIG.items() for part in ("--dynamic-config-value", f"{key}={value}")]
