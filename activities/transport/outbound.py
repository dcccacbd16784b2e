"""The outbound policy: which addresses a connector may be pointed at, at the door as in the worker.

A URL is read once, by one strict grammar; what it does not write in its one canonical form is refused. The host is
then resolved here, every address it has is judged, and connections go to a judged address and nowhere else:

    httpx       `client.open_client`, a network backend that dials judged addresses
    urllib3     `pools.guard(manager, connection, limits)`, for an SDK that has a PoolManager
    requests    `pools.outbound_session(connection, system=..., limits=...)`, a Session for an SDK that takes one
    aiohttp     `aio.open_session`, a connector whose resolver answers with judged addresses
    SMTP        `dial`, a connected socket for an SDK that takes one
    PostgreSQL  `judged_addresses_async`, for a driver that is given addresses, and `tls.named_context`
    native      `gate.Gate`, a CONNECT proxy of this process for an SDK that opens its own sockets

All of them leave the name to TLS and read no proxy from the environment; those of HTTP follow no redirect and bound the
answer. What each cannot do stands in decisions/0005.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from activities.ports.manifest import Manifest
from activities.ports.outbound import OutboundRules
from activities.transport.addresses import is_loopback, may_reach
from contracts.errors import InvalidInput

_PLAIN = {"https": "http"}
_DEFAULT_PORTS = {"https": 443, "http": 80, "smtps": 465, "smtp": 587, "postgresql": 5432}
_WRITTEN_PORTS = ("smtp", "smtps")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#\\\s]*)(?P<path>/[!-~]*)?", re.ASCII)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[1-9][0-9]{0,4}))?", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_IN_PATH = re.compile(r"[?#\\]|//|/\.")
_LONGEST_NAME = 253
_LAST_PORT = 65_535


@dataclass(frozen=True)
class Target:
    """A vetted URL in its parts; an IPv6 `host` has no brackets."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def url(self) -> str:
        """The URL in its one canonical form, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _DEFAULT_PORTS.get(self.scheme) and self.scheme not in _WRITTEN_PORTS
        port = "" if usual else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}".rstrip("/")


def refused(reason: str, why: str, system: str = "") -> InvalidInput:
    """Return the error for an address that the policy does not allow; it never repeats the address.

    Args:
        reason: the rule that was broken, as one word for machines.
        why: the same as the end of a sentence.
        system: the platform.
    """
    return InvalidInput(
        "url_not_allowed",
        f"The address of this {f'{system} ' if system else ''}connection is not allowed: {why}.",
        action="Correct connectionConfig, or ask the operator to open the address if it is on their own premises.",
        system=system,
        evidence={"reason": reason},
    )


def vet(url: str, manifest: Manifest, rules: OutboundRules) -> Target:
    """Return the parts of a connection's URL when the policy allows it; no I/O, so names are not resolved here.

    Args:
        url: as the tenant or the manifest wrote it.
        manifest: says which hosts, schemes and ports are the vendor's.
        rules: the operator's part of the policy.

    Raises:
        InvalidInput: `url_not_allowed`, with the broken rule as `reason` in the evidence.
    """
    system = manifest.system
    target = parse(url, system)
    here = is_loopback(target.host)
    plain = tuple(_PLAIN[scheme] for scheme in manifest.schemes if scheme in _PLAIN)
    if target.path and target.scheme in _WRITTEN_PORTS:
        raise refused("path", "a mail server's address has no path", system)
    if here and not rules.development:
        raise refused("address_not_public", "it leads to this machine", system)
    if target.scheme not in (manifest.schemes + plain if here else manifest.schemes):
        raise refused("scheme", f"it has to begin with {' or '.join(f'{one}://' for one in manifest.schemes)}", system)
    if here:
        return target
    if target.port not in manifest.ports:
        ports = ", ".join(str(port) for port in manifest.ports)
        raise refused("port", f"its port is none of {ports}", system)
    if not manifest.free_hosts and not is_among(target.host, _vendors(manifest)):
        raise refused("host_not_vendors", f"its host is not one of {manifest.title}", system)
    if _is_literal(target.host) and not may_reach(target.host, rules):
        raise refused("address_not_public", "it leads to no public address", system)
    return target


def parse(url: str, system: str = "") -> Target:
    """Return the parts of a URL that is written in its canonical form, and encrypted unless it leads to loopback.

    Raises:
        InvalidInput: `url_not_allowed`.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise refused("not_a_url", "it is not a plain URL of ASCII characters", system)
    scheme, authority, path = found["scheme"].lower(), found["authority"], found["path"] or ""
    if "@" in authority:
        raise refused("userinfo", "it names a user; credentials belong into connectionConfig.credential", system)
    if _IN_PATH.search(path):
        raise refused("path", "it has a query, a fragment or an unusual path", system)
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise refused("host_form", "its host or port is not written in the usual form", system)
    port = int(parts["port"]) if parts["port"] else _DEFAULT_PORTS.get(scheme, 0)
    if port > _LAST_PORT:
        raise refused("port", "there is no such port", system)
    host = _host(parts["host"].lower(), system)
    if scheme == "http" and not is_loopback(host):
        raise refused("scheme", "it is not encrypted", system)
    return Target(scheme, host, port, path.rstrip("/"))


