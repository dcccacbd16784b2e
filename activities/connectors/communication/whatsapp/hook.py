"""What WhatsApp tells: buttons that were pressed, how far messages came, and whether an address is ours.

Source: Meta's Business Messaging API v23.0, WebhookPayload;
https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from activities.ports.inbound import About, Answered, Observed, Reply, Told
from activities.security.signatures import SignedRequest
from activities.transport.bounds import AnswerTooLargeError, parse_json
from contracts.actions import ActionAnswer
from contracts.engagement import NotificationState
from contracts.names import effect_id

SECRETS = ("appSecret",)
CONFIRMED_BY = "verifyToken"
_STATES = {
    "sent": NotificationState.SENT,
    "delivered": NotificationState.DELIVERED,
    "read": NotificationState.READ,
}


def opaque(message_id: str) -> str:
    """Return a message's id as we keep it: the vendor's holds the recipient's number, in base64."""
    return effect_id("whatsapp", message_id)


def told(request: SignedRequest, now: datetime) -> Sequence[Told]:
    """Return the answers and states of a webhook, which may be about many messages.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    return [event for value in _values(_parsed(request.body)) for event in _events(value, now)]


def reply(request: SignedRequest, answers: Sequence[ActionAnswer]) -> Reply:  # noqa: ARG001
    """Return nothing: words for the person would be a message of their own."""
    return Reply()


def confirmation(request: SignedRequest, secret: str) -> Reply | None:
    """Return the challenge of an address that is being set up with our token."""
    query = parse_qs(urlsplit(request.url).query)
    token, challenge = (query.get(name, [""])[0] for name in ("hub.verify_token", "hub.challenge"))
    known = bool(secret) and hmac.compare_digest(token.encode(), secret.encode())
    return Reply(challenge) if known and query.get("hub.mode") == ["subscribe"] else None


def _parsed(text: bytes | str) -> Any:
    try:
        return parse_json(text)
    except AnswerTooLargeError:
        message = "the body is nested too deeply"
        raise ValueError(message) from None


def _values(told_of: Any) -> Iterator[dict[str, Any]]:
    for entry in _dicts(told_of, "entry"):
        for change in _dicts(entry, "changes"):
            if change.get("field") == "messages" and isinstance(change.get("value"), dict):
                yield change["value"]


def _dicts(holder: Any, name: str) -> list[dict[str, Any]]:
    listed = holder.get(name) if isinstance(holder, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _events(value: dict[str, Any], now: datetime) -> Iterator[Told]:
    for message in _dicts(value, "messages"):
        yield from _pressed(message, now)
    for status in _dicts(value, "statuses"):
        word, message_id = str(status.get("status")), str(status.get("id"))
        if word in _STATES:
            effect = status.get("biz_opaque_callback_data")
            about = About(effect_id=str(effect)) if effect else About(remote_id=opaque(message_id))
            yield Observed(effect_id("whatsapp", message_id, word), about, _STATES[word], _instant(status, now))


def _pressed(message: dict[str, Any], now: datetime) -> Iterator[Answered]:
    content = message.get(str(message.get("type")))
    content = content if isinstance(content, dict) else {}
    button = content.get("button_reply")
    value = content.get("payload") or (button.get("id") if isinstance(button, dict) else None)
    try:
        answer = _parsed(str(value))
        action, effect, notification = (str(answer[name]) for name in ("actionId", "effectId", "notificationId"))
    except (ValueError, KeyError, TypeError):
        return
    yield Answered(
        event_id=opaque(str(message.get("id"))),
        about=About(effect_id=effect),
        action_id=action,
        actor=f"+{message.get('from')}",
        occurred_at=_instant(message, now),
        notification_id=notification,
    )


def _instant(told_of: dict[str, Any], now: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(int(str(told_of.get("timestamp"))), UTC)
    except (ValueError, OverflowError, OSError):
        return now
