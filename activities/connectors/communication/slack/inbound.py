"""What Slack tells: buttons that were pressed, and the question whether an address is ours.

Source: https://docs.slack.dev/reference/interaction-payloads/block_actions-payload and
https://docs.slack.dev/reference/events/url_verification.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from activities.ports.inbound import About, Answered, Inbound, InboundEvent, Receipt
from activities.security.signatures import SignedRequest, slack

_PREFIX = "wedding_action_"


def read(request: SignedRequest, now: datetime) -> list[InboundEvent]:
    """Return one answer per button of ours that was pressed."""
    payload = _payload(request)
    if payload.get("type") != "block_actions":
        return []
    message = payload["message"]
    return [
        answered
        for action in payload["actions"]
        if (answered := _answered(action, str(payload["user"]["id"]), str(message["ts"]), now)) is not None
    ]


def receipt(request: SignedRequest, _words: str) -> Receipt:
    """Return the challenge of an address that is being registered, else nothing: the message itself is edited."""
    payload = _payload(request)
    asked = payload.get("type") == "url_verification"
    return Receipt("text/plain", str(payload.get("challenge", "")) if asked else "")


def _payload(request: SignedRequest) -> dict[str, Any]:
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        given = json.loads(parse_qs(request.body.decode()).get("payload", ["{}"])[0])
    else:
        given = json.loads(request.body)
    if not isinstance(given, dict):
        message = "the payload is no object"
        raise TypeError(message)
    return given


def _answered(action: dict[str, Any], user: str, ts: str, now: datetime) -> Answered | None:
    if not str(action.get("action_id", "")).startswith(_PREFIX) or "value" not in action:
        return None
    value = json.loads(action["value"])
    seconds = str(action.get("action_ts", ""))
    event = hashlib.sha256(f"{ts}|{user}|{action['action_id']}|{seconds}".encode()).hexdigest()[:32]
    return Answered(
        event_id=event,
        about=About(remote_id=ts, notification_id=str(value.get("notificationId", ""))),
        action_id=str(value["actionId"]),
        actor_id=user,
        occurred_at=datetime.fromtimestamp(float(seconds), UTC) if seconds else now,
        action_type=str(value.get("actionType", "")),
        value=str(value.get("value", "")),
    )


INBOUND = Inbound(check=slack, secret_field="signingSecret", read=read, receipt=receipt)  # noqa: S106 - a field's name