def is_among(host: str, patterns: Sequence[str]) -> bool:
    """Return whether a host is one of `patterns`: a name, or `*.` before one for all below it."""
    return any(
        host.endswith(pattern[1:]) and len(host) >= len(pattern) if pattern.startswith("*.") else host == pattern
        for pattern in patterns
    )


def judged_addresses(host: str, port: int, rules: OutboundRules, system: str = "") -> Sequence[str]:
    """Resolve a host and return its addresses, refusing when any of them may not be reached. Blocks.

    Raises:
        InvalidInput: `url_not_allowed`.
        socket.gaierror: the name has no address.
    """
    addresses = rules.resolve(host, port)
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
    if not all(may_reach(address, rules) for address in addresses):
        raise refused("address_not_public", "its name leads to an address that is not public", system)
    return addresses


async def judged_addresses_async(host: str, port: int, rules: OutboundRules, system: str = "") -> Sequence[str]:
    """Do as `judged_addresses` does, without blocking the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, judged_addresses, host, port, rules, system)


def dial_blocking(host: str, port: int, rules: OutboundRules, timeout_s: float | None) -> socket.socket:
    """Return a socket connected to a judged address of a host, trying each within one time limit.

    Raises:
        InvalidInput: `url_not_allowed`.
        OSError: none of them answers.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    failure: OSError = TimeoutError("no time was left to connect")
    for address in judged_addresses(host, port, rules):
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            break
        try:
            connected = socket.create_connection((address, port), left)
        except OSError as error:
            failure = error
            continue
        with suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected
    raise failure


async def dial(host: str, port: int, rules: OutboundRules, timeout_s: float) -> socket.socket:
    """Do as `dial_blocking` does, without blocking the event loop; the socket does not block either."""
    loop = asyncio.get_running_loop()
    connected = await loop.run_in_executor(None, dial_blocking, host, port, rules, timeout_s)
    connected.setblocking(False)
    return connected


def _host(text: str, system: str) -> str:
    if text.startswith("["):
        with suppress(ValueError):
            if str(IPv6Address(text[1:-1])) == text[1:-1]:
                return text[1:-1]
        raise refused("host_form", "its IPv6 address is not written in its shortest form", system)
    if _is_literal(text) or text == "localhost":
        return text
    labels = text.split(".")
    named = len(text) <= _LONGEST_NAME and len(labels) > 1 and all(_LABEL.fullmatch(label) for label in labels)
    # A last label that begins with a digit is a number to some resolvers: decimal, octal or hexadecimal.
    if not named or labels[-1][0].isdigit():
        raise refused("host_form", "its host is neither a full name nor a plainly written address", system)
    return text


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _vendors(manifest: Manifest) -> Sequence[str]:
    return manifest.hosts or (parse(manifest.default_base_url).host,)
