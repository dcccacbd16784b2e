"""Phones against a real stack: a key, a reply and a button of whoever was reached are shown by the other systems."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.e2e.conftest import ROOT, RunningStack
from tests.e2e.documents import ORGANIZATION, routing
from tests.support.emulators import Emulators

PERSON = "+447700900101"
CRM = {
    "systemId": "crm",
    "systemType": "hubspot",
    "integrationId": "hubspot-main",
    "contacts": [{"crmContactId": "501"}],
}


def example(system: str, **config: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "examples" / f"integration-{system}.json").read_text())
    document["connectionConfig"] |= config
    return document


def door(stack: RunningStack, integration_id: str) -> str:
    return str(stack.json("integrations", "hook", integration_id, "--organization", ORGANIZATION)["url"])


@pytest.fixture
def twilio(connected: RunningStack) -> str:
    """The address of Twilio's door, with which the integration is told to ask for answers."""
    connected.connect(example("twilio"))
    url = door(connected, "twilio-main")
    told = example("twilio", hookUrl=url)
    told["connectionConfig"].pop("credential")
    connected.json("integrations", "reconfigure", connected.file(told))
    return url


@pytest.fixture
def whatsapp(connected: RunningStack) -> str:
    credential = example("whatsapp")["connectionConfig"]["credential"] | {"verifyToken": "our-own-word"}
    connected.connect(example("whatsapp", credential=credential))
    return door(connected, "whatsapp-main")


def send(stack: RunningStack, routing_id: str, system: str, status: str = "success", **settings: Any) -> None:
    """Send a notification that asks for an acknowledgement to a phone, and note it in the CRM."""
    given = routing(routing_id)
    given["sourceNotification"]["actions"] = [{"actionId": "ack", "label": "Got it", "type": "acknowledge"}]
    phone = {"systemId": "phone", "systemType": system, "integrationId": f"{system}-main", "settings": settings}
    given["targetSystems"] = [{**phone, "recipients": [PERSON]}, CRM]
    done = json.loads(stack.cli("notify", stack.file(given), "--json").stdout)
    assert done["overallStatus"] == status


def held(emulators: Emulators, system: str, object_type: str, routing_id: str) -> dict[str, Any]:
    [found] = [one for one in emulators.objects(system, object_type) if routing_id in json.dumps(one)]
    return found


def act(emulators: Emulators, path: str, **given: Any) -> dict[str, Any]:
    answer: dict[str, Any] = emulators._client.post(f"/_emulators/{path}", json=given).raise_for_status().json()
    return answer


def until_acknowledged(emulators: Emulators, routing_id: str) -> None:
    def state() -> object:
        notes = [note["properties"] for note in emulators.objects("hubspot", "notes")]
        return [note.get("wedsync_state") for note in notes if routing_id in note["hs_note_body"]]

    while state() != ["acknowledged"]:
        time.sleep(0.2)  # noqa: TID251 - a test outside Temporal


def test_a_key_pressed_in_a_call_reaches_the_crm_and_is_answered(
    connected: RunningStack, twilio: str, emulators: Emulators, fresh: str
) -> None:
    send(connected, fresh, "twilio", channel="voice")
    call = held(emulators, "twilio", "forms", fresh)
    assert call["StatusCallback"].startswith(twilio)
    [made] = [one for one in emulators.effects("twilio") if fresh in json.dumps(one)]
    heard = act(emulators, f"twilio/calls/{made['objectId']}/answer", digits="1")
    assert heard["status"] == 200
    assert "<Say>" in heard["body"]
    until_acknowledged(emulators, fresh)


def test_a_reply_to_a_text_reaches_the_crm(
    connected: RunningStack, twilio: str, emulators: Emulators, fresh: str
) -> None:
    send(connected, fresh, "twilio")
    text = held(emulators, "twilio", "messages", fresh)["body"]
    line = next(line for line in text.splitlines() if line.startswith("Reply ack"))
    words = line.removeprefix("Reply ").split(":")[0].capitalize()
    assert act(emulators, "twilio/replies", **{"from": PERSON, "body": words, "url": twilio})["status"] == 200
    until_acknowledged(emulators, fresh)


def test_a_button_pressed_on_whatsapp_reaches_the_crm(
    connected: RunningStack, whatsapp: str, emulators: Emulators, fresh: str
) -> None:
    act(emulators, "whatsapp/replies", **{"from": PERSON, "body": "Hello"})
    send(connected, fresh, "whatsapp", serviceWindowUntil="2100-01-01T00:00:00Z")
    message = held(emulators, "whatsapp", "messages", fresh)["id"]
    pressed = {"from": PERSON, "messageId": message, "button": 0, "url": whatsapp}
    assert act(emulators, "whatsapp/replies", **pressed)["status"] == 200
    until_acknowledged(emulators, fresh)


@pytest.mark.parametrize(("token", "status"), [("our-own-word", 200), ("somebody-elses", 404)])
def test_meta_learns_that_the_address_is_ours_by_our_own_word_only(whatsapp: str, token: str, status: int) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": token}
    answer = httpx.get(whatsapp, params=query, trust_env=False, timeout=60)
    assert answer.status_code == status
    assert (answer.text == "1158201444") is (status == 200)


def test_an_address_of_a_system_that_asks_nothing_gives_nothing_away(twilio: str) -> None:
    assert httpx.get(twilio, trust_env=False, timeout=60).status_code == 404


