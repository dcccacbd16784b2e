"""Twilio against its emulated account: one text or call per recipient, looks before repeats, and calls hung up."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from defusedxml.ElementTree import fromstring

from activities.connectors.communication.twilio.connector import CALL, MESSAGE, Twilio
from activities.transform.phones import read_answer
from contracts.effects import Delivery, EffectStep, Rendered, StandingEffect
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from tests.support.deliveries import connection, delivery
from tests.support.delivery_suite import DeliverySuite, raises_typed
from tests.support.emulators import Emulators
from tests.support.specs import specs_dir

EMULATED = ("twilio",)
ACCOUNT = "AC" + "5a" * 16
CREDENTIAL = {"accountSid": ACCOUNT, "authToken": "sandbox-twilio-auth-token"}
API_KEY = {"accountSid": ACCOUNT, "apiKeySid": "SK" + "5a" * 16, "apiKeySecret": "sandbox-twilio-api-secret"}
SENDER = {"fromNumber": "+447700900100"}
PLANNER = "+447700900101"
HOOK = "https://hooks.wedsync.example/v1/hooks/twilio/t0k3n"
ANSWERED = {**SENDER, "hookUrl": HOOK}
TO_THE_PLANNER = {"recipients": [PLANNER]}
BY_VOICE = {**TO_THE_PLANNER, "settings": {"channel": "voice"}}


class TestATextMessage(DeliverySuite):
    connector_class = Twilio
    credential = CREDENTIAL
    settings = SENDER
    target = TO_THE_PLANNER
    write_path = r"Messages\.json"
    created = "message.created"


class TestACall(DeliverySuite):
    connector_class = Twilio
    credential = API_KEY
    settings = ANSWERED
    target = BY_VOICE
    write_path = r"Calls\.json"
    created = "call.created"


@pytest.fixture
async def twilio(emulators: Emulators) -> AsyncIterator[Twilio]:
    connector = Twilio(connection("twilio", emulators.base_url("twilio"), CREDENTIAL, **SENDER))
    yield connector
    await connector.aclose()


def planned(**settings: Any) -> Twilio:
    """A connector that reaches nobody."""
    return Twilio(connection("twilio", "http://127.0.0.1:9", CREDENTIAL, **{**SENDER, **settings}))


def wanted(to: str = PLANNER, channel: str = "sms", **given: Any) -> Delivery:
    target = {"recipients": [to], "settings": {"channel": channel}}
    made = delivery("twilio", target=target, **given)
    return made.model_copy(update={"occurred_at": datetime.now(UTC)})


def step_of(connector: Twilio, *given: Any, **more: Any) -> EffectStep:
    [step] = connector.plan(wanted(*given, **more))
    return step


def form_of(step: EffectStep) -> dict[str, str]:
    return step.payload["form"]  # type: ignore[return-value]


def standing(step: EffectStep, remote_id: str | None) -> StandingEffect:
    about = step.model_dump(include={"effect_id", "organization_id", "integration_id", "system", "kind"})
    return StandingEffect(**about, remote_id=remote_id, workflow_id="run", applied_at=datetime.now(UTC))


async def act(emulators: Emulators, path: str, **given: Any) -> dict[str, Any]:
    answer = emulators._client.post(f"/_emulators/twilio/{path}", json=given)
    answer.raise_for_status()
    return answer.json()


def test_each_recipient_gets_a_step_of_its_own_once() -> None:
    twice = delivery("twilio", target={"recipients": [PLANNER, "+44 7700 900-101", "+1 (202) 555-0143"]})
    steps = planned().plan(twice)
    assert [form_of(step)["To"] for step in steps] == [PLANNER, "+12025550143"]
    assert len({step.effect_id for step in steps}) == 2


def test_no_number_stands_where_the_ledger_could_read_it() -> None:
    step = step_of(planned())
    assert PLANNER[1:] not in step.model_dump_json(exclude={"payload"})


@pytest.mark.parametrize("wrong", ["07700900101", "+0123456789", "planner@example.com", "+44770090010123456", "911"])
def test_what_is_no_number_is_refused_and_not_repeated_in_the_error(wrong: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        planned().plan(delivery("twilio", target={"recipients": [wrong]}))
    assert caught.value.detail.code == "recipient_invalid"
    assert wrong not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "settings", "code"),
    [
        ({"recipients": []}, SENDER, "recipients_missing"),
        ({"recipients": [PLANNER], "settings": {"channel": "fax"}}, SENDER, "channel_unknown"),
        ({"recipients": [PLANNER]}, {}, "sender_missing"),
        (
            {"recipients": [PLANNER], "settings": {"channel": "voice"}},
            {"messagingServiceSid": "MG" + "5a" * 16},
            "sender_missing",
        ),
    ],
)
def test_what_a_delivery_lacks_is_told_before_anything_is_sent(
    target: dict[str, Any], settings: dict[str, str], code: str
) -> None:
    connector = Twilio(connection("twilio", "http://127.0.0.1:9", CREDENTIAL, **settings))
    with pytest.raises(InvalidInput) as caught:
        connector.plan(delivery("twilio", target=target))
    assert caught.value.detail.code == code


def test_a_credential_without_a_secret_is_told_as_incomplete() -> None:
    with pytest.raises(InvalidInput):
        Twilio(connection("twilio", "http://127.0.0.1:9", {"accountSid": ACCOUNT}))


def test_a_text_says_which_words_answer_it_and_the_words_lead_back_to_its_effect() -> None:
    step = step_of(planned(hookUrl=HOOK))
    line = next(line for line in form_of(step)["Body"].splitlines() if line.startswith("Reply ack "))
    answer = read_answer(line.removeprefix("Reply ").split(":")[0])
    assert answer is not None
    assert answer.action_id == "ack"
    assert step.effect_id.startswith(answer.effect_prefix)


def test_a_text_does_not_ask_for_answers_that_nobody_would_receive() -> None:
    assert "Reply" not in form_of(step_of(planned()))["Body"]


def test_a_long_text_is_cut_and_keeps_its_links_and_answers() -> None:
    actions = [
        {"actionId": "ack", "label": "Got it", "type": "acknowledge"},
        {"actionId": "map", "label": "Map", "type": "link", "url": "https://maps.example.com/orangery"},
    ]
    body = form_of(step_of(planned(hookUrl=HOOK), rendered=Rendered(text="word " * 790), actions=actions))["Body"]
    assert len(body) <= 1_600
    assert "…\nMap: https://maps.example.com/orangery\nReply ack " in body


def test_a_call_says_the_words_twice_and_names_the_keys() -> None:
    step = step_of(planned(hookUrl=HOOK), channel="voice", title="Move <indoors> & wait\x07")
    gather = fromstring(form_of(step)["Twiml"]).find("Gather")
    assert gather is not None
    said = [say.text or "" for say in gather.findall("Say")]
    assert [words.startswith("Move indoors wait . The ceremony") for words in said] == [True, False, True, False]
    assert said[1] == "Press 1 for Got it. Press 2 for Call the planner."
    asked = parse_qs(urlsplit(gather.attrib["action"]).query)
    assert asked == {"effect": [step.effect_id], "notification": ["notif-0001"], "actions": ["ack,call"]}


def test_a_call_without_an_address_for_keys_only_speaks() -> None:
    twiml = fromstring(form_of(step_of(planned(), channel="voice"))["Twiml"])
    assert [part.tag for part in twiml] == ["Say", "Pause", "Say"]


@pytest.mark.parametrize("character", ["x", "&"])
def test_the_longest_call_fits_the_vendors_limit(character: str) -> None:
    actions = [{"actionId": f"{n}" * 64, "label": character * 75, "type": "choose"} for n in range(9)]
    connector = planned(hookUrl=f"{HOOK}{'x' * 150}")
    given = {"notificationId": "n" * 64, "actions": actions, "rendered": Rendered(text=character * 4_000)}
    assert len(form_of(step_of(connector, channel="voice", **given))["Twiml"]) <= 4_000


@pytest.mark.parametrize("channel", ["sms", "voice"])
def test_every_request_is_one_the_vendor_describes(channel: str) -> None:
    path = specs_dir("twilio") / "twilio_api_v2010.json.gz"
    described = json.loads(gzip.decompress(path.read_bytes()))
    step = step_of(planned(hookUrl=HOOK), channel=channel, priority="critical")
    resource = "Calls" if channel == "voice" else "Messages"
    operation = described["paths"][f"/2010-04-01/Accounts/{{AccountSid}}/{resource}.json"]["post"]
    schema = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert set(form_of(step)) <= set(schema["properties"])
    assert set(schema["required"]) <= set(form_of(step))


@pytest.mark.parametrize(
    ("channel", "number", "code"),
    [
        ("sms", "+15005550001", "recipient_invalid"),
        ("sms", "+15005550002", "recipient_invalid"),
        ("sms", "+15005550003", "region_not_enabled"),
        ("sms", "+15005550004", "recipient_unsubscribed"),
        ("sms", "+15005550009", "recipient_invalid"),
        ("voice", "+15005550001", "recipient_invalid"),
        ("voice", "+15005550002", "recipient_invalid"),
        ("voice", "+15005550003", "region_not_enabled"),
    ],
)
async def test_each_code_of_the_vendor_becomes_the_error_that_says_what_to_do(
    twilio: Twilio, channel: str, number: str, code: str
) -> None:
    with raises_typed() as found:
        await twilio.apply(step_of(twilio, number, channel))
    assert (type(found[0]), found[0].detail.code, found[0].detail.owner) == (Permanent, code, "tenant")


@pytest.mark.parametrize(
    ("sender", "kind", "code"),
    [
        ("+15005550001", Permanent, "sender_invalid"),
        ("+15005550007", Permanent, "sender_invalid"),
        ("+15005550008", RateLimited, "rate_limited"),
    ],
)
async def test_a_sender_that_is_wrong_or_busy_is_told_apart(
    emulators: Emulators, sender: str, kind: type[WedSyncError], code: str
) -> None:
    connector = Twilio(connection("twilio", emulators.base_url("twilio"), CREDENTIAL, fromNumber=sender))
    with raises_typed() as found:
        await connector.apply(step_of(connector))
    assert (type(found[0]), found[0].detail.code) == (kind, code)
    await connector.aclose()


async def test_a_text_is_found_although_the_messaging_service_replaces_characters(
    emulators: Emulators,
) -> None:
    service = {"messagingServiceSid": "MG" + "5a" * 16}
    connector = Twilio(connection("twilio", emulators.base_url("twilio"), CREDENTIAL, **service))
    step = step_of(connector, title="Anna\u2019s ceremony \u2013 moved\u2026")
    sent = await connector.apply(step)
    found = await connector.find(step)
    assert found is not None
    assert found.remote_id == sent.remote_id
    await connector.aclose()


async def test_a_message_is_found_behind_newer_pages(twilio: Twilio, monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_of(twilio)
    sent = await twilio.apply(step)
    for number in range(3):
        await twilio.apply(step_of(twilio, title=f"Later {number}"))
    found = await _with_pages_of(twilio, 2, monkeypatch).find(step)
    assert found is not None
    assert found.remote_id == sent.remote_id


def _with_pages_of(connector: Twilio, size: int, monkeypatch: pytest.MonkeyPatch) -> Twilio:
    monkeypatch.setattr(Twilio, "manifest", replace(Twilio.manifest, page_size=size))
    return connector


async def test_a_look_that_would_read_too_much_leaves_the_outcome_open(
    twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        await twilio.apply(step_of(twilio, title=f"Later {number}"))
    with raises_typed() as found:
        await _with_pages_of(twilio, 1, monkeypatch).find(step_of(twilio))
    assert (type(found[0]), found[0].detail.code) == (OutcomeUnknown, "look_up_exhausted")


async def test_the_same_words_of_an_earlier_notification_are_not_taken_for_this_one(twilio: Twilio) -> None:
    await twilio.apply(step_of(twilio))
    later = wanted().model_copy(update={"occurred_at": datetime.now(UTC) + timedelta(minutes=5)})
    [step] = twilio.plan(later)
    assert await twilio.find(step) is None


async def test_a_call_before_this_one_was_intended_is_not_taken_for_it(twilio: Twilio) -> None:
    await twilio.apply(step_of(twilio, channel="voice"))
    later = wanted(channel="voice").model_copy(update={"occurred_at": datetime.now(UTC) + timedelta(seconds=10)})
    [step] = twilio.plan(later)
    assert await twilio.find(step) is None


async def test_other_words_to_the_same_person_are_not_taken_for_these(twilio: Twilio) -> None:
    await twilio.apply(step_of(twilio, title="Something else"))
    assert await twilio.find(step_of(twilio)) is None


async def test_a_message_that_the_carrier_filtered_is_told_as_failed(twilio: Twilio, emulators: Emulators) -> None:
    step = step_of(twilio)
    sent = await twilio.apply(step)
    await act(emulators, f"messages/{sent.remote_id}/status", status="undelivered", errorCode=30007)
    with raises_typed() as found:
        await twilio.find(step)
    assert (type(found[0]), found[0].detail.code) == (Permanent, "carrier_filtered")


async def test_an_account_that_keeps_no_bodies_leaves_the_outcome_open(
    twilio: Twilio, emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = step_of(twilio)
    await twilio.apply(step)
    real = twilio._http.request_json

    async def redacted(*given: Any, **more: Any) -> Any:
        answer = await real(*given, **more)
        return {**answer, "messages": [{**one, "body": ""} for one in answer["messages"]]}

    monkeypatch.setattr(twilio._http, "request_json", redacted)
    with raises_typed() as found:
        await twilio.find(step)
    assert type(found[0]) is OutcomeUnknown


@pytest.mark.parametrize("fault", ["garbage", "html_login_page", "reset"])
async def test_a_look_without_a_usable_answer_is_transient(twilio: Twilio, emulators: Emulators, fault: str) -> None:
    emulators.fault("twilio", fault, method="GET", count=1)
    with raises_typed() as found:
        await twilio.find(step_of(twilio))
    assert type(found[0]) is Transient


async def test_a_list_that_leads_to_another_account_is_not_followed(
    twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def elsewhere(*given: Any, **more: Any) -> Any:
        return {"messages": [], "next_page_uri": "/2010-04-01/Accounts/AC00/Messages.json"}

    monkeypatch.setattr(twilio._http, "request_json", elsewhere)
    with raises_typed() as found:
        await twilio.find(step_of(twilio))
    assert found[0].detail.code == "vendor_bad_response"


@pytest.mark.parametrize("status", ["queued", "ringing", "in-progress"])
async def test_a_call_is_hung_up_once_and_may_be_hung_up_again(
    twilio: Twilio, emulators: Emulators, status: str
) -> None:
    step = step_of(twilio, channel="voice")
    made = await twilio.apply(step)
    await act(emulators, f"calls/{made.remote_id}/status", status=status)
    for _ in range(2):
        await twilio.retract(standing(step, made.remote_id))
    assert [one["kind"] for one in emulators.effects("twilio")] == ["call.created", "call.ended"]


async def test_hanging_up_a_call_that_the_vendor_forgot_is_no_error(twilio: Twilio) -> None:
    await twilio.retract(standing(step_of(twilio, channel="voice"), "CA" + "0" * 32))


def test_only_calls_can_be_taken_back() -> None:
    assert Twilio.manifest.reversible == {CALL}
    assert MESSAGE not in Twilio.manifest.reversible


async def test_an_account_that_is_suspended_asks_for_a_new_connection(
    twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def suspended(*given: Any, **more: Any) -> Any:
        return {"sid": ACCOUNT, "status": "suspended"}

    monkeypatch.setattr(twilio._http, "request_json", suspended)
    with raises_typed() as found:
        await twilio.probe()
    assert type(found[0]) is AuthExpired
