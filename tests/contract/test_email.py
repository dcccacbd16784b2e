"""E-mail against a real mail sink: one mail per recipient, and what is safe to repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from activities.connectors.communication.email import Email
from contracts.effects import EffectStep, Rendered
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from tests.support.deliveries import PRIVATE_WORDS, connection, delivery
from tests.support.emulators import Emulators

LOGIN = {"user": "sandbox", "password": "sandbox-smtp-password"}
FROM = {"fromAddress": "studio@lumen.example", "fromName": "Lumen Studios"}
GREETING = ["220 sink", "250 sink"]


@pytest.fixture
def email(emulators: Emulators) -> Email:
    place = emulators.details("smtp")
    return Email(connection("email", f"smtp://{place['host']}:{place['port']}", LOGIN, **FROM))


def plan(connector: Email, *recipients: str, **words: Any) -> list[EffectStep]:
    target = {"recipients": list(recipients or ("anna@fisher.example",))}
    return connector.plan(delivery("email", target=target, rendered=Rendered(**words)))


async def failure(call: Callable[[EffectStep], Any], step: EffectStep) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        await call(step)
    told = caught.value.detail.model_dump_json() + str(caught.value)
    assert not [word for word in (*PRIVATE_WORDS, "fisher") if word in told]
    return caught.value


@asynccontextmanager
async def scripted(*replies: str | None) -> AsyncIterator[Email]:
    """A connector whose server gives these replies, one per command or message, and hangs up at a None."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        in_data = False
        for number, reply in enumerate(replies):
            if number:
                await (reader.readuntil(b"\r\n.\r\n") if in_data else reader.readline())
            if reply is None:
                break
            in_data = reply.startswith("354")
            writer.write(f"{reply}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield Email(connection("email", f"smtp://127.0.0.1:{port}", {}, **FROM))
    server.close()


async def outcome(*replies: str | None) -> WedSyncError:
    """The error of a send to a server with these replies after its greeting."""
    async with scripted(*GREETING, *replies) as connector:
        return await failure(connector.apply, plan(connector)[0])


async def test_each_recipient_gets_one_mail(email: Email, emulators: Emulators) -> None:
    for step in plan(email, "anna@fisher.example", "ben@fisher.example", "anna@FISHER.example"):
        await email.apply(step)
    assert [mail["to"] for mail in emulators.objects("smtp", "messages")] == [
        ["anna@fisher.example"],
        ["ben@fisher.example"],
    ]
    assert len(emulators.effects("smtp")) == 2


async def test_the_mail_says_what_the_template_says(email: Email, emulators: Emulators) -> None:
    [step] = plan(email, subject="Moved: 15:30 - Zoë", text="Line\n.hidden\nend", properties={"html": "<p>Moved</p>"})
    await email.apply(step)
    [mail] = emulators.objects("smtp", "messages")
    assert mail["subject"] == "Moved: 15:30 - Zoë"
    assert mail["text"].splitlines() == ["Line", ".hidden", "end"]
    assert mail["html"].strip() == "<p>Moved</p>"


async def test_the_message_id_is_the_effect_id(email: Email) -> None:
    [step] = plan(email)
    assert (await email.apply(step)).remote_id == f"{step.effect_id}@lumen.example"


def test_the_same_step_is_the_same_bytes() -> None:
    connector = Email(connection("email", "smtp://127.0.0.1:25", {}, **FROM))
    [step] = plan(connector, text="Moved", properties={"html": "<p>Moved</p>"})
    assert connector._message(step).as_bytes() == connector._message(step).as_bytes()


def test_a_title_cannot_add_a_header() -> None:
    connector = Email(connection("email", "smtp://127.0.0.1:25", {}, **FROM))
    [step] = plan(connector, subject="Moved\r\nBcc: everyone@example.com")
    assert connector._message(step)["Bcc"] is None


@pytest.mark.parametrize(
    "recipient",
    ["anna", "a@b@c", "anna@fisher.example\r\nBcc: x@y.example", "<a@b.example>", "a@b.example, c@d.example", "@"],
)
def test_something_that_is_no_plain_address_is_refused(recipient: str) -> None:
    connector = Email(connection("email", "smtp://127.0.0.1:25", {}, **FROM))
    with pytest.raises(InvalidInput) as caught:
        plan(connector, recipient)
    assert "@" not in str(caught.value)


async def test_an_unknown_mailbox_is_refused_without_its_address(email: Email) -> None:
    found = await failure(email.apply, plan(email, "anna@unknown.example")[0])
    assert (type(found), found.detail.code) == (Permanent, "recipient_refused")


async def test_a_mail_whose_answer_was_lost_is_unknown_and_stays_so(email: Email, emulators: Emulators) -> None:
    emulators.fault("smtp", "drop_after_effect", path="data", count=1)
    [step] = plan(email)
    assert type(await failure(email.apply, step)) is OutcomeUnknown
    assert await email.find(step) is None
    assert len(emulators.effects("smtp")) == 1


@pytest.mark.parametrize("command", ["mail", "rcpt"])
async def test_a_connection_lost_before_the_message_may_be_repeated(
    email: Email, emulators: Emulators, command: str
) -> None:
    emulators.fault("smtp", "reset", path=command, count=1)
    [step] = plan(email)
    assert type(await failure(email.apply, step)) is Transient
    await email.apply(step)
    assert len(emulators.effects("smtp")) == 1


async def test_a_busy_server_is_left_alone_for_a_while(email: Email, emulators: Emulators) -> None:
    emulators.fault("smtp", "rate_limit", retryAfter=5)
    assert type(await failure(email.apply, plan(email)[0])) is RateLimited


async def test_a_wrong_password_asks_for_a_new_connection(emulators: Emulators) -> None:
    place = emulators.details("smtp")
    login = {"user": "sandbox", "password": "sandbox-wrong"}
    stranger = Email(connection("email", f"smtp://{place['host']}:{place['port']}", login, **FROM))
    with pytest.raises(AuthExpired):
        await stranger.probe()


async def test_the_probe_logs_in_and_sends_nothing(email: Email, emulators: Emulators) -> None:
    assert (await email.probe()).ok
    assert emulators.effects("smtp") == []


@pytest.mark.parametrize(
    ("replies", "kind", "code"),
    [
        (["451 later"], Transient, "vendor_unavailable"),
        (["550 no"], Permanent, "sender_refused"),
        (["530 log in"], AuthExpired, "credential_refused"),
        (["250 ok", "450 later"], Transient, "vendor_unavailable"),
        (["250 ok", "553 no"], Permanent, "recipient_refused"),
        (["250 ok", "421 bye"], RateLimited, "rate_limited"),
        (["250 ok", "250 ok", "451 later"], Transient, "vendor_unavailable"),
        (["250 ok", "250 ok", None], Transient, "vendor_unreachable"),
        (["250 ok", "250 ok", "354 go", "452 full"], Transient, "vendor_unavailable"),
        (["250 ok", "250 ok", "354 go", "554 spam"], Permanent, "message_refused"),
        (["250 ok", "250 ok", "354 go", None], OutcomeUnknown, "no_answer"),
        (["250 ok", "250 ok", "354 go", "nonsense"], OutcomeUnknown, "no_answer"),
    ],
)
async def test_each_reply_becomes_the_error_that_recovers(
    replies: list[str | None], kind: type[WedSyncError], code: str
) -> None:
    found = await outcome(*replies)
    assert (type(found), found.detail.code) == (kind, code)


async def test_a_server_that_hangs_up_after_accepting_has_accepted() -> None:
    async with scripted(*GREETING, "250 ok", "250 ok", "354 go", "250 taken", None) as connector:
        assert (await connector.apply(plan(connector)[0])).remote_id


@pytest.mark.parametrize(
    ("base_url", "settings", "code"),
    [
        ("", {}, "mail_server_missing"),
        ("", {"host": "mail.example", "port": "many"}, "mail_server_missing"),
        ("", {"host": "mail.example", "port": 25, "encryption": "none"}, "encryption_required"),
        ("smtp://mail.example:25", {"encryption": "none"}, "encryption_required"),
        ("", {"host": "localhost", "port": 25, "encryption": "maybe"}, "encryption_required"),
    ],
)
async def test_settings_without_a_safe_server_are_refused(base_url: str, settings: dict[str, Any], code: str) -> None:
    connector = Email(connection("email", base_url, {}, **FROM, **settings))
    with pytest.raises(InvalidInput) as caught:
        await connector.probe()
    assert caught.value.detail.code == code


def test_a_server_beyond_this_machine_is_spoken_to_encrypted() -> None:
    assert Email(connection("email", "smtp://mail.example:587", {}, **FROM))._server()[2] == "starttls"
