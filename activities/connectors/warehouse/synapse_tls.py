"""TDS 7.4 under our own TLS: the handshake that the driver would make with a library of its own.

The driver is told that there is no encryption; it never learns that everything it writes is encrypted.

Source: [MS-TDS], section 2.2.6.5 (PRELOGIN and its option ENCRYPTION) and 3.2.5.1 (the handshake travels in packets).
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress

_PRELOGIN = 0x12
_ENCRYPTION, _END_OF_OPTIONS = 0x01, 0xFF
_ON, _NOT_SUPPORTED, _REQUIRED = 1, 2, 3
_END_OF_MESSAGE = 0x01
_HEADER = 8
_CHUNK = 64 * 1024


class NoTlsError(Exception):
    """The server offers no encryption."""


class SecuredSocket:
    """What the driver takes for a plain socket.

    Args:
        plain: connected to the server, with its time-out set.
        context: verifies the server.
        host: the name its certificate has to have.

    Raises:
        NoTlsError: the server does not encrypt.
        OSError: it does not answer, or it is not trusted.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._plain = plain
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._greeting = bytearray(self._asked())
        self._has_greeted = False
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self._shake_hands()

    def sendall(self, data: bytes, _flags: int = 0) -> None:
        """Send encrypted; the driver's own greeting stays here."""
        if not self._has_greeted:
            self._has_greeted = True
            return
        self._tls.write(bytes(data))
        self._plain.sendall(self._out.read())

    def recv(self, size: int, _flags: int = 0) -> bytes:
        """Return decrypted bytes, none at the end; first of all the server's greeting."""
        if self._greeting:
            piece = bytes(self._greeting[:size])
            del self._greeting[:size]
            return piece
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                arrived = self._plain.recv(_CHUNK)
                if not arrived:
                    return b""
                self._in.write(arrived)
            except ssl.SSLZeroReturnError:
                return b""

    def recv_into(self, buffer: bytearray | memoryview, size: int = 0, _flags: int = 0) -> int:
        """Do as `recv` does, into a buffer."""
        piece = self.recv(size or len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def settimeout(self, seconds: float | None) -> None:
        """Wait no longer than this for one read or write."""
        self._plain.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """Return how long a read or write may take."""
        return self._plain.gettimeout()

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self._plain.close()

    def _asked(self) -> bytes:
        """Ask for encryption, and return the server's answer as a server without it would have sent it."""
        options = [(0, bytes(6)), (_ENCRYPTION, bytes([_ON])), (2, b"\0"), (3, bytes(4)), (4, b"\0")]
        at, head, body = 5 * len(options) + 1, b"", b""
        for token, value in options:
            head += struct.pack("!BHH", token, at + len(body), len(value))
            body += value
        self._send_packet(head + bytes([_END_OF_OPTIONS]) + body)
        answer = bytearray(self._packet())
        place = _encryption(answer)
        if answer[place] not in {_ON, _REQUIRED}:
            raise NoTlsError
        answer[place] = _NOT_SUPPORTED
        return _packed(0x04, bytes(answer))

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send_packet(self._out.read())
                self._in.write(self._packet())
            else:
                if self._out.pending:
                    self._send_packet(self._out.read())
                return

    def _send_packet(self, payload: bytes) -> None:
        if payload:
            self._plain.sendall(_packed(_PRELOGIN, payload))

    def _packet(self) -> bytes:
        payload = b""
        while True:
            _, status, length, *_ = struct.unpack("!BBHHBB", self._exactly(_HEADER))
            payload += self._exactly(length - _HEADER)
            if status & _END_OF_MESSAGE:
                return payload

    def _exactly(self, count: int) -> bytes:
        whole = b""
        while len(whole) < count:
            piece = self._plain.recv(count - len(whole))
            if not piece:
                raise ConnectionResetError("the server hung up")
            whole += piece
        return whole


def _encryption(answer: bytes | bytearray) -> int:
    """Return where the option ENCRYPTION has its value."""
    at = 0
    while at + 5 <= len(answer) and answer[at] != _END_OF_OPTIONS:
        token, offset, length = struct.unpack_from("!BHH", answer, at)
        if token == _ENCRYPTION and length and offset < len(answer):
            return int(offset)
        at += 5
    raise NoTlsError


def _packed(kind: int, payload: bytes) -> bytes:
    return struct.pack("!BBHHBB", kind, _END_OF_MESSAGE, len(payload) + _HEADER, 0, 1, 0) + payload
