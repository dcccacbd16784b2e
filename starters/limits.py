"""What doors show and change of a connection's limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from temporalio.client import Client

from activities.access import Access
from activities.ports.manifest import RateLimit
from activities.storage.connections import ConnectionStore, unknown_integration
from activities.storage.limits import LimitStore, Place
from activities.transport.limits import share
from contracts.limits import CallLimit, ConnectionLimits, OwnLimit
from starters.client import open_store
from starters.failures import translated
from workers.rate_limits import weigh
from workers.settings import Settings


class Limits:
    """The limits of an organisation's connections.

    Args:
        connections: what is known about every integration.
        store: where every worker counts.
    """

    def __init__(self, connections: ConnectionStore, store: LimitStore) -> None:
        self._connections = connections
        self._store = store

    async def show(self, organization_id: str, integration_id: str) -> ConnectionLimits:
        """Return how a connection stands with its vendor.

        Raises:
            InvalidInput: there is no such integration.
        """
        with translated():
            platform, place = await self._place(organization_id, integration_id)
            known = await self._store.known(place)
        limit, standing, now = known.own or place.limit, known.standing, known.now
        return ConnectionLimits(
            integration_id=integration_id,
            organization_id=organization_id,
            platform=platform,
            limit=CallLimit(requests=limit.requests, per_s=limit.per_s),
            own=known.own is not None,
            used=standing.used(limit, now),
            reserved=limit.requests - share(limit, urgent=False),
            paused_until=_instant(standing.paused_until, now),
            circuit=standing.circuit(now).value,
            asked_again_at=_instant(standing.open_until, now),
        )

    async def set_own(
        self, client: Client, organization_id: str, integration_id: str, wanted: OwnLimit
    ) -> ConnectionLimits:
        """Give a connection a limit of its own, or its connector's again, and return how it stands.

        The window begins full, so that old and new together never exceed the lower of both. Idempotent: yes.

        Raises:
            InvalidInput: there is no such integration.
            Transient: Temporal or the store does not answer.
        """
        own = None if wanted.limit is None else RateLimit(wanted.limit.requests, wanted.limit.per_s)
        with translated():
            platform, place = await self._place(organization_id, integration_id)
            await self._store.set_own(place, own)
            await weigh(client, organization_id, integration_id, platform, own)
        return await self.show(organization_id, integration_id)

    async def _place(self, organization_id: str, integration_id: str) -> tuple[str, Place]:
        stored = await self._connections.get(organization_id, integration_id)
        if stored is None:
            raise unknown_integration(integration_id)
        platform = stored.configuration.platform
        return platform, Place(organization_id, integration_id, "", Access.manifest(platform).rate_limit)


@asynccontextmanager
async def open_limits(settings: Settings) -> AsyncIterator[Limits]:
    """Yield the limits on the configured store."""
    store = open_store(settings)
    try:
        yield Limits(store.connections, LimitStore(store.database))
    finally:
        await store.database.aclose()


def _instant(seconds: float, now: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds > now else None
