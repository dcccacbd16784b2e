"""A Salesforce org for contract tests: connectors to the emulated one, and what is written to it."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue, SecretStr

from activities.connectors.crm.salesforce import Salesforce
from activities.ports.admission import UNLIMITED, Admission
from activities.ports.connection import Connection
from activities.ports.records import OutboundRecord
from contracts.effects import Delivery, EffectStep
from tests.support import hubspot_account
from tests.support.loopback import IN_DEVELOPMENT

TOKEN = "sandbox-salesforce-token"
CONTACT, LEAD, OPPORTUNITY = "003000000000501AAA", "00Q000000000502AAA", "006000000000701AAA"
PATIENCE_S = 300.0


def connection(
    base_url: str,
    token: str = TOKEN,
    *,
    settings: dict[str, JsonValue] | None = None,
    admission: Admission = UNLIMITED,
    **credential: str,
) -> Connection:
    secrets = {"accessToken": token, **credential}
    return Connection(
        organization_id="lumen-studios",
        integration_id="salesforce-main",
        platform="salesforce",
        base_url=base_url,
        settings=settings or {},
        credential={name: SecretStr(value) for name, value in secrets.items()},
        admission=admission,
        outbound=IN_DEVELOPMENT,
    )


def patient(given: Connection) -> Salesforce:
    """A connector whose time-out no busy machine meets."""
    connector = Salesforce(given)
    connector._api._timeout_s = PATIENCE_S
    return connector


def wedding(number: int, **fields: Any) -> OutboundRecord:
    return OutboundRecord(
        f"wed-{number}",
        {
            "Name": f"Couple {number}",
            "Wedding_Date__c": "2027-06-12",
            "Guest_Count__c": 100 + number,
            "Booking_Status__c": "booked",
            **fields,
        },
    )


def prepared(connector: Salesforce, *records: OutboundRecord) -> list[OutboundRecord]:
    return [connector.prepare("Wedding__c", record) for record in records]


def delivery(**changes: Any) -> Delivery:
    target = {
        "systemId": "crm",
        "systemType": "salesforce",
        "integrationId": "salesforce-main",
        "contacts": [{"crmContactId": CONTACT, "dealId": OPPORTUNITY}, {"crmContactId": LEAD}],
    }
    return hubspot_account.delivery(**{"target": target, **changes})


def step_of(connector: Salesforce, kind: str) -> EffectStep:
    return next(step for step in connector.plan(delivery()) if step.kind == kind)
