"""Inputs of the entity workflow that keeps an integration, and of its activities."""

from __future__ import annotations

from contracts.base import Contract, Instant
from contracts.connection import Migration
from contracts.errors import ErrorDetail
from contracts.health import IntegrationKey
from contracts.integration import ConnectionProbe, IntegrationConfiguration, IntegrationState, SynchronizationSchedule
from contracts.tokens import TokenState


class IntegrationRun(IntegrationConfiguration):
    """Input of `Integration`: a configuration is enough; one argument, because Temporal types them by their count."""

    state: IntegrationState = IntegrationState.CONNECTING
    """Where the run before this one left the integration; clients leave this and what follows out."""
    token: TokenState | None = None
    migration: Migration | None = None
    probe: ConnectionProbe | None = None
    connected_at: Instant | None = None
    trouble: ErrorDetail | None = None


class IntegrationRecord(Contract):
    """What activities read about an integration."""

    configuration: IntegrationConfiguration
    state: IntegrationState


class ScheduledSync(Contract):
    """The sync schedule an integration should have; none deletes it."""

    key: IntegrationKey
    schedule: SynchronizationSchedule | None = None
