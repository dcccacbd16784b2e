"""Phone numbers, the words that fit a phone, and the answers that come back from one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.errors import InvalidInput
from contracts.notification import NotificationAction, SourceNotification

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PUNCTUATION = re.compile(r"[\s().\-]+")
_ANSWER = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._:\-]{0,63})\s+#?([0-9A-Fa-f]{6})\W*")
REFERENCE_DIGITS = 6
LEAST_WORDS = 160
"""Characters that a message keeps for its words: one short message's."""


def numbers(recipients: Iterable[str], system: str) -> list[str]:
    """Return the recipients as E.164 numbers, each once and in order.

    Args:
        recipients: numbers with country code; spaces, dots, hyphens and brackets are allowed.
        system: the vendor, for the error.

    Raises:
        InvalidInput: no recipient, or something that is no such number; the message does not repeat it.

    Source: ITU-T E.164, a plus sign and at most 15 digits.
    """
    found = list(dict.fromkeys(_PUNCTUATION.sub("", one) for one in recipients))
    if not found:
        raise _invalid("recipients_missing", "The target names no recipient.", system)
    if not all(_E164.fullmatch(one) for one in found):
        raise _invalid(
            "recipient_invalid", "A recipient is no phone number with its country code, such as +447700900101.", system
        )
    return found


def answerable(notification: SourceNotification) -> list[NotificationAction]:
    """Return the actions that a person answers by pressing or replying, which are those without a link."""
    return [action for action in notification.actions if not action.url]


def links(notification: SourceNotification) -> list[str]:
    """Return one line per action with an http(s) link."""
    return [
        f"{action.label}: {action.url}"
        for action in notification.actions
        if action.url and action.url.startswith(("https://", "http://"))
    ]


def shortened(text: str, limit: int) -> str:
    """Return text of at most `limit` characters, cut at a space and marked where it was longer."""
    text = text.strip()
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut[limit // 2 :] else cut}…"


def fitted(text: str, lines: Sequence[str], limit: int, system: str) -> str:
    """Return text followed by lines, where only the text is cut to keep to `limit` characters.

    Raises:
        InvalidInput: the lines leave no room for words.
    """
    tail = "".join(f"\n{line}" for line in lines)
    if limit - len(tail) < LEAST_WORDS:
        raise _invalid("too_many_actions", "The notification's actions leave no room for its words.", system)
    return shortened(text, limit - len(tail)) + tail


def reference(effect_id: str) -> str:
    """Return the short reference by which a written answer names the message it answers."""
    return effect_id[:REFERENCE_DIGITS].upper()


def ways_to_answer(actions: Sequence[NotificationAction], effect_id: str) -> list[str]:
    """Return one line per action that says which words to reply, as `read_answer` understands them.

    Phones begin sentences with a capital by themselves: only actions whose ids have none can be answered.
    """
    return [
        f"Reply {action.action_id} {reference(effect_id)}: {action.label}"
        for action in actions
        if action.action_id == action.action_id.lower()
    ]


@dataclass(frozen=True)
class WrittenAnswer:
    """An answer by reply: the action's id, and how the id of the message's effect begins, both in lower case."""

    action_id: str
    effect_prefix: str


def read_answer(text: str) -> WrittenAnswer | None:
    """Return what a reply answers, or None when it is some other text."""
    found = _ANSWER.fullmatch(text)
    return WrittenAnswer(found[1].lower(), found[2].lower()) if found else None


def _invalid(code: str, message: str, system: str) -> InvalidInput:
    return InvalidInput(code, message, action="Correct the notification and send it again.", system=system)
