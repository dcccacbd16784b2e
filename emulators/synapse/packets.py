"""Packets of the Tabular Data Stream protocol 7.4, and what a client sends in them.

Source: [MS-TDS], sections 2.2.3 (packets), 2.2.6.4 (LOGIN7), 2.2.6.5 (PRELOGIN), 2.2.6.6 (RPC), 2.2.6.9 (transactions).
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import Any

from emulators.synapse.values import Reader

SQL_BATCH, RPC, REPLY, ATTENTION, TRANSACTION, LOGIN7, PRELOGIN = 0x01, 0x03, 0x04, 0x06, 0x0E, 0x10, 0x12
SP_EXECUTESQL = 10
_END_OF_MESSAGE = 0x01
_PACKET_SIZE = 4_096
_ENCRYPTION_NOT_SUPPORTED = 2
_LOGIN_FIELDS = 36
_OBFUSCATION = 0xA5


@dataclass(frozen=True)
class Login:
    """Who logs in, and to which database."""

    user: str
    password: str
    database: str


@dataclass(frozen=True)
class Call:
    """A remote procedure call: its name or number, and its parameters by name."""

    procedure: str | int
    parameters: list[tuple[str, Any]]


async def read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next message, put together from its packets: its type and its payload."""
    payload = b""
    while True:
        kind, status, length, _, _, _ = struct.unpack("!BBHHBB", await reader.readexactly(8))
        payload += await reader.readexactly(length - 8)
        if status & _END_OF_MESSAGE:
            return kind, payload


def reply(payload: bytes) -> bytes:
    """A server's message, cut into packets."""
    room = _PACKET_SIZE - 8
    pieces = [payload[at : at + room] for at in range(0, len(payload), room)] or [b""]
    return b"".join(
        struct.pack("!BBHHBB", REPLY, _END_OF_MESSAGE if piece is pieces[-1] else 0, len(piece) + 8, 0, number % 256, 0)
        + piece
        for number, piece in enumerate(pieces, 1)
    )


def prelogin() -> bytes:
    """The answer to PRELOGIN: a version, no encryption, the default instance, no MARS."""
    options = [(0, bytes([12, 0, 0x07, 0xD0, 0, 0])), (1, bytes([_ENCRYPTION_NOT_SUPPORTED])), (2, b"\0"), (4, b"\0")]
    at = 5 * len(options) + 1
    head, body = b"", b""
    for token, value in options:
        head += struct.pack("!BHH", token, at + len(body), len(value))
        body += value
    return head + b"\xff" + body


def login(payload: bytes) -> Login:
    """Read a LOGIN7 message."""
    fields = struct.unpack_from("<18H", payload, _LOGIN_FIELDS)

    def text(index: int) -> bytes:
        start, length = fields[2 * index], fields[2 * index + 1]
        return payload[start : start + 2 * length]

    # The database follows host, user, password, application, server, extension, library and language.
    password = bytes(_swapped(byte ^ _OBFUSCATION) for byte in text(2)).decode("utf-16-le")
    return Login(text(1).decode("utf-16-le"), password, text(8).decode("utf-16-le"))


def _swapped(byte: int) -> int:
    return (byte >> 4) | ((byte & 0x0F) << 4)


def batch(payload: bytes) -> str:
    """The text of a SQL batch, whose headers are left out."""
    return payload[_headers(payload) :].decode("utf-16-le")


def call(payload: bytes) -> Call:
    """Read a remote procedure call.

    Raises:
        NotImplementedError: a parameter has a type that the stand-in does not read.
    """
    reader = Reader(payload, _headers(payload))
    length = reader.number(2)
    procedure: str | int = reader.number(2) if length == 0xFFFF else reader.take(2 * length).decode("utf-16-le")
    reader.take(2)
    parameters = []
    while not reader.is_at_end:
        name = reader.take(2 * reader.number(1)).decode("utf-16-le")
        reader.take(1)
        parameters.append((name.removeprefix("@"), reader.typed_value()))
    return Call(procedure, parameters)


def transaction(payload: bytes) -> str:
    """What a transaction manager request asks for, as the statement that does the same."""
    (kind,) = struct.unpack_from("<H", payload, _headers(payload))
    return {5: "BEGIN TRANSACTION", 7: "COMMIT TRANSACTION", 8: "ROLLBACK TRANSACTION"}[kind]


def begins_another(payload: bytes) -> bool:
    """Whether a commit or rollback request begins the next transaction at once, as drivers without autocommit ask."""
    at = _headers(payload)
    (kind,) = struct.unpack_from("<H", payload, at)
    if kind == 5:
        return False
    flags = at + 3 + payload[at + 2]
    return len(payload) > flags and bool(payload[flags] & 1)


def _headers(payload: bytes) -> int:
    return int(struct.unpack_from("<I", payload)[0])
