"""The bodies of WhatsApp messages: templates, and text with reply buttons."""

from __future__ import annotations

import json

from pydantic import JsonValue

from activities.transform import phones
from contracts.base import JsonObject
from contracts.effects import Delivery
from contracts.errors import InvalidInput
from contracts.notification import NotificationAction

_TEXT_LIMIT = 4_096
_BODY_LIMIT = 1_024
_PARAMETER_LIMIT = 1_000
_TITLE_LIMIT = 20
_BUTTONS = 3


def template_message(delivery: Delivery, name: str, language: str, effect: str, *, buttons: bool) -> JsonObject:
    """Return an approved template with its parameters.

    Args:
        delivery: its rendered properties, in their order, are the parameters of the template's body; without any, the
            one parameter is the text. A property named by a word fills the parameter of that name.
        name: the template's name.
        language: the template's language, such as `en_GB`.
        effect: id of the effect, for the answers.
        buttons: whether the template has a quick reply for each action.

    Raises:
        InvalidInput: more actions than a message has buttons.

    Source: https://developers.facebook.com/docs/whatsapp/cloud-api/guides/send-message-templates. A parameter holds no
    line break and no run of spaces.
    """
    values = delivery.rendered.properties or {"1": _text(delivery)}
    parameters: list[JsonValue] = [_parameter(key, value) for key, value in values.items()]
    components: list[JsonValue] = [{"type": "body", "parameters": parameters}]
    if buttons:
        components += [
            {
                "type": "button",
                "sub_type": "quick_reply",
                "index": str(index),
                "parameters": [{"type": "payload", "payload": answer_id(delivery, action, effect)}],
            }
            for index, action in enumerate(_buttons(delivery))
        ]
    return {
        "type": "template",
        "template": {
            "name": name,
            "language": {"policy": "deterministic", "code": language},
            "components": components,
        },
    }


def _parameter(key: str, value: str) -> JsonObject:
    parameter: JsonObject = {"type": "text", "text": phones.shortened(" ".join(value.split()), _PARAMETER_LIMIT)}
    return parameter if key.isdigit() else {**parameter, "parameter_name": key}


def free_message(delivery: Delivery, effect: str) -> JsonObject:
    """Return a text, with a reply button for each action that is no link.

    Raises:
        InvalidInput: more actions than a message has buttons, two of one title, or links that leave no room.

    Source: https://developers.facebook.com/docs/whatsapp/cloud-api/messages/interactive-reply-buttons-messages.
    """
    actions = _buttons(delivery)
    limit = _BODY_LIMIT if actions else _TEXT_LIMIT
    text = phones.fitted(_text(delivery), phones.links(delivery.notification), limit, "whatsapp")
    if not actions:
        return {"type": "text", "text": {"body": text, "preview_url": False}}
    replies = [
        {"id": answer_id(delivery, one, effect), "title": phones.shortened(one.label, _TITLE_LIMIT)} for one in actions
    ]
    if len({reply["title"] for reply in replies}) < len(replies):
        raise invalid("action_titles", "Two actions have the same label within WhatsApp's 20 characters.")
    buttons: list[JsonValue] = [{"type": "reply", "reply": dict(reply)} for reply in replies]
    interactive: JsonObject = {"type": "button", "body": {"text": text}, "action": {"buttons": buttons}}
    return {"type": "interactive", "interactive": interactive}


def answer_id(delivery: Delivery, action: NotificationAction, effect: str) -> str:
    """Return what a pressed button brings back; never longer than the vendor's 256 characters."""
    answer = {
        "actionId": action.action_id,
        "notificationId": action.notification_id or delivery.notification.notification_id,
        "effectId": effect,
    }
    return json.dumps(answer, separators=(",", ":"))


def invalid(code: str, message: str) -> InvalidInput:
    """Return that the target or the notification lacks something."""
    return InvalidInput(code, message, action="Correct the notification and send it again.", system="whatsapp")


def _text(delivery: Delivery) -> str:
    notification = delivery.notification
    return delivery.rendered.text or f"{notification.title}\n{notification.message}"


def _buttons(delivery: Delivery) -> list[NotificationAction]:
    actions = phones.answerable(delivery.notification)
    if len(actions) > _BUTTONS:
        raise invalid("too_many_actions", "A WhatsApp message has at most three buttons.")
    return actions
