"""The words of a message, as blocks with the facts and the buttons."""

from __future__ import annotations

import json

from pydantic import JsonValue

from contracts.base import JsonObject
from contracts.effects import Delivery
from contracts.errors import InvalidInput
from contracts.notification import CommunicationChannel, NotificationAction, SourceNotification

_SECTION_LIMIT = 3_000
_VALUE_LIMIT = 2_000
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def message_of(delivery: Delivery, channel: CommunicationChannel) -> JsonObject:
    """Return the arguments of chat.postMessage, without metadata.

    Args:
        delivery: the words, and the notification with its actions.
        channel: its `message_style` is `compact` (words and buttons) or anything else (with the facts too).

    Raises:
        InvalidInput: two actions of one id, or a link that is not http(s).

    Source: https://docs.slack.dev/reference/block-kit/blocks
    """
    notification = delivery.notification
    text = escaped(delivery.rendered.text or f"*{notification.title}*\n{notification.message}")
    blocks: list[JsonValue] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": piece}} for piece in _pieces(text)
    ]
    if channel.message_style != "compact":
        blocks.append({"type": "section", "fields": _fields(notification)})
    if notification.actions:
        if len({action.action_id for action in notification.actions}) < len(notification.actions):
            raise invalid("duplicate_action", "Two actions of the notification have the same actionId.")
        blocks.append({"type": "actions", "elements": [_button(notification, one) for one in notification.actions]})
    sender = delivery.rendered.sender
    shown = {"username": sender.chat_name, "icon_url": sender.chat_icon_url}
    return {
        "channel": channel.channel_id,
        "text": text,
        "blocks": blocks,
        "unfurl_links": False,
        "unfurl_media": False,
        **{name: value for name, value in shown.items() if value},
    }


def escaped(text: str) -> str:
    """Return text with Slack's three control characters escaped, so that no name becomes a link or a mention."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    rest = text.strip() or " "
    while len(rest) > _SECTION_LIMIT:
        end = rest.rfind("\n", 1, _SECTION_LIMIT)
        if end < 0:
            entity = rest.rfind("&", _SECTION_LIMIT - 5, _SECTION_LIMIT)
            end = entity if entity > 0 and ";" not in rest[entity:_SECTION_LIMIT] else _SECTION_LIMIT
        pieces.append(rest[:end])
        rest = rest[end:].lstrip("\n")
    return [*pieces, rest] if rest else pieces


def _fields(notification: SourceNotification) -> list[JsonValue]:
    context = notification.wedding_context
    facts = [
        ("Wedding date", context.wedding_date.isoformat() if context and context.wedding_date else ""),
        ("Venue", context.venue_name if context else ""),
        ("Priority", notification.priority.value),
    ]
    return [{"type": "mrkdwn", "text": f"*{name}*\n{escaped(value)}"} for name, value in facts if value]


def _button(notification: SourceNotification, action: NotificationAction) -> JsonObject:
    answer = {
        "actionId": action.action_id,
        "notificationId": action.notification_id or notification.notification_id,
        "actionType": action.type,
    }
    value = json.dumps(answer, separators=(",", ":"))
    if len(value) > _VALUE_LIMIT:
        raise invalid("action_too_long", "An action of the notification is longer than a Slack button can carry.")
    button: JsonObject = {
        "type": "button",
        "text": {"type": "plain_text", "text": action.label, "emoji": True},
        "action_id": f"wedding_action_{action.action_id}",
        "value": value,
    }
    if action.style in {"primary", "danger"}:
        button["style"] = action.style
    if action.type == "link" and action.url:
        if not action.url.startswith(("https://", "http://")):
            raise invalid("action_url", "A link action of the notification has a url that is not http or https.")
        button["url"] = action.url
    return button


def invalid(code: str, message: str) -> InvalidInput:
    """Return the refusal of a delivery that Slack cannot show."""
    return InvalidInput(code, message, action="Correct the notification and send it again.", system="slack")
