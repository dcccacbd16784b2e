"""E-mail over SMTP: one message per recipient, sent at most once."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from typing import ClassVar
from urllib.parse import urlsplit

import aiosmtplib
from pydantic import JsonValue

from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transport.addresses import is_loopback
from activities.transport.classify import DEFAULT_RETRY_AFTER_S
from activities.transport.outbound import dial, vet
from activities.transport.tls import tls_context, tls_error
from contracts.base import JsonObject
from contracts.effects import Delivery, EffectOutcome, EffectStep
from contracts.errors import (
    AuthExpired,
    InvalidInput,
    OutcomeUnknown,
    Owner,
    Permanent,
    RateLimited,
    Transient,
    WedSyncError,
)
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.names import effect_id

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[^\s@<>,;:\"\\\[\]()\x00-\x1f\x7f]{1,255}")
_LEADING_DOT = re.compile(rb"(?m)^\.")
_POLICY = SMTP_POLICY.clone(cte_type="7bit")
_PERMANENT = 500
_START_INPUT = 354
_COMPLETED = 2
_REFUSED = 400
_CLOSING = 421
_QUIT_TIMEOUT_S = 2.0
_AUTH_CODES = frozenset({530, 534, 535, 538})
_ENCRYPTIONS = ("starttls", "tls", "none")


class Email:
    """One mail server, and the address messages come from.

    SMTP has no idempotency key and nothing to look up, so the guarantee is at most once. A failure before the end of
    the message's data is Transient: the server has nothing and the step may be repeated. A lost answer after it is
    OutcomeUnknown: the caller must not send again but report the unknown outcome; `find` cannot settle it. The
    Message-ID is made of the effect id, so that a receiver that does get two copies can collapse them.

    Source: RFC 5321 (sections 4.2, 4.5.3.2), RFC 5322 (3.6), RFC 3207, RFC 4954.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="email",
        title="E-mail (SMTP)",
        family=IntegrationType.COMMUNICATION_PLATFORM,
        api_version="RFC 5321",
        documentation_url="https://www.rfc-editor.org/rfc/rfc5321",
        credential_fields=(),
        optional_credential_fields=("user", "password"),
        default_base_url="",
        free_hosts=True,
        schemes=("smtp", "smtps"),
        ports=(25, 465, 587, 2525),
        address="smtp://{host}:{port}",
        capabilities=frozenset({Capability.DELIVER, Capability.EMAIL}),
        guarantee=EffectGuarantee.AT_MOST_ONCE,
        rate_limit=RateLimit(requests=5, per_s=1.0),
        required_settings=("fromAddress",),
        optional_settings=("host", "port", "fromName", "encryption"),
        timeout_s=60.0,
        notes=(
            "host and port are required unless baseUrl is smtp://host:port or smtps://host:port.",
            "encryption is starttls (the default), tls or none; none is allowed to a loopback host only.",
            "A message whose answer was lost is never sent again; its Message-ID is the effect id.",
            "An organisation's own sender counts before fromAddress; the server must let this account send from it.",
            "Mail servers publish no common limit; five messages a second is our own choice.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def aclose(self) -> None:
        """Release nothing: each message has its own connection to the server."""

    async def probe(self) -> ConnectionProbe:
        """Connect, greet, log in where a user is configured, and do nothing.

        Raises:
            AuthExpired: the server refuses the user or password.
            InvalidInput: the settings name no server.
            Transient: the server does not answer.

        Source: RFC 5321 section 4.1.1.9 (NOOP).
        """
        began = time.monotonic()
        try:
            async with self._session("probe") as server, asyncio.timeout(self.manifest.timeout_s):
                await server.noop()
                features = sorted(server.esmtp_extensions)[:50]
        except aiosmtplib.SMTPResponseException as error:
            raise _refused("probe", error.code, "server_refused") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise _distrust("probe", error) or _unsent("probe") from None
        return ConnectionProbe(ok=True, latency_ms=(time.monotonic() - began) * 1_000, features=features)

    async def provision(self) -> ProvisionResult:
        """Create nothing.

        Idempotent: yes.
        """
        return ProvisionResult()

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return one `message.send` per recipient of the target.

        Raises:
            InvalidInput: no recipient, or something that is no plain mail address; the message does not repeat it.
        """
        recipients = dict.fromkeys(_address(recipient, "recipient") for recipient in delivery.target.recipients)
        if not recipients:
            raise _invalid("recipients_missing", "The e-mail target names no recipient.")
        return [self._step(delivery, recipient) for recipient in recipients]

    def _step(self, delivery: Delivery, recipient: str) -> EffectStep:
        notification, rendered, target = delivery.notification, delivery.rendered, delivery.target
        links = [f"{action.label}: {action.url}" for action in notification.actions if action.url]
        text = rendered.text or "\n\n".join([notification.message, *links])
        payload: JsonObject = {
            "to": recipient,
            "subject": " ".join((rendered.subject or notification.title).split()),
            "text": text,
            "occurredAt": delivery.occurred_at.isoformat(),
        }
        if rendered.properties.get("html"):
            payload["html"] = rendered.properties["html"]
        sender = rendered.sender
        own = {"from": sender.from_address, "fromName": sender.from_name, "replyTo": sender.reply_to}
        payload |= {name: value for name, value in own.items() if value}
        return EffectStep(
            effect_id=effect_id(
                delivery.organization_id, delivery.business_key, target.system_id, "message.send", recipient
            ),
            organization_id=delivery.organization_id,
            integration_id=target.integration_id,
            system="email",
            kind="message.send",
            payload=payload,
        )

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Send the one message of `step`.

        Idempotent: no; after OutcomeUnknown it must not be called again for the step.

        Raises:
            OutcomeUnknown: the whole message was sent and the server's answer was lost.
            Transient: the server has not taken the message; a repeat is safe.
            Permanent: the server refuses the sender, the recipient or the message, or its certificate is not trusted.
            InvalidInput: the outbound policy does not allow the server's address.
            AuthExpired: the server refuses the user or password.

        Source: RFC 5321 section 3.3.
        """
        message = self._message(step)
        sent: list[bool] = []
        try:
            async with self._session("message.send") as server, asyncio.timeout(self.manifest.timeout_s):
                await self._transmit(server, self._sender(step), str(step.payload["to"]), message, sent)
        except aiosmtplib.SMTPSenderRefused as error:
            raise _refused("message.send", error.code, "sender_refused") from None
        except aiosmtplib.SMTPRecipientRefused as error:
            raise _refused("message.send", error.code, "recipient_refused") from None
        except aiosmtplib.SMTPResponseException as error:
            if sent and error.code < _REFUSED:
                # Neither taken nor refused: a reply that is not SMTP.
                raise _unanswered() from None
            raise _refused("message.send", error.code, "message_refused") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            if sent:
                raise _unanswered() from None
            raise _distrust("message.send", error) or _unsent("message.send") from None
        return EffectOutcome(remote_id=str(message["Message-ID"]).strip("<>"))

    async def find(self, step: EffectStep) -> EffectOutcome | None:  # noqa: ARG002
        """Return None: SMTP offers no look-up, so a lost answer stays unknown."""
        return None

    @staticmethod
    async def _transmit(
        server: aiosmtplib.SMTP, sender: str, recipient: str, message: EmailMessage, sent: list[bool]
    ) -> None:
        """Send one message; `sent` becomes non-empty when the server may have the whole of it."""
        await server.mail(sender)
        await server.rcpt(recipient)
        start = await server.execute_command(b"DATA")
        if start.code != _START_INPUT:
            raise aiosmtplib.SMTPDataError(start.code, start.message)
        protocol = server.protocol
        if protocol is None or not protocol.is_connected:
            raise aiosmtplib.SMTPServerDisconnected("the connection ended before the message")
        protocol.write(_LEADING_DOT.sub(b"..", message.as_bytes()) + b".\r\n")
        sent.append(True)
        answer = await protocol.read_response(timeout=server.timeout)
        if answer.code // 100 != _COMPLETED:
            raise aiosmtplib.SMTPDataError(answer.code, answer.message)

    @asynccontextmanager
    async def _session(self, operation: str) -> AsyncIterator[aiosmtplib.SMTP]:
        """Yield a greeted and authenticated connection; how it ends says nothing about the message."""
        host, port, encryption = self._server()
        scheme = "smtps" if encryption == "tls" else "smtp"
        written = f"[{host}]" if ":" in host else host
        target = vet(f"{scheme}://{written}:{port}", self.manifest, self._connection.outbound)
        await self._connection.admit()
        server = aiosmtplib.SMTP(
            hostname=target.host,
            sock=await dial(target.host, target.port, self._connection.outbound, self.manifest.timeout_s),
            timeout=self.manifest.timeout_s,
            use_tls=encryption == "tls",
            start_tls=encryption == "starttls",
            tls_context=None if encryption == "none" else tls_context(self._connection),
            local_hostname=self._sender().partition("@")[2],
        )
        try:
            async with asyncio.timeout(self.manifest.timeout_s):
                await server.connect()
                await self._log_in(server, operation)
            yield server
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await server.quit(timeout=_QUIT_TIMEOUT_S)
        finally:
            server.close()

    async def _log_in(self, server: aiosmtplib.SMTP, operation: str) -> None:
        await server.ehlo()
        credential = self._connection.credential
        if "user" not in credential:
            return
        password = self._connection.secret("password") if "password" in credential else ""
        try:
            await server.login(self._connection.secret("user"), password)
        except aiosmtplib.SMTPAuthenticationError as error:
            if error.code >= _PERMANENT:
                raise _auth_refused(operation, error.code) from None
            raise
        except aiosmtplib.SMTPNotSupported:
            raise Permanent(
                "login_not_offered",
                "The mail server offers no log-in that matches the stored user and password.",
                owner=Owner.TENANT,
                action="Use the server's submission port with starttls or tls, or remove the credential.",
                system="email",
                operation=operation,
            ) from None

    def _server(self) -> tuple[str, int, str]:
        """Return host, port and encryption.

        Raises:
            InvalidInput: no server is named, or an unencrypted one beyond this machine.
        """
        url = urlsplit(self._connection.base_url)
        named = url.scheme in {"smtp", "smtps"}
        host = (url.hostname if named else None) or self._connection.setting("host")
        try:
            port = (url.port if named else None) or int(self._connection.setting("port", "0"))
        except ValueError:
            port = 0
        if not host or not 0 < port < 65_536:  # noqa: PLR2004
            raise _setting("mail_server_missing", "The e-mail integration names no host and port.")
        loopback = is_loopback(host)
        usual = "tls" if url.scheme == "smtps" else "none" if named and loopback else "starttls"
        encryption = self._connection.setting("encryption", usual)
        if encryption not in _ENCRYPTIONS or (encryption == "none" and not loopback):
            raise _setting("encryption_required", "The e-mail integration asks for a connection without encryption.")
        return host, port, encryption

    def _sender(self, step: EffectStep | None = None) -> str:
        """Return the address a step's message comes from: the organisation's identity, else the integration's."""
        own = str(step.payload.get("from", "")) if step else ""
        return _address(own or self._connection.setting("fromAddress"), "fromAddress")

    def _message(self, step: EffectStep) -> EmailMessage:
        """Return the message; the same step gives the same bytes."""
        payload, sender = step.payload, self._sender(step)
        name = " ".join(str(payload.get("fromName") or self._connection.setting("fromName")).split())
        message = EmailMessage(policy=_POLICY)
        message["Message-ID"] = f"<{step.effect_id}@{sender.partition('@')[2]}>"
        message["Date"] = datetime.fromisoformat(str(payload["occurredAt"]))
        message["From"] = Address(display_name=name, addr_spec=sender)
        message["To"] = Address(addr_spec=str(payload["to"]))
        if payload.get("replyTo"):
            message["Reply-To"] = Address(addr_spec=_address(str(payload["replyTo"]), "replyTo"))
        message["Subject"] = str(payload["subject"])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(str(payload["text"]))
        if payload.get("html"):
            message.add_alternative(str(payload["html"]), subtype="html")
            message.set_boundary(f"part-{step.effect_id}")
        return message


def _address(given: str, role: str) -> str:
    """Return a mail address in wire form: trimmed, its domain in lower case and IDNA."""
    address = given.strip()
    local, _, domain = address.rpartition("@")
    try:
        plain = f"{local}@{domain.encode('idna').decode().lower()}" if _ADDRESS.fullmatch(address) else ""
    except UnicodeError:
        plain = ""
    if not plain:
        raise _invalid("invalid_address", f"A {role} of the e-mail integration is not a plain mail address.")
    return plain


def _distrust(operation: str, error: BaseException) -> Permanent | None:
    return tls_error("The mail server", operation, error, owner=Owner.TENANT)


def _refused(operation: str, reply: int, code: str) -> WedSyncError:
    evidence: dict[str, JsonValue] = {"reply": reply}
    if reply in _AUTH_CODES:
        return _auth_refused(operation, reply)
    if reply == _CLOSING:
        return RateLimited(
            "rate_limited",
            "The mail server asks to come back later.",
            retry_after_s=DEFAULT_RETRY_AFTER_S,
            system="email",
            operation=operation,
            evidence=evidence,
        )
    if reply < _PERMANENT:
        message = f"The mail server put {operation} off with {reply}; it has not taken the message."
        return Transient("vendor_unavailable", message, system="email", operation=operation, evidence=evidence)
    return Permanent(
        code,
        f"The mail server refused {operation} with {reply}.",
        owner=Owner.TENANT,
        action="Check the address of the recipient, and that the server lets this account send from fromAddress.",
        system="email",
        operation=operation,
        evidence=evidence,
    )


def _auth_refused(operation: str, reply: int) -> AuthExpired:
    return AuthExpired(
        "credential_refused",
        f"The mail server refuses the stored user or password with {reply}.",
        action="Connect the integration again with a valid user and password.",
        system="email",
        operation=operation,
        evidence={"reply": reply},
    )


def _unsent(operation: str) -> Transient:
    message = f"The mail server did not answer {operation}; it has not taken a message."
    return Transient("vendor_unreachable", message, system="email", operation=operation)


def _unanswered() -> OutcomeUnknown:
    return OutcomeUnknown(
        "no_answer",
        "The mail server received the whole message and its answer was lost.",
        owner=Owner.TENANT,
        action="Ask the recipient, or look in the server's log for the Message-ID, before sending again.",
        system="email",
        operation="message.send",
    )


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(code, message, action="Correct the notification or the integration.", system="email")


def _setting(code: str, message: str) -> InvalidInput:
    action = "Set host and port, and encryption to starttls or tls."
    return InvalidInput(code, message, action=action, system="email")
