"""Webhooks of vendors, as their documents describe them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from activities.connectors.hooks import HOOKS, hook_of
from activities.connectors.registry import connector_class
from activities.ports.inbound import About, Answered, Observed, Told
from activities.security.signatures import CHECKS, SignedRequest
from contracts.actions import ActionAnswer
from contracts.engagement import NotificationState

NOW = datetime(2027, 6, 12, 14, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"
THANKS = [ActionAnswer(accepted=True, message="Anna & Ben are told.")]


def form(query: str = "", **fields: str) -> SignedRequest:
    url = f"https://wedsync.example/v1/hooks/twilio/token{query}"
    return SignedRequest("POST", url, {"content-type": FORM}, urlencode(fields).encode())


def told(system: str, request: SignedRequest) -> list[Told]:
    hook = hook_of(system)
    assert hook is not None
    return list(hook.told(request, NOW))


def reply(system: str, request: SignedRequest) -> str:
    hook = hook_of(system)
    assert hook is not None
    return hook.reply(request, THANKS).body


@pytest.mark.parametrize("system", HOOKS)
def test_every_hook_is_signed_with_what_its_connectors_credential_may_hold(system: str):
    manifest, hook = connector_class(system).manifest, hook_of(system)
    assert hook is not None
    assert system in CHECKS
    assert set(hook.SECRETS) <= {*manifest.credential_fields, *manifest.optional_credential_fields}


def test_a_pressed_key_answers_the_call_it_was_pressed_in():
    request = form("?effect=e1&notification=n1&actions=ack,call", CallSid="CA1", Digits="2", To="+447700900101")
    [answered] = told("twilio", request)
    assert isinstance(answered, Answered)
    assert (answered.about, answered.action_id, answered.notification_id) == (About(effect_id="e1"), "call", "n1")
    assert reply("twilio", request) == "<Response><Say>Anna &amp; Ben are told.</Say></Response>"


@pytest.mark.parametrize("digits", ["9", "0", "#", ""])
def test_a_key_that_answers_nothing_is_no_answer(digits: str):
    assert told("twilio", form("?effect=e1&actions=ack", CallSid="CA1", Digits=digits)) == []


def test_a_reply_names_the_message_it_answers():
    request = form(MessageSid="SM1", From="+447700900101", Body=" ack 1A2B3C.")
    [answered] = told("twilio", request)
    assert isinstance(answered, Answered)
    assert (answered.about, answered.action_id) == (About(effect_prefix="1a2b3c"), "ack")
    assert reply("twilio", request) == "<Response><Message>Anna &amp; Ben are told.</Message></Response>"
    assert told("twilio", form(MessageSid="SM2", From="+447700900101", Body="Thanks!")) == []


@pytest.mark.parametrize(
    ("status", "state"),
    [("delivered", NotificationState.DELIVERED), ("read", NotificationState.READ), ("failed", None)],
)
def test_a_status_says_how_far_a_message_came(status: str, state: NotificationState | None):
    found = told("twilio", form("?effect=e1", MessageSid="SM1", MessageStatus=status))
    assert [one.state for one in found if isinstance(one, Observed)] == ([state] if state else [])


def test_an_incident_that_somebody_acknowledged_answers_the_event_that_opened_it():
    event = {
        "id": "01BX",
        "event_type": "incident.acknowledged",
        "occurred_at": "2027-06-12T13:59:00.123Z",
        "agent": {"id": "PABC123", "type": "user_reference"},
        "data": {"id": "Q1", "type": "incident", "incident_key": "dedup-1"},
    }
    request = SignedRequest("POST", "https://wedsync.example", {}, json.dumps({"event": event}).encode())
    [answered] = told("pagerduty", request)
    assert isinstance(answered, Answered)
    assert (answered.about, answered.action_type, answered.actor) == (
        About(remote_id="dedup-1"),
        "acknowledge",
        "PABC123",
    )


def test_slack_is_told_that_the_address_is_ours():
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1a"}).encode()
    request = SignedRequest("POST", "https://wedsync.example", {"content-type": "application/json"}, body)
    assert (told("slack", request), reply("slack", request)) == ([], "3eZbrw1a")
