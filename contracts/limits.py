"""A connection's limits as doors show and change them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId
from contracts.integration import Platform


class CallLimit(Contract):
    """How many requests a vendor takes through one connection."""

    requests: Annotated[int, Field(ge=1, le=100_000)]
    per_s: Annotated[float, Field(ge=0.1, le=3_600)]
    """Length of the sliding window in seconds."""


class OwnLimit(Contract):
    """The limit of one account, in the place of the one its connector states; null takes it away."""

    limit: CallLimit | None = None


class ConnectionLimits(Contract):
    """How a connection stands with its vendor now."""

    integration_id: OpaqueId
    organization_id: OpaqueId
    platform: Platform
    limit: CallLimit
    own: bool = False
    """Whether the account has a limit of its own."""
    used: Annotated[int, Field(ge=0)] = 0
    """Requests in the window that ends now."""
    reserved: Annotated[int, Field(ge=0)] = 0
    """Requests of a window that only emergencies may use."""
    paused_until: Instant | None = None
    """Until when the vendor asked for a pause, null when it did not."""
    circuit: Literal["closed", "open", "probing", "ramping"] = "closed"
    asked_again_at: Instant | None = None
    """When a vendor that keeps failing is asked again."""
