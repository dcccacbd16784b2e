"""What WhatsApp tells: buttons pressed, and what became of messages."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from activities.connectors.communication.whatsapp.refusals import code_of, undelivered
from activities.ports.inbound import About, Answered, Inbound, InboundEvent, Observed, Receipt
from activities.security.signatures import SignedRequest, meta
from activities.transport.bounds import AnswerTooLargeError, parse_json
from contracts.engagement import NotificationState
from contracts.names import effect_id

_STATES = {
    "sent": NotificationState.SENT,
    "delivered": NotificationState.DELIVERED,
    "read": NotificationState.READ,
}


def opaque(message_id: str) -> str:
    """Return a message's id as we keep it: the vendor's holds the recipient's number, in base64."""
    return effect_id("whatsapp", message_id)


def read(request: SignedRequest, now: datetime) -> list[InboundEvent]:
    """Return the events of a webhook, which may tell of many messages.

    Source: Meta's Business Messaging API v23.0, WebhookPayload;
    https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components.
    """
    try:
        told = parse_json(request.body)
    except (ValueError, AnswerTooLargeError):
        return []
    return [event for value in _values(told) for event in _events(value, now)]


def _values(told: Any) -> Iterator[dict[str, Any]]:
    for entry in _dicts(told, "entry"):
        for change in _dicts(entry, "changes"):
            if change.get("field") == "messages" and isinstance(change.get("value"), dict):
                yield change["value"]


def _dicts(holder: Any, name: str) -> list[dict[str, Any]]:
    listed = holder.get(name) if isinstance(holder, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _events(value: dict[str, Any], now: datetime) -> Iterator[InboundEvent]:
    for message in _dicts(value, "messages"):
        yield from _answer(message, now)
    for status in _dicts(value, "statuses"):
        yield from _status(status, now)


def _answer(message: dict[str, Any], now: datetime) -> Iterator[Answered]:
    content = message.get(str(message.get("type")))
    content = content if isinstance(content, dict) else {}
    reply = content.get("button_reply")
    pressed = content.get("payload") or (reply.get("id") if isinstance(reply, dict) else None)
    context = message.get("context")
    try:
        answer: Any = parse_json(str(pressed))
        action, effect, notification = (str(answer[name]) for name in ("actionId", "effectId", "notificationId"))
    except (ValueError, KeyError, TypeError, AnswerTooLargeError):
        return
    remote = opaque(str(context["id"])) if isinstance(context, dict) and "id" in context else ""
    event = opaque(str(message.get("id")))
    about = About(effect_id=effect, remote_id=remote, notification_id=notification)
    yield Answered(event, about, action, actor_id=event, occurred_at=_instant(message, now))


def _status(status: dict[str, Any], now: datetime) -> Iterator[Observed]:
    word, message = str(status.get("status")), str(status.get("id"))
    about = About(effect_id=str(status.get("biz_opaque_callback_data") or ""), remote_id=opaque(message))
    event, at = effect_id("whatsapp", message, word), _instant(status, now)
    if word in _STATES:
        yield Observed(event, about, at, state=_STATES[word])
    elif word == "failed":
        code = next((code_of({"error": error}) for error in _dicts(status, "errors")), "")
        yield Observed(event, about, at, error=undelivered(code).detail)


def _instant(told: dict[str, Any], now: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(int(str(told.get("timestamp"))), UTC)
    except (ValueError, OverflowError, OSError):
        return now


def challenge(request: SignedRequest, verify_token: str) -> str | None:
    """Return what to echo when the webhook is set up; None when the token is another or nothing is asked."""
    query = parse_qs(urlsplit(request.url).query)
    token, asked = (query.get(name, [""])[0] for name in ("hub.verify_token", "hub.challenge"))
    known = bool(verify_token) and hmac.compare_digest(token.encode(), verify_token.encode())
    return asked if request.method == "GET" and known and query.get("hub.mode") == ["subscribe"] else None


def receipt(_request: SignedRequest, _words: str) -> Receipt:
    """Return an empty answer: words for the person would be a message of their own."""
    return Receipt("text/plain", "")


INBOUND = Inbound(
    check=meta,
    secret_field="appSecret",  # noqa: S106 - a field's name
    read=read,
    receipt=receipt,
    challenge_field="verifyToken",
    challenge=challenge,
)
