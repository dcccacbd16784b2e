"""The outbound policy for SDKs on aiohttp: judged addresses, bounded answers, no redirects."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any, NoReturn

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from activities.ports.connection import Connection
from activities.ports.outbound import OutboundRules
from activities.transport.bounds import AnswerTooLargeError, Limits
from activities.transport.outbound import judged_addresses, judged_addresses_async, parse
from activities.transport.pools import unexpected_redirect
from activities.transport.tls import tls_context

_CONNECT_TIMEOUT_S = 10.0


def open_session(connection: Connection, *, system: str, limits: Limits) -> aiohttp.ClientSession:
    """Return an aiohttp session under the policy; whoever made it closes it.

    Args:
        connection: gives the rules and the lowest TLS version.
        system: the vendor's name in errors.
        limits: bounds of every answer.

    Raises:
        InvalidInput: `url_not_allowed`, the connection leads to a written address that is not public.
    """
    _judge_literal(connection)

    async def refuse_redirect(*_: object) -> NoReturn:
        raise unexpected_redirect(system)

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse_redirect)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=_Judging(connection.outbound), use_dns_cache=False, ssl=tls_context(connection)
        ),
        timeout=aiohttp.ClientTimeout(total=limits.total_s, sock_connect=_CONNECT_TIMEOUT_S),
        response_class=type("BoundedAnswer", (_Bounded,), {"max_bytes": limits.max_bytes}),
        trace_configs=[trace],
        trust_env=False,
    )


def _judge_literal(connection: Connection) -> None:
    """Judge an address that is written out, because aiohttp resolves names only."""
    target = parse(connection.base_url, connection.platform)
    try:
        ip_address(target.host)
    except ValueError:
        return
    judged_addresses(target.host, target.port, connection.outbound, connection.platform)


class _Judging(AbstractResolver):  # type: ignore[misc]
    def __init__(self, rules: OutboundRules) -> None:
        self._rules = rules

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the judged addresses of a host, of whichever family they are."""
        del family
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await judged_addresses_async(host, port, self._rules)
        ]

    async def close(self) -> None:
        """Release nothing."""


class _Bounded(aiohttp.ClientResponse):  # type: ignore[misc]
    """An answer that stops being read at its limit, counted unpacked."""

    max_bytes = 0
    _body: Any

    async def read(self) -> Any:
        """Return the body.

        Raises:
            AnswerTooLargeError: it is longer than `max_bytes`.
        """
        if self._body is None:
            whole = bytearray()
            async for piece in self.content.iter_any():
                whole += piece
                if len(whole) > self.max_bytes:
                    self.close()
                    raise AnswerTooLargeError
            self._body = bytes(whole)
        return await super().read()
