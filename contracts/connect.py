"""Inputs of the activities that keep an integration."""

from __future__ import annotations

from contracts.base import Contract
from contracts.health import IntegrationKey
from contracts.integration import IntegrationConfiguration, IntegrationState, SynchronizationSchedule


class IntegrationRecord(Contract):
    """What activities read about an integration."""

    configuration: IntegrationConfiguration
    state: IntegrationState


class ScheduledSync(Contract):
    """The sync schedule an integration should have; none deletes it."""

    key: IntegrationKey
    schedule: SynchronizationSchedule | None = None
