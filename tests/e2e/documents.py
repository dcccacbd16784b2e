"""Files a tenant would write, for the emulated accounts."""

from __future__ import annotations

from typing import Any

ORGANIZATION = "lumen-studios"

HUBSPOT: dict[str, Any] = {
    "integrationId": "hubspot-main",
    "organizationId": ORGANIZATION,
    "platform": "hubspot",
    "connectionConfig": {"credential": {"accessToken": "sandbox-hubspot-token"}},
    "dataMapping": [
        {"source": "clientName", "target": "wedding_name"},
        {"source": "weddingDate", "target": "wedding_date"},
        {"source": "status", "target": "booking_status"},
    ],
    "securityConfig": {"minTlsVersion": "1.3", "piiFields": ["clientName"]},
}
SLACK: dict[str, Any] = {
    "integrationId": "slack-main",
    "organizationId": ORGANIZATION,
    "platform": "slack",
    "connectionConfig": {
        "credential": {"botToken": "sandbox-slack-token", "signingSecret": "sandbox-slack-signing-secret"}
    },
}

SALESFORCE: dict[str, Any] = {
    "integrationId": "salesforce-main",
    "organizationId": ORGANIZATION,
    "platform": "salesforce",
    "connectionConfig": {"credential": {"accessToken": "sandbox-salesforce-token"}},
    "dataMapping": [
        {"source": "clientName", "target": "Name"},
        {"source": "weddingDate", "target": "Wedding_Date__c"},
        {"source": "venueName", "target": "Venue_Name__c"},
        {"source": "guestCount", "target": "Guest_Count__c"},
        {"source": "totalBudget", "target": "Total_Budget__c"},
    ],
    "securityConfig": {"minTlsVersion": "1.3", "piiFields": ["clientName"]},
}


def routing(routing_id: str, *, integration_id: str = "slack-main") -> dict[str, Any]:
    """Return a notification to the team's channel that says its id."""
    return {
        "routingId": routing_id,
        "organizationId": ORGANIZATION,
        "sourceNotification": {
            "notificationId": f"n-{routing_id}",
            "type": "timeline_change",
            "title": f"Ceremony moved to 15:30 ({routing_id})",
            "message": "The ceremony now starts at 15:30.",
            "priority": "high",
        },
        "targetSystems": [
            {
                "systemId": "team-chat",
                "systemType": "slack",
                "integrationId": integration_id,
                "channels": [{"channelId": "C0WEDDINGS"}],
            }
        ],
    }


def wedding(wedding_id: str) -> dict[str, Any]:
    """Return a wedding that writes to nobody."""
    return {
        "organizationId": ORGANIZATION,
        "weddingId": wedding_id,
        "weddingDate": "2031-06-12",
        "ceremonyTime": "15:30",
        "timeZone": "Europe/London",
        "bookingStatus": "confirmed",
    }


def automation(orchestration_id: str, **chain: Any) -> dict[str, Any]:
    """Return an automation that asks in the team's channel, and tells it once somebody has approved."""

    def said(action_id: str) -> dict[str, Any]:
        words = {"message": f"{action_id} {orchestration_id}", "channelId": "C0WEDDINGS"}
        return {"actionId": action_id, "type": "send_message", "integrationId": "slack-main", "parameters": words}

    actions = {"coordinationId": "tell", "actions": [said("told")]}
    step = {
        "stepId": "tell",
        "approvalBy": ["planner", "U0PLANNER"],
        "approval": {"ask": said("asked")},
        "actions": actions,
    }
    return {
        "orchestrationId": orchestration_id,
        "organizationId": ORGANIZATION,
        "chains": [{"chainId": "tell", "name": "Tell", "trigger": "manual", "steps": [step], **chain}],
    }
