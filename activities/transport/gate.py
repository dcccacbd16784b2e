"""A CONNECT proxy of this process, for an SDK that opens its own sockets and can be given a proxy.

The SDK's TLS runs through it untouched, so the name it verifies is the vendor's; only the address is judged here.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector
from socketserver import StreamRequestHandler, ThreadingTCPServer

from activities.ports.outbound import OutboundRules
from activities.transport.outbound import dial_blocking, is_among, parse, refused
from contracts.errors import WedSyncError

_USER = "wedsync"
_CONNECT_TIMEOUT_S = 10.0
_IDLE_S = 600.0
_CLOSES_WITHIN_S = 0.1
_CHUNK = 64 * 1024
_LONGEST_LINE = 4_096
_MOST_HEADERS = 50


class Gate:
    """Listens on loopback until `close`; a random password keeps other programs of the machine out.

    Args:
        rules: the operator's part of the outbound policy.
        hosts: the hosts it connects to, by name or as `*.` before one.
        ports: the ports it connects to.
        system: the platform, in errors.
    """

    def __init__(self, rules: OutboundRules, hosts: tuple[str, ...], ports: tuple[int, ...], system: str) -> None:
        self._rules, self._hosts, self._ports, self._system = rules, hosts, ports, system
        self._refusal: WedSyncError | None = None
        self._password = secrets.token_urlsafe(24)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.gate = self
        threading.Thread(
            target=self._server.serve_forever, args=(_CLOSES_WITHIN_S,), name=f"gate-{system}", daemon=True
        ).start()

    def settings(self) -> Mapping[str, str | int]:
        """Return host, port, user and password of this proxy."""
        return {
            "host": "127.0.0.1",
            "port": int(self._server.server_address[1]),
            "user": _USER,
            "password": self._password,
        }

    def admit(self, hosts: tuple[str, ...]) -> None:
        """Connect to these hosts as well from here on."""
        self._hosts += hosts

    def refusal(self) -> WedSyncError | None:
        """Return the policy's refusal since the last question, which an SDK shows as a proxy that fails."""
        found, self._refusal = self._refusal, None
        return found

    def admits(self, header: str) -> bool:
        """Return whether a Proxy-Authorization header has the password."""
        expected = base64.b64encode(f"{_USER}:{self._password}".encode()).decode()
        return hmac.compare_digest(header.encode(), f"Basic {expected}".encode())

    def open(self, authority: str) -> socket.socket:
        """Return a socket to a judged address of `host:port`.

        Raises:
            InvalidInput: `url_not_allowed`.
            OSError: nobody answers there.
        """
        try:
            target = parse(f"https://{authority}", self._system)
            if not is_among(target.host, self._hosts) or target.port not in self._ports:
                raise refused("host_not_vendors", "it leads to a host or port that is not the vendor's", self._system)
            return dial_blocking(target.host, target.port, self._rules, _CONNECT_TIMEOUT_S)
        except WedSyncError as error:
            self._refusal = error
            raise

    def close(self) -> None:
        """Stop listening; what runs through it ends with its SDK's sockets."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    gate: Gate


class _Handler(StreamRequestHandler):
    timeout = _CONNECT_TIMEOUT_S
    server: _Server

    def handle(self) -> None:
        with suppress(OSError):
            method, _, rest = self._line().partition(" ")
            authority = rest.partition(" ")[0]
            headers = self._headers()
            gate = self.server.gate
            if not gate.admits(headers.get("proxy-authorization", "")):
                self._answer("407 Proxy Authentication Required")
            elif method != "CONNECT":
                self._answer("405 Method Not Allowed")
            else:
                self._tunnel(gate, authority)

    def _tunnel(self, gate: Gate, authority: str) -> None:
        try:
            there = gate.open(authority)
        except WedSyncError:
            self._answer("403 Forbidden")
        except OSError:
            self._answer("502 Bad Gateway")
        else:
            with there:
                self._answer("200 Connection established")
                _relay(self.connection, there)

    def _line(self) -> str:
        return self.rfile.readline(_LONGEST_LINE).decode("latin-1").strip()

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for _ in range(_MOST_HEADERS):
            name, colon, value = self._line().partition(":")
            if not colon:
                break
            found[name.lower()] = value.strip()
        return found

    def _answer(self, status: str) -> None:
        self.wfile.write(f"HTTP/1.1 {status}\r\n\r\n".encode())


def _relay(one: socket.socket, other: socket.socket) -> None:
    with DefaultSelector() as waiting:
        for end, opposite in ((one, other), (other, one)):
            end.settimeout(_IDLE_S)
            waiting.register(end, EVENT_READ, opposite)
        while ready := waiting.select(_IDLE_S):
            for key, _ in ready:
                piece = key.fileobj.recv(_CHUNK)  # type: ignore[union-attr]
                if not piece:
                    return
                key.data.sendall(piece)
