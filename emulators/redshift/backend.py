"""One connection to the PostgreSQL under the gate."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable

from emulators.redshift import wire
from emulators.redshift.wire import Message


class BackendError(Exception):
    """PostgreSQL refused a statement of the stand-in's own."""


class Backend:
    """A session, opened by `connect`, that answers group by group."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.greeting: list[Message] = []
        self.status = b"I"
        """Of the transaction: I for none, T for an open one, E for one that an error has ended."""

    @classmethod
    async def connect(cls, socket: str, user: str, database: str) -> Backend:
        """Log in without a password, which the Unix socket does not ask for.

        Raises:
            BackendError: the database does not exist, or does not admit the user.
        """
        reader, writer = await asyncio.open_unix_connection(socket)
        backend = cls(reader, writer)
        writer.write(wire.startup(user=user, database=database, client_encoding="UTF8"))
        async for message in backend.answers():
            if message.kind == b"E":
                fields = wire.fields_of(message.body)
                backend.close()
                raise BackendError(fields.get("C", ""), fields.get("M", ""))
            backend.greeting.append(message)
        return backend

    async def send(self, messages: Iterable[Message]) -> None:
        """Write messages, waiting where PostgreSQL reads slowly."""
        self._writer.write(b"".join(message.encode() for message in messages))
        await self._writer.drain()

    async def answers(self) -> AsyncIterator[Message]:
        """What comes until PostgreSQL is ready again, or asks for the rows of a COPY; that message included."""
        while True:
            message = await wire.read(self._reader)
            if message.kind == b"Z":
                self.status = message.body
            yield message
            if message.kind in {b"Z", b"G"}:
                return

    async def ask(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of a query of the stand-in's own.

        Raises:
            BackendError: SQLSTATE and message.
        """
        await self.send([wire.query(sql)])
        rows: list[tuple[str | None, ...]] = []
        failure: dict[str, str] | None = None
        async for message in self.answers():
            if message.kind == b"E":
                failure = wire.fields_of(message.body)
            elif message.kind == b"D":
                rows.append(_row(message.body))
        if failure is not None:
            raise BackendError(failure.get("C", ""), failure.get("M", ""))
        return rows

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        self._writer.close()


def _row(body: bytes) -> tuple[str | None, ...]:
    (count,) = struct.unpack_from("!h", body)
    at, values = 2, []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode())
        at += max(length, 0)
    return tuple(values)
