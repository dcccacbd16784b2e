"""The SMTP sink behaves towards a mail client as a mail server does."""

from collections.abc import AsyncIterator
from email.message import EmailMessage

import aiosmtplib
import pytest

from emulators import smtp
from emulators.core import Emulator, State


@pytest.fixture
async def sink() -> AsyncIterator[Emulator]:
    emulator = smtp.build(State(None))
    await smtp.start(emulator)
    yield emulator
    await smtp.stop(emulator)


def _message(key: str = "<job-1@wedsync.example>", to: str = "ann@couple.example") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"], message["Message-ID"] = "studio@shop.example", to, "Päivä", key
    message.set_content("See you at noon.")
    return message


async def _send(sink: Emulator, message: EmailMessage) -> None:
    address = sink.details()
    await aiosmtplib.send(
        message,
        hostname=address["host"],
        port=address["port"],
        username=smtp.USER,
        password=smtp.PASSWORD,
        start_tls=False,
        timeout=20,
    )


async def test_an_accepted_message_is_kept_under_its_message_id(sink: Emulator) -> None:
    await _send(sink, _message())
    kept = sink.get("messages", "<job-1@wedsync.example>")
    assert kept is not None
    assert (kept["to"], kept["from"], kept["subject"]) == (["ann@couple.example"], "studio@shop.example", "Päivä")
    assert kept["text"].strip() == "See you at noon."
    assert kept["headers"]["Message-ID"] == "<job-1@wedsync.example>"


async def test_a_repeated_message_id_is_a_second_effect(sink: Emulator) -> None:
    await _send(sink, _message())
    await _send(sink, _message())
    keys = [effect["idempotencyKey"] for effect in sink.effects()]
    assert keys == ["<job-1@wedsync.example>", "<job-1@wedsync.example>"]


async def test_an_unknown_mailbox_is_refused_for_good(sink: Emulator) -> None:
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as caught:
        await _send(sink, _message(to="nobody@unknown.example"))
    assert [refused.code for refused in caught.value.recipients] == [550]
    assert sink.effects() == []


async def test_a_wrong_password_is_refused(sink: Emulator) -> None:
    address = sink.details()
    client = aiosmtplib.SMTP(hostname=address["host"], port=address["port"], start_tls=False, timeout=20)
    await client.connect()
    with pytest.raises(aiosmtplib.SMTPAuthenticationError):
        await client.login(smtp.USER, "wrong")
    client.close()


@pytest.mark.parametrize("code", [451, 554])
async def test_a_refused_message_leaves_no_effect(sink: Emulator, code: int) -> None:
    sink.faults.install({"kind": "status", "status": code, "match": {"path": "/data/"}, "count": 1})
    with pytest.raises(aiosmtplib.SMTPDataError) as caught:
        await _send(sink, _message())
    assert caught.value.code == code
    assert sink.effects() == []


async def test_a_dropped_answer_hides_a_message_that_was_accepted(sink: Emulator) -> None:
    sink.faults.install({"kind": "drop_after_effect", "count": 1})
    with pytest.raises((aiosmtplib.SMTPException, OSError)):
        await _send(sink, _message())
    assert [effect["kind"] for effect in sink.effects()] == ["message.accepted"]


async def test_a_reset_connection_leaves_no_effect(sink: Emulator) -> None:
    sink.faults.install({"kind": "reset", "match": {"path": "/data/"}, "count": 1})
    with pytest.raises((aiosmtplib.SMTPException, OSError)):
        await _send(sink, _message())
    assert sink.effects() == []


async def test_inside_a_rate_limit_window_every_message_meets_421(sink: Emulator) -> None:
    sink.faults.install({"kind": "rate_limit", "retryAfter": 60, "count": 1})
    codes = []
    for _ in range(2):
        with pytest.raises(aiosmtplib.SMTPResponseException) as caught:
            await _send(sink, _message())
        codes.append(caught.value.code)
    assert codes == [421, 421]
