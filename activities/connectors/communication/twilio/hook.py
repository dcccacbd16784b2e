"""What Twilio tells: replies, pressed keys, and how far messages and calls came.

Source: https://www.twilio.com/docs/messaging/guides/webhook-request, https://www.twilio.com/docs/voice/twiml/gather and
https://www.twilio.com/docs/messaging/guides/track-outbound-message-status.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import parse_qs, parse_qsl, urlsplit
from xml.sax.saxutils import escape

from activities.ports.inbound import About, Answered, Observed, Reply, Told
from activities.security.signatures import SignedRequest
from activities.transform import phones
from contracts.actions import ActionAnswer
from contracts.engagement import NotificationState

SECRETS = ("authToken",)
_STATES = {
    "sent": NotificationState.SENT,
    "delivered": NotificationState.DELIVERED,
    "read": NotificationState.READ,
    "in-progress": NotificationState.READ,
}
_XML = "application/xml"


def told(request: SignedRequest, now: datetime) -> Sequence[Told]:
    """Return the answer of a pressed key or a reply, or the state of a message or call."""
    form, query = _form(request), {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
    if "Digits" in form:
        return _pressed(form, query, now)
    if "MessageStatus" in form or ("CallStatus" in form and "effect" in query):
        state = _STATES.get(form.get("MessageStatus") or form["CallStatus"])
        about = About(effect_id=query.get("effect", ""))
        return [Observed(_event(form, str(state)), about, state, now)] if state and about.effect_id else []
    answer = phones.read_answer(form.get("Body", ""))
    if answer is None or "From" not in form:
        return []
    return [
        Answered(
            event_id=_event(form, "reply"),
            about=About(effect_prefix=answer.effect_prefix),
            action_id=answer.action_id,
            actor=form["From"],
            occurred_at=now,
        )
    ]


def reply(request: SignedRequest, answers: Sequence[ActionAnswer]) -> Reply:
    """Return TwiML that says what became of the answer; nothing where there was none."""
    words = escape(" ".join(answer.message for answer in answers if answer.message))
    form = _form(request)
    if not words or not ("Digits" in form or "Body" in form):
        return Reply("<Response/>", _XML)
    verb = "Say" if "Digits" in form else "Message"
    return Reply(f"<Response><{verb}>{words}</{verb}></Response>", _XML)


def _pressed(form: dict[str, str], query: dict[str, str], now: datetime) -> list[Told]:
    actions = query.get("actions", "").split(",")
    key = int(form["Digits"]) if form["Digits"].isdecimal() else 0
    if not 1 <= key <= len(actions) or not query.get("effect"):
        return []
    return [
        Answered(
            event_id=_event(form, f"key-{key}"),
            about=About(effect_id=query["effect"]),
            action_id=actions[key - 1],
            actor=form.get("To", ""),
            occurred_at=now,
            notification_id=query.get("notification", ""),
        )
    ]


def _form(request: SignedRequest) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def _event(form: dict[str, str], kind: str) -> str:
    sid = form.get("MessageSid") or form.get("CallSid", "")
    return hashlib.sha256(f"{sid}|{kind}".encode()).hexdigest()[:32]
