"""What a health check finds about an integration."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId, ShortText, Text
from contracts.errors import ErrorDetail
from contracts.integration import IntegrationState, Platform


class HealthWord(StrEnum):
    """Health of one metric or of the whole integration."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class HealthMetric(Contract):
    """One measured aspect: `connection` (milliseconds) or `sync` (milliseconds since the last sync)."""

    metric: ShortText
    status: HealthWord
    value: float
    threshold: float
    message: Text
    last_sync_status: ShortText | None = None
    error: ErrorDetail | None = None


class HealthStatus(Contract):
    """The health of one integration; the worst metric decides."""

    integration_id: OpaqueId
    organization_id: OpaqueId
    platform: Platform
    status: HealthWord
    state: IntegrationState
    metrics: Annotated[list[HealthMetric], Field(max_length=20)] = []
    checked_at: Instant
    changed: bool = False
    """Whether the overall word differs from the previous check."""


class IntegrationKey(Contract):
    """Which integration, of which platform, in which state."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    platform: Platform
    state: IntegrationState = IntegrationState.ACTIVE


class MonitorHealthInput(Contract):
    """Check the named integrations of an organisation, or every connected one."""

    organization_id: OpaqueId | None = None
    integration_ids: Annotated[list[OpaqueId], Field(max_length=1_000)] = []
    page_size: int = Field(default=200, ge=1, le=1_000)


class MonitorHealthResult(Contract):
    """The statuses of all integrations checked, worst first."""

    statuses: Annotated[list[HealthStatus], Field(max_length=1_000)] = []
    checked: int = 0
    unhealthy: int = 0
    degraded: int = 0


class HealthPageRequest(Contract):
    """Which integrations to list: an organisation's, or the next of all after a key."""

    organization_id: OpaqueId | None = None
    integration_ids: Annotated[list[OpaqueId], Field(max_length=1_000)] = []
    after: IntegrationKey | None = None
    limit: int = Field(default=200, ge=1, le=1_000)


class HealthPage(Contract):
    """A page of integrations to check."""

    keys: Annotated[list[IntegrationKey], Field(max_length=1_000)] = []
