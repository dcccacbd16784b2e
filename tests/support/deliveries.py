"""The example routing as deliveries, one per target system."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from activities.ports.connection import Connection
from contracts.effects import Delivery, EffectOutcome, EffectStep, Rendered, StandingEffect
from contracts.notification import CrossSystemRouting, TargetSystem
from tests.support.loopback import IN_DEVELOPMENT

OCCURRED_AT = datetime(2027, 6, 1, 9, 30, tzinfo=UTC)
PRIVATE_WORDS = ("Fisher", "Hartwell", "Orangery", "@", "sandbox-", "secret")
"""Words of the example that no error may contain."""

ROUTING: dict[str, Any] = {
    "routingId": "route-0001",
    "organizationId": "lumen-studios",
    "sourceNotification": {
        "notificationId": "notif-0001",
        "type": "timeline_change",
        "title": "Ceremony moved to 15:30",
        "message": "The ceremony now starts at 15:30 in the Orangery.",
        "priority": "high",
        "weddingContext": {
            "weddingId": "wed-1001",
            "weddingDate": "2027-06-12",
            "timeZone": "Europe/London",
            "clientName": "Anna and Ben Fisher",
            "venueName": "Hartwell House",
            "vendorName": "Lumen Studios",
        },
        "actions": [
            {"actionId": "ack", "label": "Got it", "type": "acknowledge", "style": "primary"},
            {"actionId": "call", "label": "Call the planner", "type": "link", "style": "default"},
        ],
        "metadata": {
            "affectsDealStage": True,
            "newDealStage": "in_progress",
            "taveJobId": "job-77",
            "timelineChanges": {
                "newWeddingDate": "2027-06-12",
                "newWeddingTime": "15:30",
                "newVenue": "Hartwell House, Orangery",
                "affectedSessions": [
                    {
                        "sessionId": "sess-1",
                        "newStartTime": "2027-06-12T14:00:00+01:00",
                        "newEndTime": "2027-06-12T22:00:00+01:00",
                        "newLocation": "Hartwell House, Orangery",
                    }
                ],
            },
        },
    },
    "targetSystems": [
        {"systemId": "booking", "systemType": "tave", "integrationId": "tave-main"},
        {
            "systemId": "team-chat",
            "systemType": "slack",
            "integrationId": "slack-main",
            "channels": [{"channelId": "C0WEDDINGS", "messageStyle": "detailed"}],
        },
    ],
}


def delivery(
    system: str, *, target: dict[str, Any] | None = None, rendered: Rendered | None = None, **notification: Any
) -> Delivery:
    """Return the example's delivery to a system.

    Args:
        system: platform of the target; one that the example lacks gets a target of its own.
        target: wire fields laid over the target.
        rendered: what the templates made of it.
        notification: wire fields laid over the notification.
    """
    source = {**ROUTING["sourceNotification"], **notification}
    routing = CrossSystemRouting.model_validate({**ROUTING, "sourceNotification": source})
    own = {"systemId": system, "systemType": system, "integrationId": f"{system}-main"}
    for one in ROUTING["targetSystems"]:
        own = one if one["systemType"] == system else own
    return Delivery(
        organization_id=routing.organization_id,
        business_key=routing.routing_id,
        notification=routing.source_notification,
        target=TargetSystem.model_validate({**own, **(target or {})}),
        rendered=rendered or Rendered(),
        occurred_at=OCCURRED_AT,
    )


def standing(step: EffectStep, outcome: EffectOutcome) -> StandingEffect:
    """Return the effect that a step made."""
    kept = step.model_dump(exclude={"payload", "reversible"})
    return StandingEffect(**kept, remote_id=outcome.remote_id, workflow_id="run-1", applied_at=OCCURRED_AT)


def connection(platform: str, base_url: str, credential: dict[str, str], **settings: Any) -> Connection:
    """Return a connection of the example organisation."""
    return Connection(
        organization_id="lumen-studios",
        integration_id=f"{platform}-main",
        platform=platform,
        base_url=base_url,
        settings=settings,
        credential={name: SecretStr(value) for name, value in credential.items()},
        outbound=IN_DEVELOPMENT,
    )
