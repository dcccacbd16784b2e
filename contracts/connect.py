"""Inputs of the entity workflow that keeps an integration, and of its activities."""

from __future__ import annotations

from contracts.base import Contract
from contracts.health import IntegrationKey
from contracts.integration import IntegrationConfiguration, IntegrationState, SynchronizationSchedule


class IntegrationRun(IntegrationConfiguration):
    """Input of `Integration`: a configuration is enough; one argument, because Temporal types them by their count."""

    state: IntegrationState = IntegrationState.CONNECTING
    """Where the run before this one left the integration; clients leave it out."""


class IntegrationRecord(Contract):
    """What activities read about an integration."""

    configuration: IntegrationConfiguration
    state: IntegrationState


class ScheduledSync(Contract):
    """The sync schedule an integration should have; none deletes it."""

    key: IntegrationKey
    schedule: SynchronizationSchedule | None = None
