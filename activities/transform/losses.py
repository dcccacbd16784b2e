"""How messages that did not arrive read when they are told together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.alerts import Alert, AlertKind, DueAlert, Severity

_LONGEST_REASON = 500


@dataclass(frozen=True)
class Losses:
    """Messages of one integration that people are told of together."""

    alert_id: str
    organization_id: str
    integration_id: str
    system: str
    since: datetime
    count: int
    weddings: int
    named: Sequence[str]
    """Some of the messages, the first of them."""
    messages: int
    """How many messages there are; each may have been meant for several."""
    reasons: Sequence[tuple[str, str, int]]
    """The most frequent reasons: the vendor's words, what to do about it, and how often."""


def due_alert(losses: Losses) -> DueAlert:
    """Return the one alert about all of them."""
    alert = Alert(
        organization_id=losses.organization_id,
        kind=AlertKind.MESSAGE_UNDELIVERED,
        severity=Severity.WARNING,
        since=losses.since,
        integration_ids=[losses.integration_id],
        parts=[losses.alert_id],
        sentence=_sentence(losses),
        action=_action(losses),
        falls_back=False,
    )
    return DueAlert(incident_id=losses.alert_id, alert=alert)


def _sentence(losses: Losses) -> str:
    reason = losses.reasons[0][0][:_LONGEST_REASON]
    told = "; ".join(f"{words[:_LONGEST_REASON]} ({times} times)" for words, _, times in losses.reasons)
    if losses.count == 1:
        told = reason
    return f"{losses.system} did not deliver {_what(losses)}, and nobody is left to stand in: {told}"


def _what(losses: Losses) -> str:
    messages = "a message" if losses.messages == 1 else f"{losses.messages} messages"
    # What a message has for several recipients or records fails one by one.
    parts = "" if losses.count == losses.messages else f"{losses.count} parts of "
    weddings = f" of {losses.weddings} weddings" if losses.weddings > 1 else ""
    return f"{parts}{messages}{weddings}"


def _action(losses: Losses) -> str:
    first = losses.reasons[0][1][:_LONGEST_REASON]
    more = losses.messages - len(losses.named)
    listed = ", ".join(losses.named) + (f" and {more} more" if more else "")
    look = (
        f"Look with `wedsync explain {listed}`."
        if losses.messages == 1
        else f"Look with `wedsync explain` at {listed}."
    )
    return f"{first} {look}".strip()
