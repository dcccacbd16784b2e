"""Ports of the stack, kept for the life of a data directory."""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path

from contracts.errors import InvalidInput, Owner, Permanent
from starters.private_files import write_private

PORTS_FILE = "ports.json"
_BELOW_EPHEMERAL = range(18_000, 32_000)
"""Outgoing connections take their ports above; a part that restarts must find its own free."""
_TRIES = 200


def choose_ports(data_dir: Path, wanted: dict[str, int]) -> dict[str, int]:
    """Return a port per part: the wanted one, else the one it had before, else any free one.

    Args:
        data_dir: remembers the choice.
        wanted: part -> port, 0 for any.

    Raises:
        InvalidInput: a wanted port is taken.
    """
    before = _remembered(data_dir)
    chosen: dict[str, int] = {}
    for name, port in wanted.items():
        if port and not is_free(port):
            raise InvalidInput(
                "port_taken",
                f"Port {port} for {name} is in use.",
                owner=Owner.OPERATOR,
                action="Stop what listens there, or choose port 0 for any free one.",
            )
        chosen[name] = port or _any(before.get(name, 0), set(chosen.values()) | set(wanted.values()))
    write_private(data_dir / PORTS_FILE, json.dumps(chosen))
    return chosen


def is_free(port: int) -> bool:
    """Whether nothing listens on this loopback port."""
    with socket.socket() as probe:
        # Without it a port stays taken for a minute after the connections of an earlier stack.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any(before: int, taken: set[int]) -> int:
    for port in (before, *random.sample(_BELOW_EPHEMERAL, _TRIES)):
        if port and port not in taken and is_free(port):
            return port
    raise Permanent(
        "no_free_port",
        "No free loopback port was found.",
        owner=Owner.OPERATOR,
        action="Name free ones with the --*-port options.",
    )


def _remembered(data_dir: Path) -> dict[str, int]:
    try:
        found = json.loads((data_dir / PORTS_FILE).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: port for name, port in found.items() if isinstance(port, int)}
