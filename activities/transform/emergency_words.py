"""How an emergency reads: while it lasts, and once it is over."""

from __future__ import annotations

from datetime import datetime

from contracts.emergency import EmergencyAlert, EmergencyOutcome, EmergencyState
from contracts.notification import NotificationAction, SourceNotification
from contracts.sync import SyncPriority

ACKNOWLEDGE = NotificationAction(action_id="ack", label="I have it", type="acknowledge", style="primary")
_TITLE_LIMIT, _MESSAGE_LIMIT = 255, 4_000
_HEADS = {
    EmergencyOutcome.ACKNOWLEDGED: "Acknowledged",
    EmergencyOutcome.ALL_CLEAR: "All clear",
    EmergencyOutcome.CANCELLED: "Called off",
    EmergencyOutcome.SUPERSEDED: "Superseded",
    EmergencyOutcome.EXHAUSTED: "Not acknowledged",
    EmergencyOutcome.DRILLED: "The drill is over",
}


def while_it_lasts(alert: EmergencyAlert, repetition: int) -> SourceNotification:
    """Return the notification as people get it: critical, with a button to acknowledge it, and as one incident."""
    notification = alert.notification
    again = f" (repeated, {repetition})" if repetition > 1 else ""
    actions = notification.actions
    if not any(one.type == ACKNOWLEDGE.type for one in actions):
        actions = [ACKNOWLEDGE, *actions]
    return notification.model_copy(
        update={
            "title": f"{_mark(alert)}{notification.title}"[: _TITLE_LIMIT - len(again)] + again,
            "priority": SyncPriority.CRITICAL,
            "actions": actions,
            "metadata": {"severity": "critical", **notification.metadata, **_incident(alert, "trigger")},
        }
    )


def once_it_is_over(alert: EmergencyAlert, state: EmergencyState) -> SourceNotification:
    """Return what everybody who was alerted is told, and what is written over the messages that stand."""
    notification = alert.notification
    ended = state.outcome
    return notification.model_copy(
        update={
            "title": f"{_mark(alert)}{_HEADS[ended]}: {notification.title}"[:_TITLE_LIMIT],
            "message": f"{_sentence(state)}\n{notification.message}"[:_MESSAGE_LIMIT],
            "priority": SyncPriority.CRITICAL,
            "actions": [],
            "metadata": {"severity": "critical", **notification.metadata, **_incident(alert, _ACTIONS[ended])},
        }
    )


_ACTIONS = dict.fromkeys(EmergencyOutcome, "resolve") | {EmergencyOutcome.ACKNOWLEDGED: "acknowledge"}


def _mark(alert: EmergencyAlert) -> str:
    return "DRILL: " if alert.drill else ""


def _incident(alert: EmergencyAlert, action: str) -> dict[str, str]:
    return {"incidentId": alert.alert_id, "incidentAction": action}


def _sentence(state: EmergencyState) -> str:
    at = f" at {_time(state.ended_at)}" if state.ended_at else ""
    sentences = {
        EmergencyOutcome.ACKNOWLEDGED: f"Acknowledged by {state.ended_by}{at}. Nobody else needs to act.",
        EmergencyOutcome.ALL_CLEAR: f"The danger is over, reported by {state.ended_by}{at}.",
        EmergencyOutcome.CANCELLED: f"The alert was called off{at}.",
        EmergencyOutcome.SUPERSEDED: "A worse alert has taken the place of this one.",
        EmergencyOutcome.DRILLED: f"The drill ended{at}. Nobody needs to act.",
    }
    return sentences.get(state.outcome, "")


def _time(at: datetime) -> str:
    return f"{at:%H:%M:%S} UTC"
