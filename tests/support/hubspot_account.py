"""A HubSpot account for contract tests: connectors to the emulated one, and what is written to it."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from activities.connectors.crm.hubspot import HubSpot
from activities.ports.connection import Connection
from activities.ports.records import OutboundRecord
from contracts.effects import Delivery, EffectStep, Rendered
from contracts.notification import SourceNotification, TargetSystem
from tests.support.emulators import Emulators
from tests.support.loopback import IN_DEVELOPMENT, loopback_client

TOKEN = "sandbox-hubspot-token"
PATIENCE_S = 300.0
OCCURRED_AT = "2027-06-01T09:30:00Z"


def connection(base_url: str, token: str = TOKEN) -> Connection:
    return Connection(
        organization_id="lumen-studios",
        integration_id="hubspot-main",
        platform="hubspot",
        base_url=base_url,
        credential={"accessToken": SecretStr(token)},
        outbound=IN_DEVELOPMENT,
    )


def patient(base_url: str, token: str = TOKEN) -> HubSpot:
    """A connector whose time-out no busy machine meets."""
    connector = HubSpot(connection(base_url, token))
    connector._api._timeout_s = PATIENCE_S
    return connector


def wedding(number: int, **properties: Any) -> OutboundRecord:
    return OutboundRecord(
        f"wed-{number}",
        {
            "wedding_name": f"Couple {number}",
            "wedding_date": "2027-06-12",
            "guest_count": 100 + number,
            "booking_status": "Booked",
            **properties,
        },
    )


def prepared(connector: HubSpot, *records: OutboundRecord) -> list[OutboundRecord]:
    return [connector.prepare("weddings", record) for record in records]


def delivery(**changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "organization_id": "lumen-studios",
        "business_key": "route-0001",
        "notification": SourceNotification.model_validate(
            {
                "notificationId": "notif-0001",
                "type": "timeline_change",
                "title": "Ceremony moved to 15:30",
                "message": "The ceremony now starts at 15:30 in the Orangery.",
                "priority": "high",
                "weddingContext": {"weddingId": "wed-1001", "weddingDate": "2027-06-12", "venueName": "Hartwell House"},
                "metadata": {"affectsDealStage": True, "newDealStage": "in_progress"},
            }
        ),
        "target": TargetSystem.model_validate(
            {
                "systemId": "crm",
                "systemType": "hubspot",
                "integrationId": "hubspot-main",
                "contacts": [{"crmContactId": "501", "companyId": "601", "dealId": "701"}],
            }
        ),
        "rendered": Rendered(),
        "occurred_at": OCCURRED_AT,
    }
    return Delivery.model_validate({**values, **changes})


def step_of(connector: HubSpot, kind: str, given: Delivery | None = None) -> EffectStep:
    return next(step for step in connector.plan(given or delivery()) if step.kind == kind)


def people(emulated: Emulators, count: int) -> list[str]:
    """Put contacts into the account, as its own users would, and return their ids."""
    base_url = emulated.base_url("hubspot")
    inputs = [{"properties": {"email": f"guest-{number}@example.com"}} for number in range(count)]
    with loopback_client(base_url, {"Authorization": f"Bearer {TOKEN}"}) as http:
        answer = http.post("/crm/v3/objects/contacts/batch/create", json={"inputs": inputs}).raise_for_status()
    return [item["id"] for item in answer.json()["results"]]