def applied(emulators: Emulators, system: str, routing_id: str) -> int:
    return sum(routing_id in json.dumps(one) for one in emulators.effects(system))


@pytest.mark.parametrize("channel", ["sms", "voice"])
def test_f21_somebody_whose_message_was_sent_and_not_confirmed_is_reached_once(
    connected: RunningStack, twilio: str, emulators: Emulators, fresh: str, channel: str
) -> None:
    emulators.fault("twilio", "drop_after_effect", method="POST", path="Messages|Calls", count=1)
    send(connected, fresh, "twilio", channel=channel)
    assert applied(emulators, "twilio", fresh) == 1


def test_f21_a_whatsapp_message_that_was_not_confirmed_is_told_and_not_repeated(
    connected: RunningStack, whatsapp: str, emulators: Emulators, fresh: str
) -> None:
    emulators.fault("whatsapp", "drop_after_effect", method="POST", path="messages", count=1)
    given = routing(fresh)
    phone = {"systemId": "phone", "systemType": "whatsapp", "integrationId": "whatsapp-main"}
    given["targetSystems"] = [{**phone, "recipients": [PERSON]}]
    done = connected.cli("notify", connected.file(given), "--json")
    [target] = json.loads(done.stdout)["systemResults"]
    assert target["deliveryResults"][0]["error"]["code"] == "outcome_unknown"
    assert applied(emulators, "whatsapp", fresh) == 1


def test_a_message_that_was_not_confirmed_is_answered_all_the_same(
    connected: RunningStack, whatsapp: str, emulators: Emulators, fresh: str
) -> None:
    act(emulators, "whatsapp/replies", **{"from": PERSON, "body": "Hello"})
    emulators.fault("whatsapp", "drop_after_effect", method="POST", path="messages", count=1)
    send(connected, fresh, "whatsapp", status="partial_failure", serviceWindowUntil="2100-01-01T00:00:00Z")
    message = held(emulators, "whatsapp", "messages", fresh)["id"]
    act(emulators, "whatsapp/replies", **{"from": PERSON, "messageId": message, "button": 0, "url": whatsapp})
    until_acknowledged(emulators, fresh)


def sent_with_a_stand_in(stack: RunningStack, emulators: Emulators, routing_id: str) -> dict[str, Any]:
    """Send a text for which the team's chat stands by, and return what Twilio did."""
    given = routing(routing_id)
    phone = {"systemId": "phone", "systemType": "twilio", "integrationId": "twilio-main", "failover": ["team-chat"]}
    given["targetSystems"].insert(0, {**phone, "recipients": [PERSON]})
    assert stack.json("notify", stack.file(given))["overallStatus"] == "success"
    [made] = [one for one in emulators.effects("twilio") if routing_id in json.dumps(one)]
    assert emulators.messages(routing_id) == 0
    return dict(made)


def codes(stack: RunningStack, routing_id: str) -> list[str]:
    found = stack.json("explain", f"n-{routing_id}", "--organization", ORGANIZATION)
    return [one["code"] for run in found["runs"] for one in run["decisions"]]


@pytest.mark.usefixtures("twilio")
def test_a_text_that_was_not_delivered_goes_to_the_chat_once_and_explain_says_why(
    connected: RunningStack, emulators: Emulators, fresh: str
) -> None:
    made = sent_with_a_stand_in(connected, emulators, fresh)
    for _ in range(2):
        told = act(emulators, f"twilio/messages/{made['objectId']}/status", status="undelivered", errorCode=30003)
        assert told["status"] == 200
    while emulators.messages(fresh) == 0:
        time.sleep(0.2)  # noqa: TID251 - a test outside Temporal
    while codes(connected, fresh).count("acknowledged") < 2:
        time.sleep(0.2)  # noqa: TID251 - a test outside Temporal
    assert codes(connected, fresh).count("undelivered:not_delivered") == 1
    assert emulators.messages(fresh) == 1


@pytest.mark.usefixtures("twilio")
def test_f70_a_receipt_at_another_organisations_door_says_nothing_of_this_ones_messages(
    connected: RunningStack, emulators: Emulators, fresh: str
) -> None:
    theirs = example("twilio") | {"organizationId": f"harbour-{fresh}"}
    connected.json("integrations", "connect", connected.file(theirs))
    hook = connected.json("integrations", "hook", "twilio-main", "--organization", f"harbour-{fresh}")["url"]
    made = sent_with_a_stand_in(connected, emulators, fresh)
    [effect] = parse_qs(urlsplit(held(emulators, "twilio", "forms", fresh)["StatusCallback"]).query)["effect"]
    url = f"{hook}?effect={effect}"
    form = {"ErrorCode": "30003", "MessageSid": str(made["objectId"]), "MessageStatus": "undelivered"}
    plain = url + "".join(f"{name}{value}" for name, value in sorted(form.items()))
    token = theirs["connectionConfig"]["credential"]["authToken"]
    signature = base64.b64encode(hmac.new(token.encode(), plain.encode(), hashlib.sha1).digest()).decode()
    answer = httpx.post(url, data=form, headers={"X-Twilio-Signature": signature}, trust_env=False, timeout=60)
    assert answer.status_code == 200
    assert not [code for code in codes(connected, fresh) if code.startswith("undelivered")]
    assert emulators.messages(fresh) == 0
