"""What the emulated phones send us over TCP: signed as the vendors sign it, and read as what people meant."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.connectors.communication.twilio.connector import Twilio
from activities.connectors.communication.whatsapp.connector import WhatsApp
from activities.connectors.hooks import hook_of
from activities.ports.inbound import Answered, ConfirmedHook, Hook, Observed, Told
from activities.security.signatures import CHECKS, SignedRequest, Verdict
from contracts.actions import ActionAnswer
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


def hook(system: str) -> Hook:
    found = hook_of(system)
    assert found is not None
    return found


def told(system: str, receiver: Receiver, secret: str) -> list[Told]:
    """What the last webhook says, which has to be genuine."""
    request = receiver.received[-1]
    assert CHECKS[system](request, [secret], NOW) is Verdict.GENUINE
    assert CHECKS[system](request, ["another"], NOW) is Verdict.FORGED
    return list(hook(system).told(request, NOW))


async def test_a_key_pressed_in_a_call_answers_its_notification(
    twilio: Twilio, emulators: Emulators, receiver: Receiver
) -> None:
    step = step_of(twilio, channel="voice")
    made = await twilio.apply(step)
    heard = act(emulators, f"twilio/calls/{made.remote_id}/answer", digits="1")
    [answer] = told("twilio", receiver, AUTH_TOKEN)
    assert isinstance(answer, Answered)
    assert answer.action_id == "ack"
    assert (answer.about.effect_id, answer.notification_id) == (step.effect_id, "notif-0001")
    assert heard["status"] == 200


@pytest.mark.parametrize("digits", ["0", "9", "*", "#"])
async def test_a_key_that_stands_for_nothing_answers_nothing(
    twilio: Twilio, emulators: Emulators, receiver: Receiver, digits: str
) -> None:
    made = await twilio.apply(step_of(twilio, channel="voice"))
    act(emulators, f"twilio/calls/{made.remote_id}/answer", digits=digits)
    assert told("twilio", receiver, AUTH_TOKEN) == []


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
    [answer] = told("twilio", receiver, AUTH_TOKEN)
    assert isinstance(answer, Answered)
    assert answer.action_id == "ack"
    assert step.effect_id.startswith(answer.about.effect_prefix)
    assert len(answer.about.effect_prefix) == 6


async def test_somebody_who_says_stop_is_not_written_to_again(
    twilio: Twilio, emulators: Emulators, receiver: Receiver
) -> None:
    act(emulators, "twilio/replies", **{"from": PERSON, "body": "Stop", "url": receiver.url})
    assert told("twilio", receiver, AUTH_TOKEN) == []
    with pytest.raises(Exception, match="STOP"):
        await twilio.apply(step_of(twilio))


@pytest.mark.parametrize(("status", "state"), [("delivered", NotificationState.DELIVERED), ("undelivered", None)])
async def test_how_far_a_text_came_is_told_of_its_effect(
    twilio: Twilio, emulators: Emulators, receiver: Receiver, status: str, state: NotificationState | None
) -> None:
    step = step_of(twilio)
    sent = await twilio.apply(step)
    act(emulators, f"twilio/messages/{sent.remote_id}/status", status=status, errorCode=None if state else 30007)
    seen = told("twilio", receiver, AUTH_TOKEN)
    assert [(one.about.effect_id, one.state) for one in seen if isinstance(one, Observed)] == (
        [(step.effect_id, state)] if state else []
    )


@pytest.mark.parametrize(("status", "state"), [("in-progress", NotificationState.READ), ("no-answer", None)])
async def test_how_far_a_call_came_is_told_of_its_effect(
    twilio: Twilio, emulators: Emulators, receiver: Receiver, status: str, state: NotificationState | None
) -> None:
    step = step_of(twilio, channel="voice")
    made = await twilio.apply(step)
    act(emulators, f"twilio/calls/{made.remote_id}/status", status=status)
    seen = told("twilio", receiver, AUTH_TOKEN)
    assert [(one.about.effect_id, one.state) for one in seen if isinstance(one, Observed)] == (
        [(step.effect_id, state)] if state else []
    )


async def test_whoever_answered_hears_or_reads_our_words_and_a_status_gets_none(
    twilio: Twilio, emulators: Emulators, receiver: Receiver
) -> None:
    made = await twilio.apply(step_of(twilio, channel="voice"))
    act(emulators, f"twilio/calls/{made.remote_id}/answer", digits="1")
    act(emulators, "twilio/replies", **{"from": PERSON, "body": "ack 123456", "url": receiver.url})
    act(emulators, f"twilio/calls/{made.remote_id}/status", status="completed")
    thanks = [ActionAnswer(accepted=True, message="Thanks & bye")]
    bodies = [hook("twilio").reply(request, thanks).body for request in receiver.received]
    assert bodies == [
        "<Response><Say>Thanks &amp; bye</Say></Response>",
        "<Response><Message>Thanks &amp; bye</Message></Response>",
        "<Response/>",
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
    await whatsapp.apply(step)
    message = emulators.effects("whatsapp")[-1]["objectId"]
    act(emulators, "whatsapp/replies", **{"from": PERSON, "messageId": message, "button": 0, "url": receiver.url})
    [answer] = told("whatsapp", receiver, APP_SECRET)
    assert isinstance(answer, Answered)
    assert (answer.action_id, answer.notification_id) == ("ack", "notif-0001")
    assert answer.about.effect_id == step.effect_id


@pytest.mark.parametrize(("status", "state"), [("read", NotificationState.READ), ("failed", None)])
async def test_how_far_a_whatsapp_message_came_is_told_of_its_effect(
    whatsapp: WhatsApp, emulators: Emulators, receiver: Receiver, status: str, state: NotificationState | None
) -> None:
    step = step_of(whatsapp, template="wedding_update")
    await whatsapp.apply(step)
    message = emulators.effects("whatsapp")[-1]["objectId"]
    code = None if state else 131047
    act(emulators, "whatsapp/statuses", messageId=message, status=status, errorCode=code, url=receiver.url)
    seen = told("whatsapp", receiver, APP_SECRET)
    assert [(one.about.effect_id, one.state) for one in seen if isinstance(one, Observed)] == (
        [(step.effect_id, state)] if state else []
    )


async def test_a_status_without_the_effects_id_is_told_of_the_message_as_we_keep_it(
    whatsapp: WhatsApp, emulators: Emulators
) -> None:
    sent = await whatsapp.apply(step_of(whatsapp, template="wedding_update"))
    body = webhook({"id": emulators.effects("whatsapp")[-1]["objectId"], "status": "sent"})
    [seen] = hook("whatsapp").told(SignedRequest("POST", "https://hooks.example.com/h", {}, body), NOW)
    assert seen.about.remote_id == sent.remote_id


async def test_no_id_that_we_keep_holds_the_recipients_number(whatsapp: WhatsApp, emulators: Emulators) -> None:
    sent = await whatsapp.apply(step_of(whatsapp, template="wedding_update"))
    theirs = emulators.effects("whatsapp")[-1]["objectId"].removeprefix("wamid.")
    assert PERSON[1:].encode() in base64.b64decode(theirs)
    assert sent.remote_id is not None
    assert bytes.fromhex(sent.remote_id)


async def test_f72_an_event_told_twice_has_one_id(twilio: Twilio, emulators: Emulators, receiver: Receiver) -> None:
    made = await twilio.apply(step_of(twilio, channel="voice"))
    for _ in range(2):
        act(emulators, f"twilio/calls/{made.remote_id}/answer", digits="1")
    first, second = (hook("twilio").told(request, NOW)[0].event_id for request in receiver.received)
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
    asked = hook("whatsapp")
    assert isinstance(asked, ConfirmedHook)
    found = asked.confirmation(SignedRequest("GET", f"https://hooks.example.com/h?{query}", {}, b""), secret)
    assert (found and found.body) == echo


def test_a_system_that_asks_nothing_is_not_answered() -> None:
    assert not isinstance(hook("twilio"), ConfirmedHook)


def webhook(message: dict[str, Any]) -> bytes:
    change = {"field": "messages", "value": {"messages": [message], "statuses": [message]}}
    return json.dumps({"entry": [{"changes": [change]}]}).encode()


JSON = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
FIELDS = st.sampled_from(["type", "id", "status", "context", "button", "interactive", "errors", "timestamp", "payload"])
PRESSED = {"type": "button", "button": {"payload": "[" * 100_000}}


@pytest.mark.parametrize("system", ["twilio", "whatsapp"])
@given(
    body=st.binary(max_size=200)
    | st.dictionaries(FIELDS, JSON).map(webhook)
    | st.sampled_from([b"[" * 100_000, webhook(PRESSED)]),
    query=st.text("abc=&%,", max_size=20),
)
def test_f67_whatever_is_in_a_webhook_it_is_read_or_refused_as_unreadable(system: str, body: bytes, query: str) -> None:
    request = SignedRequest("POST", f"https://hooks.example.com/h?{query}", {}, body)
    with suppress(ValueError):
        assert isinstance(hook(system).told(request, NOW), list)
