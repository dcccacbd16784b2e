"""How much of its vendor's limit a connection has left, from the store in which every worker counts."""

from __future__ import annotations

from activities.connectors.registry import connector_class
from activities.storage.limits import LimitStore, Place
from contracts.health import IntegrationKey

MOMENT_S = 60.0
"""A limit over so short a time is free again before anybody could act on its being used up."""


class StoredHeadroom:
    """Reads the windows that admissions fill.

    Args:
        store: shared by every worker.
    """

    def __init__(self, store: LimitStore) -> None:
        self._store = store

    async def free(self, key: IntegrationKey) -> float | None:
        """Return the share of the limit that is free, from 0 to 1; None for a limit over a moment."""
        declared = connector_class(key.platform).manifest.rate_limit
        known = await self._store.known(Place(key.organization_id, key.integration_id, "", declared))
        limit = known.own or declared
        if limit.per_s <= MOMENT_S:
            return None
        return max(0.0, 1 - known.standing.used(limit, known.now) / limit.requests)
