"""What Twilio tells: keys pressed in calls, replies to text messages, and what became of both."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

from activities.connectors.communication.twilio.refusals import refusal
from activities.ports.inbound import About, Answered, Inbound, InboundEvent, Observed, Receipt
from activities.security.signatures import SignedRequest, twilio
from activities.transform.phones import read_answer
from contracts.engagement import NotificationState
from contracts.names import effect_id

_STATES = {
    "sent": NotificationState.SENT,
    "delivered": NotificationState.DELIVERED,
    "read": NotificationState.READ,
    "in-progress": NotificationState.DELIVERED,
    "completed": NotificationState.DELIVERED,
}
_FAILED = frozenset({"failed", "undelivered", "busy", "no-answer"})
_NOBODY_ANSWERED = "30003"


def read(request: SignedRequest, now: datetime) -> list[InboundEvent]:
    """Return the one event of a webhook, or none.

    Source: https://www.twilio.com/docs/voice/twiml/gather, https://www.twilio.com/docs/messaging/guides/webhook-request
    and https://www.twilio.com/docs/messaging/guides/track-outbound-message-status.
    """
    form, query = _form(request), dict(parse_qsl(urlsplit(request.url).query))
    if _tells_a_status(form):
        return _moved(form, query, now)
    return _pressed(form, query, now) if "Digits" in form else _replied(form, now)


def _pressed(form: dict[str, str], query: dict[str, str], now: datetime) -> list[InboundEvent]:
    actions, key, call = query.get("actions", "").split(","), form["Digits"], form.get("CallSid", "")
    if not key.isascii() or not key.isdigit() or not 0 < int(key) <= len(actions) or not call:
        return []
    about = About(effect_id=query.get("effect", ""), remote_id=call, notification_id=query.get("notification", ""))
    event = effect_id("twilio", call, key)
    return [Answered(event_id=event, about=about, action_id=actions[int(key) - 1], actor_id=call, occurred_at=now)]


def _replied(form: dict[str, str], now: datetime) -> list[InboundEvent]:
    answer, message = read_answer(form.get("Body", "")), form.get("MessageSid", "")
    if answer is None or not message:
        return []
    return [
        Answered(
            event_id=effect_id("twilio", message),
            about=About(effect_prefix=answer.effect_prefix),
            action_id=answer.action_id,
            actor_id=message,
            occurred_at=now,
        )
    ]


def _moved(form: dict[str, str], query: dict[str, str], now: datetime) -> list[InboundEvent]:
    remote = form.get("MessageSid") or form.get("CallSid") or ""
    status = form.get("MessageStatus") or form.get("CallStatus") or ""
    about = About(effect_id=query.get("effect", ""), remote_id=remote)
    event = effect_id("twilio", remote, status)
    if status in _STATES:
        return [Observed(event_id=event, about=about, occurred_at=now, state=_STATES[status])]
    if status in _FAILED:
        code = form.get("ErrorCode") or ("" if "MessageStatus" in form else _NOBODY_ANSWERED)
        error = refusal(code, "delivery", {"vendorCode": code, "status": status}).detail
        return [Observed(event_id=event, about=about, occurred_at=now, error=error)]
    return []


def receipt(request: SignedRequest, words: str) -> Receipt:
    """Return the TwiML that says or writes the words back; an empty one to a status, which nobody waits behind."""
    form = _form(request)
    verb = "Say" if "Digits" in form else "Message"
    spoken = "" if not words or _tells_a_status(form) else f"<{verb}>{escape(words)}</{verb}>"
    return Receipt("application/xml", f"<Response>{spoken}</Response>")


def _form(request: SignedRequest) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))


def _tells_a_status(form: dict[str, str]) -> bool:
    return "Digits" not in form and ("MessageStatus" in form or "CallStatus" in form)


INBOUND = Inbound(check=twilio, secret_field="authToken", read=read, receipt=receipt)  # noqa: S106 - a field's name
