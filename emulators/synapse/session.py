"""One client's connection: login, statements, faults, and the effects of what commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from emulators.synapse import packets, tokens
from emulators.synapse.dialect import Statement, translate
from emulators.synapse.engine import POOLS, READERS, Engine, Result, Session
from emulators.synapse.refusals import Refusal
from emulators.warehouses.process import cut

if TYPE_CHECKING:
    from emulators.core import Emulator, Fault

_BEFORE = ("reset", "status", "hang", "rate_limit")
_FAULTS = {
    401: Refusal(18456, "Login failed for user."),
    409: Refusal(1205, "Transaction was deadlocked on lock resources. Rerun the transaction."),
    429: Refusal(10928, "Resource ID: 1. The request limit for the database has been reached."),
    503: Refusal(40613, "Database is not currently available. Please retry the connection later."),
    507: Refusal(1105, "Could not allocate space for object because the filegroup is full."),
}
_CHANGES = frozenset({"create", "drop", "alter", "rename", "insert", "update", "delete", "merge", "truncate", "copy"})

_REDIRECT = 307
_TRANSACTIONS = frozenset({"begin", "commit", "rollback"})


class Connection:
    """One connection.

    Args:
        emulator: faults, ledger and request log.
        engine: the pools.
    """

    def __init__(
        self, emulator: Emulator, engine: Engine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._emulator, self._engine = emulator, engine
        self._reader, self._writer = reader, writer
        self._session: Session | None = None
        self._pending: list[tuple[Statement, int | None]] = []
        self._only_reads = False
        self._next: asyncio.Task[tuple[int, bytes]] | None = None

    async def serve(self) -> None:
        """Answer until the client leaves or a fault cuts the connection."""
        try:
            while self._session is None:
                if not await self._greet(*await packets.read(self._reader)):
                    return
            while await self._answer(*await self._message()):
                pass
        finally:
            if self._next is not None:
                self._next.cancel()
            if self._session is not None:
                await asyncio.to_thread(self._session.close)

    @property
    def _open(self) -> Session:
        assert self._session is not None  # noqa: S101 - opened by `_greet`
        return self._session

    async def _greet(self, kind: int, payload: bytes) -> bool:
        if kind == packets.PRELOGIN:
            await self._send(packets.prelogin())
            return True
        login = packets.login(payload)
        fault = self._emulator.faults.draw(_BEFORE, "LOGIN", (f"{login.user}@{login.database}",))
        if fault is not None and fault.kind != "status":
            cut(self._writer)
            return False
        if fault is not None and fault.status == _REDIRECT:
            host, port = self._writer.get_extra_info("sockname")[:2]
            await self._send(tokens.login_acknowledged(login.database, tokens.routed(host, port)))
            return False
        refusal = _FAULTS.get(fault.status, _FAULTS[503]) if fault is not None else _judged(login)
        number = self._emulator.open_request("LOGIN", login.user, "")
        self._emulator.close_request(number, 401 if refusal else 200, "login")
        if refusal is not None:
            await self._send(tokens.error(refusal.number, refusal.message, 14) + tokens.done(failed=True))
            return False
        self._session = self._engine.session(login.database.lower())
        self._only_reads = login.user in READERS.values()
        await self._send(tokens.login_acknowledged(login.database))
        return True

    async def _answer(self, kind: int, payload: bytes) -> bool:
        """Answer one message; False when the connection has been cut."""
        if kind == packets.ATTENTION:
            await self._send(tokens.cancelled())
            return True
        if kind == packets.TRANSACTION:
            return await self._transact(payload)
        try:
            sql, values, done = _request(kind, payload)
            statement = translate(sql)
        except (Refusal, NotImplementedError) as error:
            await self._refuse(error)
            return True
        return await self._execute(statement, values, done)

    async def _transact(self, payload: bytes) -> bool:
        statement = translate(packets.transaction(payload))
        if not await self._execute(statement, {}, tokens.done):
            return False
        if packets.begins_another(payload):
            self._open.run(translate("BEGIN TRANSACTION"), {})
        return True

    async def _execute(self, statement: Statement, values: Mapping[str, Any], done: Callable[..., bytes]) -> bool:
        book = self._emulator.faults
        number = self._emulator.open_request("SQL", statement.redacted, "")
        slow = book.draw(("latency",), "SQL", (statement.text,))
        if slow is not None:
            await asyncio.sleep(1.0 if slow.delay_s is None else slow.delay_s)
        fault = book.draw((*_BEFORE, "drop_after_effect"), "SQL", (statement.text,))
        if fault is not None and fault.kind != "drop_after_effect":
            status = await self._act(fault, done)
        else:
            status = await self._run(statement, values, done, is_lost=fault is not None)
        self._emulator.close_request(number, status, statement.verb)
        return status != 0

    async def _act(self, fault: Fault, done: Callable[..., bytes]) -> int:
        if fault.kind in {"status", "rate_limit"}:
            await self._refuse(_FAULTS.get(fault.status, _FAULTS[503]), done)
            return fault.status
        if fault.kind == "hang":
            while await self._reader.read(1024):
                pass
        cut(self._writer)
        return 0

    async def _run(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        done: Callable[..., bytes],
        *,
        is_lost: bool,
    ) -> int:
        if self._only_reads and statement.verb in _CHANGES:
            await self._refuse(Refusal(229, f"The {statement.verb.upper()} permission was denied on the object."), done)
            return 403
        session = self._open
        try:
            result = await self._unless_cancelled(asyncio.to_thread(session.run, statement, values))
        except Refusal as refusal:
            await self._refuse(refusal, done)
            return 400
        if result is None:
            return 499
        self._account(statement, result)
        if is_lost:
            cut(self._writer)
            return 0
        rows = tokens.rows(result.columns, result.rows) if result.columns else b""
        before = tokens.transaction_changed(statement.verb) if statement.verb in _TRANSACTIONS else b""
        await self._send(before + rows + done(result.count, open_transaction=session.in_transaction))
        return 200

    async def _message(self) -> tuple[int, bytes]:
        """The next message, whose reading may have begun while a statement ran."""
        reading, self._next = self._next or asyncio.create_task(packets.read(self._reader)), None
        return await reading

    async def _unless_cancelled(self, running: Coroutine[Any, Any, Result]) -> Result | None:
        """A statement's result, or None when an attention came first and has been answered."""
        task = asyncio.create_task(running)
        self._next = self._next or asyncio.create_task(packets.read(self._reader))
        await asyncio.wait({task, self._next}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        self._open.interrupt()
        try:
            # One that ended before it heard is answered as ever, and the attention after it.
            return await task
        except Refusal:
            kind, _ = await self._message()
            if kind != packets.ATTENTION:
                raise ConnectionError("a message came before the answer to the last one") from None
        await self._send(tokens.cancelled())
        return None

    def _account(self, statement: Statement, result: Result) -> None:
        """Enter what a statement changed in the ledger, at once or when its transaction commits."""
        is_change = statement.verb in _CHANGES and not statement.name.startswith("#")
        if is_change and (result.count is None or result.count > 0):
            self._pending.append((statement, result.count))
        if statement.verb == "rollback":
            self._pending.clear()
        if not self._open.in_transaction:
            with self._emulator.transaction():
                for changed, rows in self._pending:
                    body = {"rows": rows, "statement": changed.redacted}
                    self._emulator.effect(changed.verb, changed.kind, changed.name, body)
            self._pending.clear()

    async def _refuse(self, error: Refusal | NotImplementedError, done: Callable[..., bytes] = tokens.done) -> None:
        number, text = (error.number, error.message) if isinstance(error, Refusal) else (50000, str(error))
        is_open = self._open.in_transaction
        await self._send(tokens.error(number, text) + done(failed=True, open_transaction=is_open))

    async def _send(self, payload: bytes) -> None:
        self._writer.write(packets.reply(payload))
        await self._writer.drain()


def serving(emulator: Emulator, engine: Engine) -> Callable[..., object]:
    """The callback of the listening socket."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Connection(emulator, engine, reader, writer).serve()

    return connected


def _judged(login: packets.Login) -> Refusal | None:
    logins = (*POOLS.values(), *READERS.values())
    if login.user not in logins or login.password != login.user:
        return Refusal(18456, f"Login failed for user '{login.user}'.")
    pool = login.database.lower()
    if login.user not in {POOLS.get(pool), READERS.get(pool)}:
        return Refusal(4060, f'Cannot open database "{login.database}" requested by the login. The login failed.')
    return None


def _request(kind: int, payload: bytes) -> tuple[str, Mapping[str, Any], Callable[..., bytes]]:
    if kind == packets.SQL_BATCH:
        return packets.batch(payload), {}, tokens.done
    call = packets.call(payload)
    if kind != packets.RPC or call.procedure not in {packets.SP_EXECUTESQL, "sp_executesql"}:
        message = f"procedure {call.procedure}"
        raise NotImplementedError(message)
    (_, sql), *rest = call.parameters
    return str(sql), dict(rest[1:]), tokens.done_procedure
