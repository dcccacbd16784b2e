"""What the emulated phones send us over TCP: signed as the vendors sign it, and read as what people meant."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.connectors.communication.twilio.connector import Twilio
from activities.connectors.communication.whatsapp.connector import WhatsApp
from activities.ports.inbound import Answered, Inbound, InboundEvent, Observed
from activities.security.signatures import SignedRequest, Verdict
from contracts.effects import EffectStep
from contracts.engagement import NotificationState
from tests.support.deliveries import connection, delivery
from tests.support.emulators import Emulators
from tests.support.receiver import Receiver, receiving

EMULATED = ("twilio", "whatsapp")
ACCOUNT = "AC" + "5a" * 16
PERSON = "+447700900101"
AUTH_TOKEN, APP_SECRET = "sandbox-twilio-auth-token", "sandbox-whatsapp-app-secret"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def served_receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def receiver(served_receiver: Receiver) -> Receiver:
    served_receiver.received.clear()
    return served_receiver


@pytest.fixture
async def twilio(emulators: Emulators, receiver: Receiver):
    settings = {"fromNumber": "+447700900100", "hookUrl": receiver.url}
    credential = {"accountSid": ACCOUNT, "authToken": AUTH_TOKEN}
    connector = Twilio(connection("twilio", emulators.base_url("twilio"), credential, **settings))
    yield connector
    await connector.aclose()


@pytest.fixture
async def whatsapp(emulators: Emulators):
    settings = {"phoneNumberId": "106540352242922", "template": "wedding_update_buttons"}
    credential = {"accessToken": "sandbox-whatsapp-token"}
    connector = WhatsApp(connection("whatsapp", emulators.base_url("whatsapp"), credential, **settings))
    yield connector
    await connector.aclose()


def step_of(connector: Twilio | WhatsApp, **settings: Any) -> EffectStep:
    target = {"recipients": [PERSON], "settings": settings}
    [step] = connector.plan(delivery(connector.manifest.system, target=target))
    return step


def act(emulators: Emulators, path: str, **given: Any) -> dict[str, Any]:
    answer = emulators._client.post(f"/_emulators/{path}", json=given).raise_for_status()
    return answer.json()


def told(inbound: Inbound, receiver: Receiver, secret: str) -> list[InboundEvent]:
    """The events of the last webhook, which has to be genuine."""
    request = receiver.received[-1]
    assert inbound.check(request, [secret], NOW) is Verdict.GENUINE
    assert inbound.check(request, ["another"], NOW) is Verdict.FORGED
    events = inbound.read(request, NOW)
    assert not [event for event in events if PERSON[1:] in repr(event)]
    return events


async def test_a_key_pressed_in_a_call_answers_its_notification(
    twilio: Twilio, emulators: Emulators, receiver: Receiver
) -> None:
    step = step_of(twilio, channel="voice")
    made = await twilio.apply(step)
    heard = act(emulators, f"twilio/calls/{made.remote_id}/answer", digits="1")
    [answer] = told(Twilio.inbound, receiver, AUTH_TOKEN)
    assert isinstance(answer, Answered)
    assert answer.action_id == "ack"
    assert (answer.about.effect_id, answer.about.remote_id) == (step.effect_id, made.remote_id)
    assert answer.about.notification_id == "notif-0001"
    assert heard["status"] == 200


@pytest.mark.parametrize("digits", ["0", "9", "*", "#"])
async def test_a_key_that_stands_for_nothing_answers_nothing(
    twilio: Twilio, emulators: Emulators, receiver: Receiver, digits: str
) -> None:
    made = await twilio.apply(step_of(twilio, channel="voice"))
    act(emulators, f"twilio/calls/{made.remote_id}/answer", digits=digits)
    assert told(Twilio.inbound, receiver, AUTH_TOKEN) == []


async def test_the_words_of_a_text_typed_back_answer_it(
    twilio: Twilio, emulators: Emulators, receiver: Receiver
) -> None:
    step = step_of(twilio)
    await twilio.apply(step)
    body = step.payload["form"]["Body"]  # type: ignore[index, call-overload]
    words = (
        next(line for line in body.splitlines() if line.startswith("Reply ack")).split(":")[0].removeprefix("Reply ")
    )
    act(emulators, "twilio/replies", **{"from": PERSON, "body": words.capitalize(), "url": receiver.url})
    [answer] = told(Twilio.inbound, receiver, AUTH_TOKEN)
    assert isinstance(answer, Answered)
    assert answer.action_id == "ack"
    assert step.effect_id.startswith(answer.about.effect_prefix)
    assert len(answer.about.effect_prefix) == 6


async def test_somebody_who_says_stop_is_not_written_to_again(
    twilio: Twilio, emulators: Emulators, receiver: Receiver
) -> None:
    act(emulators, "twilio/replies", **{"from": PERSON, "body": "Stop", "url": receiver.url})
    assert told(Twilio.inbound, receiver, AUTH_TOKEN) == []
    with pytest.raises(Exception, match="STOP"):
        await twilio.apply(step_of(twilio))


@pytest.mark.parametrize(
    ("status", "code", "state", "word"),
    [
        ("delivered", None, NotificationState.DELIVERED, None),
        ("undelivered", 30007, None, "carrier_filtered"),
        ("failed", 30003, None, "not_delivered"),
        ("failed", 21610, None, "recipient_unsubscribed"),
    ],
)
async def test_what_became_of_a_text_is_told_of_its_effect(
    twilio: Twilio,
    emulators: Emulators,
    receiver: Receiver,
    status: str,
    code: int | None,
    state: NotificationState | None,
    word: str | None,
) -> None:
    step = step_of(twilio)
    sent = await twilio.apply(step)
    act(emulators, f"twilio/messages/{sent.remote_id}/status", status=status, errorCode=code)
    [seen] = told(Twilio.inbound, receiver, AUTH_TOKEN)
    assert isinstance(seen, Observed)
    assert (seen.about.effect_id, seen.about.remote_id) == (step.effect_id, sent.remote_id)
    assert (seen.state, seen.error and seen.error.code) == (state, word)


@pytest.mark.parametrize(
    ("status", "state"), [("completed", NotificationState.DELIVERED), ("busy", None), ("no-answer", None)]
)
async def test_what_became_of_a_call_is_told_of_its_effect(
    twilio: Twilio, emulators: Emulators, receiver: Receiver, status: str, state: NotificationState | None
) -> None:
    step = step_of(twilio, channel="voice")
    made = await twilio.apply(step)
    act(emulators, f"twilio/calls/{made.remote_id}/status", status=status)
    [seen] = told(Twilio.inbound, receiver, AUTH_TOKEN)
    assert isinstance(seen, Observed)
    assert (seen.about.effect_id, seen.state, seen.error is None) == (step.effect_id, state, state is not None)


async def test_whoever_answered_hears_or_reads_our_words_and_a_status_gets_none(
    twilio: Twilio, emulators: Emulators, receiver: Receiver
) -> None:
    made = await twilio.apply(step_of(twilio, channel="voice"))
    act(emulators, f"twilio/calls/{made.remote_id}/answer", digits="1")
    act(emulators, "twilio/replies", **{"from": PERSON, "body": "ack 123456", "url": receiver.url})
    act(emulators, f"twilio/calls/{made.remote_id}/status", status="completed")
    bodies = [Twilio.inbound.receipt(request, "Thanks & bye").body for request in receiver.received]
    assert bodies == [
        "<Response><Say>Thanks &amp; bye</Say></Response>",
        "<Response><Message>Thanks &amp; bye</Message></Response>",
        "<Response></Response>",
    ]


@pytest.mark.parametrize(
    "settings",
    [{"quickReplies": True}, {"serviceWindowUntil": "2027-06-01T10:30:00+00:00"}],
    ids=["a template's quick reply", "a button inside the window"],
)
async def test_a_button_pressed_on_whatsapp_answers_its_notification(
    whatsapp: WhatsApp, emulators: Emulators, receiver: Receiver, settings: dict[str, Any]
) -> None:
    act(emulators, "whatsapp/replies", **{"from": PERSON, "body": "Hello"})
    step = step_of(whatsapp, **settings)
    sent = await whatsapp.apply(step)
    message = emulators.effects("whatsapp")[-1]["objectId"]
    act(emulators, "whatsapp/replies", **{"from": PERSON, "messageId": message, "button": 0, "url": receiver.url})
    [answer] = told(WhatsApp.inbound, receiver, APP_SECRET)
    assert isinstance(answer, Answered)
    assert (answer.action_id, answer.about.notification_id) == ("ack", "notif-0001")
    assert (answer.about.effect_id, answer.about.remote_id) == (step.effect_id, sent.remote_id)


@pytest.mark.parametrize(
    ("status", "code", "state", "word"),
    [
        ("read", None, NotificationState.READ, None),
        ("failed", 131047, None, "template_required"),
        ("failed", 131026, None, "recipient_unreachable"),
        ("failed", 999999, None, "not_delivered"),
    ],
)
async def test_what_became_of_a_whatsapp_message_is_told_of_its_effect(
    whatsapp: WhatsApp,
    emulators: Emulators,
    receiver: Receiver,
    status: str,
    code: int | None,
    state: NotificationState | None,
    word: str | None,
) -> None:
    step = step_of(whatsapp, template="wedding_update")
    sent = await whatsapp.apply(step)
    message = emulators.effects("whatsapp")[-1]["objectId"]
    act(emulators, "whatsapp/statuses", messageId=message, status=status, errorCode=code, url=receiver.url)
    [seen] = told(WhatsApp.inbound, receiver, APP_SECRET)
    assert isinstance(seen, Observed)
    assert (seen.about.effect_id, seen.about.remote_id) == (step.effect_id, sent.remote_id)
    assert (seen.state, seen.error and seen.error.code) == (state, word)


async def test_no_id_that_we_keep_holds_the_recipients_number(whatsapp: WhatsApp, emulators: Emulators) -> None:
    sent = await whatsapp.apply(step_of(whatsapp, template="wedding_update"))
    theirs = emulators.effects("whatsapp")[-1]["objectId"].removeprefix("wamid.")
    assert PERSON[1:].encode() in base64.b64decode(theirs)
    assert sent.remote_id is not None
    assert bytes.fromhex(sent.remote_id)


async def test_f72_an_event_told_twice_has_one_id(
    whatsapp: WhatsApp, twilio: Twilio, emulators: Emulators, receiver: Receiver
) -> None:
    made = await twilio.apply(step_of(twilio, channel="voice"))
    for _ in range(2):
        act(emulators, f"twilio/calls/{made.remote_id}/answer", digits="1")
    first, second = (Twilio.inbound.read(request, NOW)[0].event_id for request in receiver.received)
    assert first == second


@pytest.mark.parametrize(
    ("query", "secret", "echo"),
    [
        ("hub.mode=subscribe&hub.challenge=42&hub.verify_token=right", "right", "42"),
        ("hub.mode=subscribe&hub.challenge=42&hub.verify_token=wrong", "right", None),
        ("hub.mode=subscribe&hub.challenge=42&hub.verify_token=", "", None),
        ("hub.challenge=42&hub.verify_token=right", "right", None),
        ("", "right", None),
    ],
)
def test_metas_question_at_set_up_is_answered_with_the_right_token_only(
    query: str, secret: str, echo: str | None
) -> None:
    request = SignedRequest("GET", f"https://hooks.example.com/h?{query}", {}, b"")
    assert WhatsApp.inbound.challenge(request, secret) == echo
    assert WhatsApp.inbound.challenge(replace(request, method="POST"), secret) is None


def webhook(message: dict[str, Any]) -> bytes:
    change = {"field": "messages", "value": {"messages": [message], "statuses": [message]}}
    return json.dumps({"entry": [{"changes": [change]}]}).encode()


JSON = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
FIELDS = st.sampled_from(["type", "id", "status", "context", "button", "interactive", "errors", "timestamp", "payload"])
PRESSED = {"type": "button", "button": {"payload": "[" * 100_000}}


@pytest.mark.parametrize("inbound", [Twilio.inbound, WhatsApp.inbound], ids=["twilio", "whatsapp"])
@given(
    body=st.binary(max_size=200)
    | st.dictionaries(FIELDS, JSON).map(webhook)
    | st.sampled_from([b"[" * 100_000, webhook(PRESSED)]),
    query=st.text("abc=&%,", max_size=20),
)
def test_f67_whatever_is_in_a_webhook_it_is_read_or_left_out(inbound: Inbound, body: bytes, query: str) -> None:
    request = SignedRequest("POST", f"https://hooks.example.com/h?{query}", {}, body)
    assert isinstance(inbound.read(request, NOW), list)
    assert inbound.receipt(request, "Thanks").media_type
