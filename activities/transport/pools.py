"""The outbound policy for SDKs on urllib3 or requests: judged addresses, bounded answers, no redirects.

An SDK that takes a Session:

    session = outbound_session(connection, system="vendor", limits=Limits(total_s=60.0))
    client = VendorSdk(base_url=connection.base_url, session=session)

An SDK that has a PoolManager: `guard(manager, connection, limits)`.

What comes out of a call besides the SDK's own exceptions: `WedSyncError` (`url_not_allowed`, `unexpected_redirect`)
passes through as it is; `AnswerTooLargeError` becomes `bounds.too_large`; of the rest, ask `tls.tls_error` first.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse as PlainResponse
from typing import Any

from requests import Response, Session  # noqa: TID251 - the transport that SDKs of vendors take
from requests.adapters import HTTPAdapter  # noqa: TID251
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.response import HTTPResponse

from activities.ports.connection import Connection
from activities.ports.outbound import OutboundRules
from activities.transport.addresses import is_loopback
from activities.transport.bounds import AnswerTooLargeError, Limits
from activities.transport.outbound import dial_blocking, refused
from activities.transport.tls import tls_context
from contracts.errors import Permanent

_CHUNK = 64 * 1024


def unexpected_redirect(system: str) -> Permanent:
    """Return the error for an answer that sends us elsewhere; the credential stays here."""
    return Permanent(
        "unexpected_redirect",
        f"{system} answered with a redirect, which is not followed.",
        action="Check connectionConfig.baseUrl against the vendor's document.",
        system=system,
    )


def pool_classes(rules: OutboundRules, limits: Limits) -> dict[str, type[HTTPConnectionPool]]:
    """Return what a PoolManager takes as `pool_classes_by_scheme`."""
    guarded = {"_rules": rules, "_limits": limits, "response_class": _timed(limits.total_s)}
    plain = type("GuardedHttp", (_Guarded, HTTPConnection), guarded)
    tls = type("GuardedHttps", (_Guarded, HTTPSConnection), guarded | {"_encrypted": True})
    return {
        "http": type("GuardedHttpPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("GuardedHttpsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
    }


def guard(manager: PoolManager, connection: Connection, limits: Limits) -> None:
    """Put an SDK's own PoolManager, which has opened nothing yet, under the policy."""
    manager.pool_classes_by_scheme = pool_classes(connection.outbound, limits)
    manager.connection_pool_kw["ssl_context"] = tls_context(connection)


def outbound_session(connection: Connection, *, system: str, limits: Limits) -> Session:
    """Return a requests Session under the policy; whoever made it closes it.

    Args:
        connection: gives the rules and the lowest TLS version.
        system: the vendor's name in errors.
        limits: bounds of every answer.
    """
    session = _Session()
    session.system = system
    session.trust_env = False
    adapter = _Adapter(connection, limits)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    return session


class _Session(Session):
    system = ""

    def get_redirect_target(self, resp: Response) -> str | None:
        """Refuse where the library would follow."""
        if super().get_redirect_target(resp) is not None:
            resp.close()
            raise unexpected_redirect(self.system)
        return None


class _Adapter(HTTPAdapter):
    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._guarded = (connection, limits)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        guard(self.poolmanager, *self._guarded)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002
        """Leave trust to the connection's TLS context, whatever the session or the SDK asks for."""
        conn.cert_reqs = "CERT_REQUIRED"


class _Guarded:
    """The part of a connection that dials, and that hands out answers."""

    _rules: OutboundRules
    _limits: Limits
    _encrypted = False

    def _new_conn(self: Any) -> socket.socket:
        if not (self._encrypted or is_loopback(self._dns_host)):
            raise refused("scheme", "it is not encrypted")
        try:
            connected = dial_blocking(self._dns_host, self.port, self._rules, self.timeout)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no address answered in time") from error
        except OSError as error:
            raise NewConnectionError(self, "no address answered") from error
        return connected

    def getresponse(self: Any) -> HTTPResponse:
        answer = super().getresponse()  # type: ignore[misc]
        # urllib3 names the class of its answers in the middle of this method, and offers no other place to choose it.
        answer.__class__ = _Bounded
        answer.left = self._limits.max_bytes
        return answer


class _Bounded(HTTPResponse):  # type: ignore[misc]
    """An answer that stops being read at its limit, counted unpacked."""

    left = 0
    _body: Any

    def read(self, amt: int | None = None, decode_content: bool | None = None, cache_content: bool = False) -> bytes:  # noqa: FBT001, FBT002 - the library's signature
        if amt is not None:
            return self._counted(super().read(amt, decode_content))
        if self._body:
            return bytes(self._body)
        whole = bytearray()
        while piece := super().read(_CHUNK, decode_content):
            whole += self._counted(piece)
        if cache_content:
            self._body = bytes(whole)
        return bytes(whole)

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:  # noqa: FBT001 - the library's signature
        for piece in super().read_chunked(amt or _CHUNK, decode_content):
            yield self._counted(piece)

    def _counted(self, piece: bytes) -> bytes:
        self.left -= len(piece)
        if self.left < 0:
            self.close()
            raise AnswerTooLargeError
        return piece


def _timed(total_s: float) -> type[PlainResponse]:
    """Return the class of raw answers that end `total_s` after they began, however slowly they drip."""

    class Timed(PlainResponse):
        def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
            super().__init__(sock, *args, **options)
            self.fp.close()
            self.fp = io.BufferedReader(_Deadline(sock, time.monotonic() + total_s), _CHUNK)

    return Timed


class _Deadline(io.RawIOBase):
    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock, self._until, self._patience_s = sock, until, sock.gettimeout()
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(left if self._patience_s is None else min(left, self._patience_s))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
