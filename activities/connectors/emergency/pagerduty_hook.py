"""What PagerDuty tells: incidents that somebody has acknowledged or resolved.

Source: https://developer.pagerduty.com/docs/webhooks-overview (version 3); that the incident's `incident_key` is the
`dedup_key` of the event that opened it: https://developer.pagerduty.com/docs/events-api-v2-overview.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from activities.ports.inbound import About, Answered, Reply, Told
from activities.security.signatures import SignedRequest
from contracts.actions import ActionAnswer

SECRETS = ("webhookSecret",)
_ACTIONS = {"incident.acknowledged": "acknowledge", "incident.resolved": "resolve"}


def told(request: SignedRequest, now: datetime) -> Sequence[Told]:
    """Return the acknowledgement of an incident that we opened."""
    event = json.loads(request.body)["event"]
    action = _ACTIONS.get(event["event_type"])
    key = str((event.get("data") or {}).get("incident_key") or "")
    if action is None or not key:
        return []
    occurred = event.get("occurred_at")
    return [
        Answered(
            event_id=str(event["id"]),
            about=About(remote_id=key),
            action_id=action,
            actor=str((event.get("agent") or {}).get("id") or "pagerduty"),
            occurred_at=datetime.fromisoformat(occurred) if occurred else now,
            action_type=action,
        )
    ]


def reply(request: SignedRequest, answers: Sequence[ActionAnswer]) -> Reply:  # noqa: ARG001
    """Return nothing: PagerDuty reads the status only."""
    return Reply()
