"""Planning whom an alert goes to, and in which words."""

from __future__ import annotations

from temporalio import activity

from activities.storage.alert_routes import AlertRouteStore
from activities.storage.connections import ConnectionStore
from activities.transform.alerts import notification_of, takes
from contracts.alerts import Alert, AlertPlan, AlertRoute
from contracts.errors import WedSyncError
from contracts.integration import IntegrationState
from contracts.notification import CrossSystemRouting, TargetSystem


class Alerts:
    """The verbs of alerting.

    Args:
        routes: where each organisation wants its alerts.
        connections: what the routes go through.
        operator: the organisation that runs this installation; its routes take what belongs to nobody else.
    """

    def __init__(self, routes: AlertRouteStore, connections: ConnectionStore, *, operator: str = "") -> None:
        self._routes = routes
        self._connections = connections
        self._operator = operator

    @activity.defn(name="alerts.plan")
    async def plan(self, alert: Alert) -> AlertPlan:
        """Return the delivery of an alert along its organisation's routes, else along the operator's.

        Idempotent: yes, it changes nothing.
        """
        owner = self._operator if alert.to_operator else alert.organization_id
        targets = await self._targets(owner, alert) if owner else []
        if not targets and alert.falls_back and self._operator not in {"", owner} and not await self._has_routes(owner):
            owner = self._operator
            targets = await self._targets(owner, alert)
        if not targets:
            return AlertPlan()
        routing = CrossSystemRouting(
            routing_id=alert.alert_id,
            organization_id=owner,
            source_notification=notification_of(alert),
            target_systems=targets,
            answers_to=alert.answers_to,
        )
        return AlertPlan(routing=routing)

    async def _has_routes(self, owner: str) -> bool:
        return bool((await self._routes.get(owner)).routes)

    async def _targets(self, owner: str, alert: Alert) -> list[TargetSystem]:
        routes = [route for route in (await self._routes.get(owner)).routes if takes(route, alert)]
        # What is down is the last to bring the news of it, unless nothing else is there.
        concerned = set(alert.integration_ids) if owner == alert.organization_id else set()
        sound = [route for route in routes if route.integration_id not in concerned]
        found = [await self._target(owner, number, route) for number, route in enumerate(sound or routes)]
        return [target for target in found if target is not None]

    async def _target(self, owner: str, number: int, route: AlertRoute) -> TargetSystem | None:
        try:
            stored = await self._connections.get(owner, route.integration_id)
        except WedSyncError:
            return None
        if stored is None or stored.state is IntegrationState.DISCONNECTED:
            activity.logger.warning("an alert route names an integration that is not connected")
            return None
        return TargetSystem(
            system_id=f"route-{number}",
            system_type=stored.configuration.platform,
            integration_id=route.integration_id,
            channels=route.channels,
            recipients=route.recipients,
            settings=route.settings,
        )
