"""A real SMTP sink: it accepts mail, keeps it and can be told to fail the way mail servers do."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
import struct
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from emulators.core import Emulator, State

if TYPE_CHECKING:
    from email.message import EmailMessage

    from aiosmtpd.smtp import Envelope, Session
    from starlette.routing import BaseRoute

    from emulators.core import Fault

USER = "sandbox"
PASSWORD = "sandbox-smtp-password"
_UNKNOWN_DOMAIN = "@unknown.example"
_COMMANDS = {"MAIL": "/mail", "RCPT": "/rcpt", "DATA": "/data"}
_KINDS = ("status", "reset", "rate_limit")
_BUSY = "421 4.7.0 Too many messages, try again later"
_LARGEST_MESSAGE = 25_000_000
_servers: dict[str, asyncio.Server] = {}


def build(state: State) -> Emulator:
    """The sink's objects, ledger and faults.

    Objects: `messages` with `id` (the Message-ID), `to` (envelope recipients), `from`, `subject`, `text`, `html` and
    `headers`. A fault's `match.path` is `/mail`, `/rcpt` or `/data`, its `match.method` is `SMTP`; without a match the
    first command takes it. `status` is the reply code (4yz or 5yz).
    """
    emulator = Emulator(
        "smtp", state, routes=_no_routes, seed=_no_seed, details=lambda: dict(state.settings.get("smtp", {}))
    )
    host, port = str(state.settings.get("host", "127.0.0.1")), int(state.settings.get("smtp_port", 0))

    async def begin() -> None:
        await start(emulator, host, port)

    async def end() -> None:
        await stop(emulator)

    emulator.startup.append(begin)
    emulator.shutdown.append(end)
    return emulator


async def start(emulator: Emulator, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
    """Listen in the running event loop and return the address; port 0 means any free port.

    The address is also told by the emulator's details in `GET /_emulators` as `host` and `port`.
    """
    handler = Sink(emulator)
    loop = asyncio.get_running_loop()

    def connection() -> SMTP:
        return SMTP(
            handler,
            hostname="smtp.sandbox.example",
            ident="WedSync sandbox",
            data_size_limit=_LARGEST_MESSAGE,
            enable_SMTPUTF8=True,
            decode_data=False,
            auth_require_tls=False,
            authenticator=_authenticate,
            loop=loop,
        )

    server = await loop.create_server(connection, host, port)
    address: tuple[str, int] = server.sockets[0].getsockname()[:2]
    emulator.state.settings["smtp"] = {"host": address[0], "port": address[1]}
    _servers[emulator.system] = server
    return address


async def stop(emulator: Emulator) -> None:
    """Stop listening; mail already accepted stays."""
    server = _servers.pop(emulator.system, None)
    if server is not None:
        server.close()


class Sink:
    """Handler of one listening socket: each hook is one SMTP command."""

    def __init__(self, emulator: Emulator) -> None:
        """Keep mail in this emulator."""
        self._emulator = emulator

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[str]
    ) -> str:
        """Accept a sender."""
        del session
        if (refusal := await self._refuse(server, "MAIL")) is not None:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 2.1.0 Sender OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        """Accept a recipient, unless the mailbox does not exist."""
        del session
        if (refusal := await self._refuse(server, "RCPT")) is not None:
            return refusal
        if address.lower().endswith(_UNKNOWN_DOMAIN):
            self._log("RCPT", 550)
            return "550 5.1.1 The mailbox does not exist"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 2.1.5 Recipient OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the message and enter it in the ledger."""
        del session
        if (refusal := await self._refuse(server, "DATA")) is not None:
            return refusal
        self._keep(envelope)
        if self._emulator.faults.draw(("drop_after_effect",), "SMTP", ("/data",)) is not None:
            self._log("DATA", 0)
            _cut(server)
            return ""
        self._log("DATA", 250)
        return "250 2.0.0 Message accepted"

    async def _refuse(self, server: SMTP, command: str) -> str | None:
        book = self._emulator.faults
        if book.window_left() > 0:
            self._log(command, 421)
            return _BUSY
        if slow := self._draw(("latency",), command):
            await asyncio.sleep(1.0 if slow.delay_s is None else slow.delay_s)
        fault = self._draw(_KINDS, command)
        if fault is None:
            return None
        if fault.kind == "reset":
            self._log(command, 0)
            _cut(server)
            return ""
        if fault.kind == "rate_limit":
            book.open_window(1.0 if fault.retry_after is None else fault.retry_after)
            self._log(command, 421)
            return _BUSY
        self._log(command, fault.status)
        return f"{fault.status} The sandbox was told to refuse"

    def _draw(self, kinds: tuple[str, ...], command: str) -> Fault | None:
        return self._emulator.faults.draw(kinds, "SMTP", (_COMMANDS[command],))

    def _log(self, command: str, status: int) -> None:
        self._emulator.close_request(self._emulator.open_request("SMTP", _COMMANDS[command], ""), status, command)

    def _keep(self, envelope: Envelope) -> None:
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode()
        parsed = email.message_from_bytes(raw, policy=email.policy.default)
        key = parsed["Message-ID"]
        with self._emulator.transaction():
            name = str(key) if key else f"<{self._emulator.next_id('messages')}@smtp.sandbox.example>"
            body = _body(name, envelope, parsed)
            self._emulator.put("messages", name, body)
            self._emulator.effect("message.accepted", "messages", name, body, str(key) if key else None)


def _body(name: str, envelope: Envelope, parsed: EmailMessage) -> dict[str, Any]:
    plain, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    return {
        "id": name,
        "to": list(envelope.rcpt_tos),
        "from": envelope.mail_from,
        "subject": str(parsed["Subject"] or ""),
        "text": plain.get_content() if plain is not None else "",
        "html": html.get_content() if html is not None else None,
        "headers": {header: str(value) for header, value in parsed.items()},
    }


def _authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=False)


def _cut(server: SMTP) -> None:
    transport = server.transport
    if not isinstance(transport, asyncio.WriteTransport):
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _no_routes(_emulator: Emulator) -> list[BaseRoute]:
    return []


def _no_seed(_emulator: Emulator) -> None:
    return
