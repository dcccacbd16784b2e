"""What this installation lets its connectors reach."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

Resolver = Callable[[str, int], Sequence[str]]
"""Host and port -> every address the name has, as text; raises `socket.gaierror` where it has none."""


def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return every address of a host as the machine resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True)
class OutboundRules:
    """The operator's part of the outbound policy; without it, only public addresses are reached, by https."""

    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Private ranges that are open, for systems that stand on the operator's premises."""
    development: bool = False
    """Whether this machine's own loopback is reached, http included: where the vendors' stand-ins listen."""
    ca_file: Path | None = None
    """Certificate authorities trusted beside the machine's own, as PEM."""
    resolve: Resolver = field(default=system_resolver, compare=False)


PUBLIC_ONLY = OutboundRules()
