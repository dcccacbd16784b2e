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


class HealthRules(Contract):
    """When a check's findings count, and from where on a figure is bad."""

    worsen_after: int = Field(default=2, ge=1, le=10)
    """Consecutive bad checks before the overall word worsens; until then it is suspected only."""
    recover_after: int = Field(default=2, ge=1, le=10)
    """Consecutive good checks before it recovers."""
    slow_ms: float = Field(default=5_000, gt=0)
    give_up_s: float = Field(default=10, gt=0, le=60)
    """How long one check may take."""
    overdue_factor: float = Field(default=1.5, ge=1)
    slower_factor: float = Field(default=3, gt=1)
    """Latency over its own recent median from which performance is degraded."""
    slower_floor_ms: float = Field(default=1_000, ge=0)
    """Latency below which no slowing counts."""
    failing_share: float = Field(default=0.2, gt=0, le=1)
    """Share of recent syncs that failed from which the error rate is degraded; from half on it is unhealthy."""
    least_runs: int = Field(default=5, ge=1)
    """Recent syncs below which no share is judged."""
    least_headroom: float = Field(default=0.1, ge=0, le=1)
    """Share of the vendor's limit that should stay free."""
    settle_s: float = Field(default=120, ge=0, le=3_600)
    """How long an alert waits for others that belong to it."""
    outage_organizations: int = Field(default=3, ge=2)
    """Organisations whose integrations on one platform fail together from which the operator is told of an outage."""


class HealthMetric(Contract):
    """One measured aspect.

    `connection` and `performance` (milliseconds), `sync` (milliseconds since the last sync), `error_rate` and
    `headroom` (shares), `credential` (seconds until it expires), `tls` (lowest version allowed).
    """

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
    since: Instant | None = None
    """When the overall word became what it is."""
    suspected: HealthWord | None = None
    """What the latest checks found where that does not count yet."""


class IntegrationKey(Contract):
    """Which integration, of which platform, in which state."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    platform: Platform
    state: IntegrationState = IntegrationState.ACTIVE


class MonitorHealthResult(Contract):
    """The statuses of all integrations checked, worst first; a scheduled round counts and names none."""

    statuses: Annotated[list[HealthStatus], Field(max_length=1_000)] = []
    checked: int = 0
    unhealthy: int = 0
    degraded: int = 0
    held: int = 0
    """Integrations that take no work and were not asked."""
    told: int = 0
    """Alerts that were sent on their way."""


class MonitorHealthInput(Contract):
    """Check the named integrations of an organisation, or one shard of all, or tell what is due."""

    organization_id: OpaqueId | None = None
    integration_ids: Annotated[list[OpaqueId], Field(max_length=1_000)] = []
    page_size: int = Field(default=200, ge=1, le=1_000)
    shard: int | None = Field(default=None, ge=0)
    """Check this shard of `shards` and remember what was found; the other fields name nothing then."""
    shards: int = Field(default=1, ge=1, le=1_000)
    batch_size: int = Field(default=50, ge=1, le=100)
    """Checks per activity."""
    tell: bool = False
    """Check nothing and tell the alerts that are due."""
    so_far: MonitorHealthResult | None = None
    """What the runs before this one counted."""


class HealthShard(Contract):
    """One of `shards` equal parts of all integrations, by the hash of their ids."""

    shard: int = Field(ge=0)
    shards: int = Field(ge=1)


class ShardCounts(Contract):
    """How many integrations of a shard there are to check, by platform."""

    counts: Annotated[dict[Platform, int], Field(max_length=1_000)] = {}


class HealthBatch(Contract):
    """The integrations of a platform in a part of a shard, to check in one round.

    They are named by their part and not one by one, so that histories stay small. A round counts once however often
    it is tried.
    """

    platform: Platform
    part: HealthShard
    round_at: Instant


class CheckedBatch(Contract):
    """What a batch came to."""

    checked: int = 0
    unhealthy: int = 0
    degraded: int = 0
    held: int = 0


class HealthChange(Contract):
    """The word of the health checks, for the integration's own workflow."""

    word: HealthWord


class HealthPageRequest(Contract):
    """Which integrations to list: an organisation's, or the next of all after a key."""

    organization_id: OpaqueId | None = None
    integration_ids: Annotated[list[OpaqueId], Field(max_length=1_000)] = []
    after: IntegrationKey | None = None
    limit: int = Field(default=200, ge=1, le=1_000)


class HealthPage(Contract):
    """A page of integrations to check."""

    keys: Annotated[list[IntegrationKey], Field(max_length=1_000)] = []


class HealthBoard(Contract):
    """What the checks last found about an organisation's integrations, worst first."""

    statuses: Annotated[list[HealthStatus], Field(max_length=10_000)] = []


WORKING = {
    HealthWord.HEALTHY: IntegrationState.ACTIVE,
    HealthWord.DEGRADED: IntegrationState.DEGRADED,
    HealthWord.UNHEALTHY: IntegrationState.UNHEALTHY,
}
"""The state of an integration that works, by the word of its checks."""


def state_after(state: IntegrationState, word: HealthWord) -> IntegrationState:
    """Return an integration's state after a change of its health; one that does not work stays as it is."""
    return WORKING[word] if state in WORKING.values() else state
