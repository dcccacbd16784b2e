"""How much of a vendor's limit a connection has left."""

from __future__ import annotations

from typing import Protocol

from contracts.health import IntegrationKey


class Headroom(Protocol):
    """Knows the limits of connections without asking a vendor."""

    async def free(self, key: IntegrationKey) -> float | None:
        """Return the share of the limit that is free, from 0 to 1; None where it is unknown."""
        ...


class UnknownHeadroom:
    """Knows of no limit."""

    async def free(self, key: IntegrationKey) -> float | None:  # noqa: ARG002
        """Return None."""
        return None
