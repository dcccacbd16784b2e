"""Alert plans: whose routes take an alert, and what they carry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activities.alerts import Alerts
from activities.security.envelope import MasterKey
from activities.storage.alert_routes import AlertRouteStore
from activities.storage.connections import ConnectionStore
from activities.storage.database import Database, migrate
from contracts.alerts import Alert, AlertKind, AlertRoutes, Severity
from contracts.integration import IntegrationConfiguration, IntegrationState
from contracts.notification import CrossSystemRouting

SLACK = {"integrationId": "slack-main", "channels": [{"channelId": "C0OPS"}]}
MAIL = {"integrationId": "mail-main", "minSeverity": "error", "recipients": ["owner@example.com"]}


class Desk:
    """An organisation and the operator, each with a chat and a mail account."""

    def __init__(self, database: Database, operator: str) -> None:
        key = MasterKey(bytes(32))
        self.connections = ConnectionStore(database, key)
        self.routes = AlertRouteStore(database, key)
        self._alerts = Alerts(self.routes, self.connections, operator=operator)

    async def connect(self, owner: str, name: str, state: IntegrationState = IntegrationState.ACTIVE) -> None:
        configuration = IntegrationConfiguration(organization_id=owner, integration_id=name, platform="slack")
        await self.connections.put(configuration, state)

    async def set(self, owner: str, *routes: dict[str, Any]) -> None:
        await self.routes.put(AlertRoutes.model_validate({"organizationId": owner, "routes": routes}))

    async def plan(self, **changes: Any) -> CrossSystemRouting | None:
        given = {
            "organization_id": "lumen",
            "kind": AlertKind.INTEGRATION_UNHEALTHY,
            "since": datetime(2031, 5, 1, tzinfo=UTC),
            "integration_ids": ["tave-1"],
            "sentence": "It does not answer.",
            "action": "Look.",
            **changes,
        }
        return (await self._alerts.plan(Alert.model_validate(given))).routing


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    url = f"sqlite:///{tmp_path}/wedsync.db"
    migrate(url)
    database = Database(url)
    stage = Desk(database, "wedsync-ops")
    for owner in ("lumen", "wedsync-ops"):
        for name in ("slack-main", "mail-main"):
            await stage.connect(owner, name)
    yield stage
    await database.aclose()


def targets(routing: CrossSystemRouting | None) -> list[str]:
    return [one.integration_id for one in routing.target_systems] if routing else []


async def test_an_alert_takes_every_route_of_its_severity(desk: Desk):
    await desk.set("lumen", SLACK, MAIL)
    assert targets(await desk.plan(severity=Severity.ERROR)) == ["slack-main", "mail-main"]
    assert targets(await desk.plan(severity=Severity.WARNING)) == ["slack-main"]
    assert targets(await desk.plan(severity=Severity.INFO)) == []


async def test_a_recovery_takes_the_routes_of_what_it_recovers_from(desk: Desk):
    await desk.set("lumen", {**SLACK, "kinds": ["integration_unhealthy"]})
    assert targets(await desk.plan(kind=AlertKind.INTEGRATION_RECOVERED)) == ["slack-main"]
    assert targets(await desk.plan(kind=AlertKind.VOLUME_ODD)) == []


async def test_without_routes_of_its_own_the_operator_is_told(desk: Desk):
    await desk.set("wedsync-ops", SLACK)
    routing = await desk.plan()
    assert routing is not None
    assert (routing.organization_id, targets(routing)) == ("wedsync-ops", ["slack-main"])
    assert await desk.plan(falls_back=False) is None


async def test_what_the_organisation_s_routes_leave_out_is_not_the_operator_s(desk: Desk):
    await desk.set("wedsync-ops", SLACK)
    await desk.set("lumen", MAIL)
    assert await desk.plan(severity=Severity.WARNING) is None


async def test_what_is_the_operator_s_goes_nowhere_else(desk: Desk):
    await desk.set("lumen", SLACK)
    assert await desk.plan(to_operator=True) is None


async def test_what_is_down_does_not_bring_the_news_of_it_while_another_can(desk: Desk):
    await desk.set("lumen", SLACK, MAIL)
    assert targets(await desk.plan(integration_ids=["slack-main"])) == ["mail-main"]
    await desk.set("lumen", SLACK)
    assert targets(await desk.plan(integration_ids=["slack-main"])) == ["slack-main"]


async def test_a_route_through_what_is_disconnected_is_left_out(desk: Desk):
    await desk.set("lumen", SLACK, MAIL)
    await desk.connect("lumen", "slack-main", IntegrationState.DISCONNECTED)
    assert targets(await desk.plan()) == ["mail-main"]


async def test_the_message_says_what_since_when_where_and_what_next(desk: Desk):
    await desk.set("lumen", SLACK)
    routing = await desk.plan()
    assert routing is not None
    said = routing.source_notification
    assert said.title == "Unhealthy: tave-1"
    assert said.message.splitlines() == [
        "It does not answer.",
        "Since 2031-05-01 00:00 UTC.",
        "Integrations: tave-1.",
        "Look.",
    ]


async def test_a_recovery_resolves_the_incident_that_the_alert_triggered(desk: Desk):
    await desk.set("lumen", SLACK)
    fell = await desk.plan(incident_id="incident-1")
    rose = await desk.plan(incident_id="incident-1", kind=AlertKind.INTEGRATION_RECOVERED)
    assert fell is not None
    assert rose is not None
    assert fell.routing_id != rose.routing_id
    metadata = [one.source_notification.metadata for one in (fell, rose)]
    assert [one["incidentAction"] for one in metadata] == ["trigger", "resolve"]
    assert {one["incidentId"] for one in metadata} == {"incident-1"}


async def test_recipients_lie_sealed(desk: Desk, tmp_path: Path):
    await desk.set("lumen", MAIL)
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"owner@example.com" not in held
