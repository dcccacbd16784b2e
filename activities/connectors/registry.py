"""The list of connectors: one line per system."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from contracts.errors import InvalidInput

if TYPE_CHECKING:
    from activities.ports.connector import Connector

CONNECTORS = {
    "asana": "activities.connectors.crm.asana:Asana",
    "bigquery": "activities.connectors.warehouse.bigquery:BigQuery",
    "caldav": "activities.connectors.calendar.caldav:CalDav",
    "databricks": "activities.connectors.warehouse.databricks:Databricks",
    "email": "activities.connectors.communication.email:Email",
    "hubspot": "activities.connectors.crm.hubspot:HubSpot",
    "pagerduty": "activities.connectors.emergency.pagerduty:PagerDuty",
    "postgresql": "activities.connectors.source.postgresql:PostgreSql",
    "powerbi": "activities.connectors.bi.powerbi:PowerBi",
    "redshift": "activities.connectors.warehouse.redshift:Redshift",
    "salesforce": "activities.connectors.crm.salesforce:Salesforce",
    "sap_analytics_cloud": "activities.connectors.bi.sap_analytics_cloud:SapAnalyticsCloud",
    "slack": "activities.connectors.communication.slack.connector:Slack",
    "snowflake": "activities.connectors.warehouse.snowflake:Snowflake",
    "square": "activities.connectors.payments.square:Square",
    "synapse": "activities.connectors.warehouse.synapse:Synapse",
    "tableau": "activities.connectors.bi.tableau:Tableau",
    "tave": "activities.connectors.booking.tave:Tave",
    "tripleseat": "activities.connectors.booking.tripleseat:Tripleseat",
    "twilio": "activities.connectors.communication.twilio.connector:Twilio",
    "weather": "activities.connectors.feed.weather:Weather",
    "wedsync": "activities.connectors.source.wedsync:WedSyncReports",
    "whatsapp": "activities.connectors.communication.whatsapp.connector:WhatsApp",
}
"""System name -> module and class; modules load on first use because vendor SDKs are heavy."""


def load(platforms: Iterable[str]) -> None:
    """Import the connectors of these platforms, which takes seconds that no call should wait for."""
    for platform in platforms:
        connector_class(platform)


@cache
def connector_class(platform: str) -> type[Connector]:
    """Return the connector class of a platform.

    Raises:
        InvalidInput: no connector of that name.
    """
    if platform not in CONNECTORS:
        raise InvalidInput(
            "unknown_platform",
            f"There is no connector for the platform {platform!r}.",
            action=f"Use one of: {', '.join(sorted(CONNECTORS))}.",
        )
    module, _, name = CONNECTORS[platform].partition(":")
    loaded: type[Connector] = getattr(import_module(module), name)
    return loaded
