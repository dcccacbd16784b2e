"""Messages of PostgreSQL's wire protocol 3.0, which Redshift speaks too.

Source: PostgreSQL documentation, "Frontend/Backend Protocol", message formats.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

STARTUP, SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 196_608, 80_877_103, 80_877_104, 80_877_102
_LARGEST_STARTUP = 10_000


@dataclass(frozen=True)
class Message:
    """One message: the byte that names it, and what follows its length."""

    kind: bytes
    body: bytes = b""

    def encode(self) -> bytes:
        """As it goes over the wire."""
        return self.kind + struct.pack("!i", len(self.body) + 4) + self.body


async def read_startup(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The code and the rest of a first packet, which has no kind.

    Raises:
        ConnectionError: it is no startup packet.
    """
    length, code = struct.unpack("!ii", await reader.readexactly(8))
    if not 8 <= length <= _LARGEST_STARTUP:
        message = "not a startup packet"
        raise ConnectionError(message)
    return code, await reader.readexactly(length - 8)


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message."""
    kind = await reader.readexactly(1)
    (length,) = struct.unpack("!i", await reader.readexactly(4))
    return Message(kind, await reader.readexactly(length - 4))


def startup(**parameters: str) -> bytes:
    """A startup packet."""
    body = b"".join(text(one) for pair in parameters.items() for one in pair) + b"\0"
    return struct.pack("!ii", len(body) + 8, STARTUP) + body


def text(value: str) -> bytes:
    """A string as messages hold it."""
    return value.encode() + b"\0"


def split(body: bytes, count: int) -> list[bytes]:
    """The first `count` strings of a body, then the rest."""
    return body.split(b"\0", count)


def query(sql: str) -> Message:
    """A simple query."""
    return Message(b"Q", text(sql))


def error(state: str, message: str) -> Message:
    """An ErrorResponse."""
    fields = {"S": "ERROR", "V": "ERROR", "C": state, "M": message}
    return Message(b"E", b"".join(key.encode() + text(value) for key, value in fields.items()) + b"\0")


def fields_of(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse."""
    return {one[:1].decode(): one[1:].decode(errors="replace") for one in body.split(b"\0") if one}


PARSE_COMPLETE = Message(b"1")
BIND_COMPLETE = Message(b"2")
NO_DATA = Message(b"n")
NO_PARAMETERS = Message(b"t", b"\0\0")
