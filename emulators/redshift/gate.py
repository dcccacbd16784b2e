"""The gate: one client's connection, judged, translated and passed on to the PostgreSQL below.

A group of messages, which ends with Sync or is one simple query, is answered before the next is read, as every driver
waits for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from emulators.redshift import wire
from emulators.redshift.backend import Backend, BackendError
from emulators.redshift.copying import Files
from emulators.redshift.dialect import Statement, translate
from emulators.redshift.loading import load
from emulators.redshift.refusals import Refusal
from emulators.redshift.system import USERS
from emulators.redshift.wire import Message
from emulators.warehouses.process import cut

if TYPE_CHECKING:
    from emulators.core import Emulator, Fault

_BEFORE = ("reset", "status", "hang", "rate_limit")
_STATES = {
    401: ("28000", "password authentication failed"),
    409: ("XX000", "1023"),
    429: ("53300", "too many connections"),
    503: ("57P03", "the cluster is being resumed"),
    507: ("53100", "Disk Full"),
}
_CHANGES = frozenset({"create", "drop", "alter", "insert", "update", "delete", "merge", "truncate", "copy"})
_ROWS = _CHANGES - {"create", "drop", "alter", "truncate"}
_READY_IN_TRANSACTION = Message(b"Z", b"T")
_CHUNK = 64 * 1024


class Gate:
    """One connection.

    Args:
        emulator: faults, ledger and request log.
        socket: where PostgreSQL listens.
        files: what a COPY reads.
    """

    def __init__(
        self,
        emulator: Emulator,
        socket: str,
        files: Files,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._emulator, self._socket, self._files = emulator, socket, files
        self._reader, self._writer = reader, writer
        self._backend: Backend | None = None
        self._statements: dict[bytes, Statement] = {}
        self._portals: dict[bytes, Statement] = {}
        self._pending: list[tuple[Statement, int | None]] = []

    async def serve(self) -> None:
        """Answer until the client leaves or a fault cuts the connection."""
        try:
            if await self._log_in():
                while (group := await self._group())[-1].kind != b"X":
                    if not await self._answer(group):
                        return
        finally:
            if self._backend is not None:
                self._backend.close()

    @property
    def _database(self) -> Backend:
        assert self._backend is not None  # noqa: S101 - opened by `_log_in`
        return self._backend

    async def _log_in(self) -> bool:
        code, body = await wire.read_startup(self._reader)
        while code in {wire.SSL_REQUEST, wire.GSS_REQUEST}:
            self._writer.write(b"N")
            code, body = await wire.read_startup(self._reader)
        if code == wire.CANCEL_REQUEST:
            await self._cancel(body)
            return False
        words = body.split(b"\0")
        parameters = dict(
            zip((one.decode() for one in words[::2]), (one.decode() for one in words[1::2]), strict=False)
        )
        user, database = parameters.get("user", ""), parameters.get("database", "")
        fault = self._emulator.faults.draw(_BEFORE, "LOGIN", (f"{user}@{database}",))
        if fault is not None and fault.kind != "status":
            cut(self._writer)
            return False
        if fault is not None or not await self._knows(user):
            state, problem = _STATES[401] if fault is None else _STATES.get(fault.status, _STATES[503])
            return await self._turn_away(user, state, f'{problem} for user "{user}"' if state == "28000" else problem)
        try:
            self._backend = await Backend.connect(self._socket, user, database)
        except BackendError as error:
            return await self._turn_away(user, *error.args)
        self._log("LOGIN", user, 200)
        await self._send([Message(b"R", b"\0\0\0\0"), *(one for one in self._database.greeting if one.kind != b"R")])
        return True

    async def _turn_away(self, user: str, state: str, problem: str) -> bool:
        self._log("LOGIN", user, 401)
        await self._send([wire.error(state, problem)])
        return False

    async def _knows(self, user: str) -> bool:
        salt = os.urandom(4)
        await self._send([Message(b"R", b"\0\0\0\x05" + salt)])
        given = (await wire.read(self._reader)).body.rstrip(b"\0")
        inner = hashlib.md5((user + user).encode(), usedforsecurity=False).hexdigest()
        expected = hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest()
        return user in USERS and given == b"md5" + expected.encode()

    async def _cancel(self, body: bytes) -> None:
        _, writer = await asyncio.open_unix_connection(self._socket)
        writer.write(b"\0\0\0\x10" + wire.CANCEL_REQUEST.to_bytes(4, "big") + body)
        await writer.drain()
        writer.close()

    async def _group(self) -> list[Message]:
        group: list[Message] = []
        while not group or group[-1].kind not in {b"S", b"Q", b"X"}:
            group.append(await wire.read(self._reader))
        return group

    async def _answer(self, group: list[Message]) -> bool:
        """Answer one group; False when the connection has been cut."""
        try:
            translated, executed = self._read(group)
        except Refusal as refusal:
            await self._refuse(refusal)
            return True
        if executed is None:
            await self._pass(translated, None)
            return True
        number = self._emulator.open_request("SQL", executed.redacted, "")
        status = await self._execute(translated, executed)
        self._emulator.close_request(number, status, executed.verb)
        return status != 0

    async def _execute(self, group: Sequence[Message], executed: Statement) -> int:
        """Run a statement with the faults that apply to it; 0 when the connection has been cut."""
        book = self._emulator.faults
        slow = book.draw(("latency",), "SQL", (executed.text,))
        if slow is not None:
            await asyncio.sleep(1.0 if slow.delay_s is None else slow.delay_s)
        fault = book.draw((*_BEFORE, "drop_after_effect"), "SQL", (executed.text,))
        if fault is not None and fault.kind != "drop_after_effect":
            return await self._act(fault)
        return await self._pass(group, executed, is_lost=fault is not None)

    async def _act(self, fault: Fault) -> int:
        if fault.kind in {"status", "rate_limit"}:
            await self._refuse(Refusal(*_STATES.get(fault.status, _STATES[503])))
            return fault.status
        if fault.kind == "hang":
            while await self._reader.read(_CHUNK):
                pass
        cut(self._writer)
        return 0

    def _read(self, group: list[Message]) -> tuple[list[Message], Statement | None]:
        """Translate the statements of a group, and say which of them it executes."""
        executed: Statement | None = None
        translated: list[Message] = []
        for message in group:
            passed = message
            if message.kind == b"Q":
                executed = _only(message.body[:-1].decode())
                passed = wire.query(executed.postgres)
            elif message.kind == b"P":
                name, sql, rest = wire.split(message.body, 2)
                statement = self._statements[name] = _only(sql.decode())
                passed = Message(b"P", name + b"\0" + wire.text(statement.postgres) + rest)
            elif message.kind == b"B":
                portal, name, _ = wire.split(message.body, 2)
                if name in self._statements:
                    self._portals[portal] = self._statements[name]
            elif message.kind == b"E":
                executed = self._portals.get(message.body.split(b"\0")[0], executed)
            translated.append(passed)
        return translated, executed

    async def _refuse(self, refusal: Refusal) -> None:
        """Let PostgreSQL raise the error, so that it ends the transaction as every other error does."""
        problem = refusal.message.replace("'", "''")
        await self._database.send([wire.query(f"SELECT standin_refuse('{refusal.state}', '{problem}')")])
        await self._relay(skipped=b"TDC")

    async def _pass(self, group: Sequence[Message], executed: Statement | None, *, is_lost: bool = False) -> int:
        """Let PostgreSQL answer; 200, 400 for an error, 0 when the answer was lost on purpose."""
        if executed is not None and executed.needs_figures and self._database.status == b"I":
            # PostgreSQL gathers them once a second; who asks here has just changed something.
            await self._database.ask("SELECT pg_stat_force_next_flush()")
        copies = executed if executed is not None and executed.is_copy else self._described_copy(group)
        before = self._database.status
        if copies is not None:
            outcome = await self._copy(group, copies if executed is not None else None, is_lost=is_lost)
        else:
            await self._database.send(group)
            outcome = await self._relay(executed, is_lost=is_lost)
        if executed is not None:
            self._account(executed, outcome, before)
        if is_lost:
            cut(self._writer)
            return 0
        return 400 if outcome is None else 200

    def _described_copy(self, group: Sequence[Message]) -> Statement | None:
        names = [one.body.split(b"\0")[0] for one in group if one.kind == b"P"]
        found = [self._statements[name] for name in names if self._statements[name].is_copy]
        return found[0] if found else None

    async def _relay(
        self, executed: Statement | None = None, *, is_lost: bool = False, skipped: bytes = b""
    ) -> str | None:
        """Pass PostgreSQL's answers on; returns the command's tag, empty without one, None after an error."""
        tag: str | None = ""
        async for message in self._database.answers():
            passed = message
            if message.kind == b"E":
                tag, passed = None, _as_redshift(message)
            elif message.kind == b"N" and b"skipping" in message.body:
                tag = "skipped"
            elif message.kind == b"C" and tag is not None:
                tag = tag or message.body[:-1].decode()
                passed = Message(b"C", wire.text(_shown(message.body[:-1].decode())))
            elif message == _READY_IN_TRANSACTION and executed is not None and executed.verb == "truncate":
                await self._database.ask("COMMIT")
                passed = Message(b"Z", b"I")
            if not is_lost and passed.kind not in skipped:
                await self._send([passed])
        return tag

    async def _copy(self, group: Sequence[Message], executed: Statement | None, *, is_lost: bool) -> str | None:
        """Answer the messages of a COPY, and run it when this group executes it."""
        answers: list[Message] = []
        for message in group:
            if message.kind == b"P":
                answers.append(wire.PARSE_COMPLETE)
            elif message.kind == b"B":
                answers.append(wire.BIND_COMPLETE)
            elif message.kind == b"D":
                answers += [wire.NO_PARAMETERS, wire.NO_DATA] if message.body[:1] == b"S" else [wire.NO_DATA]
        outcome: str | None = ""
        if executed is not None:
            try:
                rows = await load(self._database, self._files, executed.text)
            except Refusal as refusal:
                await self._refuse(refusal)
                return None
            outcome = f"COPY {rows}"
            answers.append(Message(b"C", wire.text(outcome)))
        if not is_lost:
            await self._send([*answers, Message(b"Z", self._database.status)])
        return outcome

    def _account(self, executed: Statement, tag: str | None, before: bytes) -> None:
        """Enter what a statement changed in the ledger, at once or when its transaction commits."""
        if tag and executed.verb in _CHANGES and tag != "skipped" and not executed.is_temporary:
            count = tag.rpartition(" ")[2]
            rows = int(count) if count.isdigit() else None
            if executed.verb not in _ROWS or rows:
                self._pending.append((executed, rows))
        if self._database.status == b"I":
            if tag != "ROLLBACK" and not (tag is None and before != b"I"):
                self._enter()
            self._pending.clear()

    def _enter(self) -> None:
        with self._emulator.transaction():
            for statement, rows in self._pending:
                body = {"rows": rows, "statement": statement.redacted}
                self._emulator.effect(statement.verb, statement.kind, statement.name, body)

    def _log(self, method: str, path: str, status: int) -> None:
        self._emulator.close_request(self._emulator.open_request(method, path, ""), status, method.lower())

    async def _send(self, messages: Sequence[Message]) -> None:
        self._writer.write(b"".join(message.encode() for message in messages))
        with suppress(ConnectionError):
            await self._writer.drain()


def gate(emulator: Emulator, socket: str, files: Files) -> Callable[..., object]:
    """The callback of the listening socket."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Gate(emulator, socket, files, reader, writer).serve()

    return connected


def _only(sql: str) -> Statement:
    statement = translate(sql)
    if ";" in statement.postgres.replace("';'", ""):
        raise Refusal("0A000", "the stand-in takes one statement at a time")
    return statement


def _as_redshift(error: Message) -> Message:
    """An error without PostgreSQL's own details; the one CHECK that exists here is a VARCHAR's length in bytes."""
    fields = wire.fields_of(error.body)
    if fields.get("C") == "23514":
        return wire.error("22001", "Value too long for character type")
    if fields.get("C") == "40001":
        return wire.error(*_STATES[409])
    return wire.error(fields.get("C", "XX000"), fields.get("M", ""))


def _shown(tag: str) -> str:
    """The tag as Redshift shows it; the number of rows of a MERGE is not documented, so nothing may rely on it."""
    return "MERGE" if tag.startswith("MERGE") else tag
