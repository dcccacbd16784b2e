"""Webhooks of vendors, as their documents describe them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from activities.connectors.communication.slack.inbound import INBOUND as SLACK
from activities.connectors.emergency.pagerduty_inbound import INBOUND as PAGERDUTY
from activities.connectors.registry import CONNECTORS, connector_class
from activities.ports.inbound import About, Answered
from activities.security.signatures import SignedRequest

NOW = datetime(2027, 6, 12, 14, tzinfo=UTC)


@pytest.mark.parametrize("system", [name for name in CONNECTORS if hasattr(connector_class(name), "inbound")])
def test_what_signs_a_webhook_is_a_field_that_the_credential_may_hold(system: str):
    connector = connector_class(system)
    manifest, inbound = connector.manifest, connector.inbound  # type: ignore[attr-defined]
    assert inbound.secret_field in {*manifest.credential_fields, *manifest.optional_credential_fields}


def test_an_incident_that_somebody_acknowledged_answers_the_event_that_opened_it():
    event = {
        "id": "01BX",
        "event_type": "incident.acknowledged",
        "occurred_at": "2027-06-12T13:59:00.123Z",
        "agent": {"id": "PABC123", "type": "user_reference"},
        "data": {"id": "Q1", "type": "incident", "incident_key": "dedup-1"},
    }
    request = SignedRequest("POST", "https://wedsync.example", {}, json.dumps({"event": event}).encode())
    [answered] = PAGERDUTY.read(request, NOW)
    assert isinstance(answered, Answered)
    assert (answered.about, answered.action_type, answered.actor_id) == (
        About(remote_id="dedup-1"),
        "acknowledge",
        "PABC123",
    )


def test_slack_is_told_that_the_address_is_ours():
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1a"}).encode()
    request = SignedRequest("POST", "https://wedsync.example", {"content-type": "application/json"}, body)
    assert (SLACK.read(request, NOW), SLACK.receipt(request, "").body) == ([], "3eZbrw1a")
