"""The words of a text message, and of a call as TwiML."""

from __future__ import annotations

import re
from urllib.parse import urlencode
from xml.sax.saxutils import quoteattr

from activities.transform import phones
from contracts.effects import Delivery

_TEXT_LIMIT = 1_600
_SPOKEN_LIMIT = 700
_LABEL_LIMIT = 40
_KEYS = 9
_UNSPOKEN = re.compile(r"[^\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]|[&<>]")


def written(delivery: Delivery, effect: str, *, answers: bool) -> str:
    """Return the words of a text message.

    Args:
        delivery: its rendered text, or the notification's title and message, with the links of its actions.
        effect: id of the effect, whose beginning is the reference of an answer.
        answers: whether replies reach us, so that the text says how to answer.

    Raises:
        InvalidInput: the actions leave no room for words.
    """
    notification = delivery.notification
    ways = phones.ways_to_answer(phones.answerable(notification), effect) if answers else []
    text = delivery.rendered.text or f"{notification.title}\n{notification.message}"
    return phones.fitted(text, [*phones.links(notification), *ways], _TEXT_LIMIT, "twilio")


def spoken(delivery: Delivery, effect: str, *, hook: str, language: str) -> str:
    """Return the TwiML of a call: the words twice, then the keys that answer where `hook` is given.

    The address that a pressed key is sent to names the effect, the notification and the actions in the order of keys.

    Source: https://www.twilio.com/docs/voice/twiml/gather and https://www.twilio.com/docs/voice/twiml/say.
    """
    notification = delivery.notification
    text = delivery.rendered.text or f"{notification.title}. {notification.message}"
    words = _say(phones.shortened(" ".join(text.split()), _SPOKEN_LIMIT), language)
    actions = phones.answerable(notification)[:_KEYS] if hook else []
    if not actions:
        return f'<Response>{words}<Pause length="1"/>{words}</Response>'
    about = {
        "effect": effect,
        "notification": notification.notification_id,
        "actions": ",".join(action.action_id for action in actions),
    }
    pressed = [f"Press {key} for {phones.shortened(one.label, _LABEL_LIMIT)}." for key, one in enumerate(actions, 1)]
    keys = _say(" ".join(pressed), language)
    gather = f'<Gather input="dtmf" numDigits="1" timeout="10" action={quoteattr(f"{hook}?{urlencode(about)}")}>'
    return f'<Response>{gather}{words}{keys}<Pause length="1"/>{words}{keys}</Gather></Response>'


def _say(text: str, language: str) -> str:
    # Escapes would count against the vendor's 4,000 characters, and nobody hears them.
    return f"<Say language={quoteattr(language)}>{' '.join(_UNSPOKEN.sub(' ', text).split())}</Say>"
