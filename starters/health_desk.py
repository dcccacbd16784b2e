"""What is known of the integrations' health without asking anybody, and where alerts about it go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from activities.connectors.registry import connector_class
from activities.ports.manifest import Capability
from activities.security.keyring import MasterKeys
from activities.storage.alert_routes import AlertRouteStore
from activities.storage.connections import ConnectionStore, unknown_integration
from activities.storage.database import Database
from activities.storage.health import HealthStore
from activities.transform.health import WORST_FIRST
from contracts.alerts import AlertRoute, AlertRoutes
from contracts.errors import InvalidInput
from contracts.health import HealthBoard
from contracts.integration import IntegrationState
from starters.failures import translated
from workers.settings import Settings

_CARRIES = {Capability.DELIVER, Capability.EMAIL}


class HealthDesk:
    """Reads what the scheduled checks found, and keeps the alert routes.

    Args:
        database: the store.
        keys: what its rows are sealed with.
    """

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._connections = ConnectionStore(database, keys)
        self._store = HealthStore(database)
        self._routes = AlertRouteStore(database, keys)

    async def organizations(self) -> list[str]:
        """Return the organisations that have connected integrations."""
        with translated():
            return await self._connections.organizations()

    async def board(self, organization_id: str, integration_id: str | None = None) -> HealthBoard:
        """Return what the checks last found, worst first; integrations not checked yet are absent."""
        with translated():
            found = await self._store.board(organization_id, integration_id)
        return HealthBoard(statuses=sorted(found, key=lambda one: WORST_FIRST.index(one.status)))

    async def routes(self, organization_id: str) -> AlertRoutes:
        """Return where the organisation's alerts go."""
        with translated():
            return await self._routes.get(organization_id)

    async def set_routes(self, routes: AlertRoutes) -> AlertRoutes:
        """Replace where the organisation's alerts go. Idempotent: yes.

        Raises:
            InvalidInput: a route names an integration that is not connected or cannot carry a message.
        """
        with translated():
            for route in routes.routes:
                await self._check(routes.organization_id, route)
            await self._routes.put(routes)
        return routes

    async def _check(self, organization_id: str, route: AlertRoute) -> None:
        stored = await self._connections.get(organization_id, route.integration_id)
        if stored is None or stored.state is IntegrationState.DISCONNECTED:
            raise unknown_integration(route.integration_id)
        manifest = connector_class(stored.configuration.platform).manifest
        if not manifest.capabilities & _CARRIES:
            raise InvalidInput(
                "capability_missing",
                f"{manifest.title} cannot carry an alert.",
                action="Choose a chat, an e-mail or an on-call integration.",
            )


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[HealthDesk]:
    """Yield the desk on the configured store."""
    database = Database(settings.database_url)
    try:
        yield HealthDesk(database, settings.load_master_keys())
    finally:
        await database.aclose()
