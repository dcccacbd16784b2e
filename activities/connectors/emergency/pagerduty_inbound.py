"""What PagerDuty tells: incidents that somebody has acknowledged or resolved.

Source: https://developer.pagerduty.com/docs/webhooks-overview (version 3); that the incident's `incident_key` is the
`dedup_key` of the event that opened it: https://developer.pagerduty.com/docs/events-api-v2-overview.
"""

from __future__ import annotations

import json
from datetime import datetime

from activities.ports.inbound import About, Answered, Inbound, InboundEvent, Receipt
from activities.security.signatures import SignedRequest, pagerduty

_ACTIONS = {"incident.acknowledged": "acknowledge", "incident.resolved": "resolve"}


def read(request: SignedRequest, now: datetime) -> list[InboundEvent]:
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
            actor_id=str((event.get("agent") or {}).get("id") or "pagerduty"),
            occurred_at=datetime.fromisoformat(occurred) if occurred else now,
            action_type=action,
        )
    ]


def receipt(_request: SignedRequest, _words: str) -> Receipt:
    """Return nothing: PagerDuty reads the status only."""
    return Receipt("text/plain", "")


INBOUND = Inbound(check=pagerduty, secret_field="webhookSecret", read=read, receipt=receipt)  # noqa: S106 - a field's name
