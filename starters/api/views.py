"""Answers that no workflow returns."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from activities.storage.connections import StoredConnection
from contracts.automation import AutomationDefinition
from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.health import HealthWord
from contracts.integration import IntegrationState, Platform


class Accepted(Contract):
    """A run that has started, or was joined; `url` shows how it fares."""

    run_id: str
    url: str
    status: ShortText = "running"


class IntegrationSummary(Contract):
    """An integration in a list; its settings and credential stay in the store."""

    integration_id: OpaqueId
    organization_id: OpaqueId
    platform: Platform
    state: IntegrationState
    changed_at: Instant
    last_sync_at: Instant | None = None
    last_sync_status: ShortText | None = None
    health: HealthWord | None = None

    @classmethod
    def of(cls, stored: StoredConnection) -> IntegrationSummary:
        """Return the summary of a stored integration."""
        return cls(
            integration_id=stored.configuration.integration_id,
            organization_id=stored.configuration.organization_id,
            platform=stored.configuration.platform,
            state=stored.state,
            changed_at=stored.changed_at,
            last_sync_at=stored.last_sync_at,
            last_sync_status=stored.last_sync_status,
            health=stored.health,
        )


class IntegrationList(Contract):
    """The integrations of an organisation."""

    integrations: Annotated[list[IntegrationSummary], Field(max_length=10_000)]


class AutomationList(Contract):
    """The automations an organisation saved, and the runs of automations that have not ended."""

    saved: Annotated[list[AutomationDefinition], Field(max_length=1_000)]
    running: Annotated[list[OpaqueId], Field(max_length=10_000)]
    """Orchestration ids."""


class Readiness(Contract):
    """Whether the API can do its work, part by part."""

    ready: bool
    checks: Annotated[dict[ShortText, ShortText], Field(max_length=10)]
