"""The actions on a connection, and how it stands after one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts.base import Contract, Instant, OpaqueId, ShortText, Text
from contracts.errors import ErrorDetail
from contracts.integration import (
    ConnectionProbe,
    CredentialRef,
    IntegrationConfiguration,
    IntegrationState,
    Platform,
    ProvisionResult,
)


class ConnectionActionKind(StrEnum):
    """The actions on a connection."""

    TEST = "test"
    PROVISION = "provision"
    ROTATE = "rotate"
    RECONFIGURE = "reconfigure"
    MIGRATE = "migrate"
    CONFIRM_MIGRATION = "confirm_migration"
    CANCEL_MIGRATION = "cancel_migration"
    PAUSE = "pause"
    RESUME = "resume"
    DISCONNECT = "disconnect"


class ConnectionAction(Contract):
    """An action on a connection, with the reason an operator gave."""

    action: ConnectionActionKind
    reason: ShortText = ""
    credential_ref: CredentialRef | None = None
    """The new credential's place in the store; `rotate` needs it, nothing else takes it."""
    configuration: IntegrationConfiguration | None = None
    """What the integration shall be; `reconfigure` needs it, nothing else takes it."""
    successor_id: OpaqueId | None = None
    """The connected integration that takes over; `migrate` needs it, nothing else takes it."""

    @model_validator(mode="after")
    def _only_what_the_action_takes(self) -> Self:
        takes = {
            ConnectionActionKind.ROTATE: "credential_ref",
            ConnectionActionKind.RECONFIGURE: "configuration",
            ConnectionActionKind.MIGRATE: "successor_id",
        }
        needed = takes.get(self.action)
        for name in takes.values():
            if (name == needed) != (getattr(self, name) is not None):
                message = f"{self.action.value} {'needs' if name == needed else 'takes no'} {name}"
                raise ValueError(message)
        return self


class MigrationPhase(StrEnum):
    """How far a move to another integration has come."""

    BACKFILLING = "backfilling"
    VERIFYING = "verifying"
    CUT_OVER = "cut_over"
    """The successor does the work; the old integration is kept until somebody confirms."""
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Migration(Contract):
    """A move to another integration, with what was written there and what was found on reading it again."""

    successor_id: OpaqueId
    phase: MigrationPhase = MigrationPhase.BACKFILLING
    reports: Annotated[list[OpaqueId], Field(max_length=20)] = []
    records: int = 0
    """Records that the backfill brought to the successor."""
    verified: int = 0
    """Of these, how many its vendor holds as they were sent."""
    error: ErrorDetail | None = None


class ConnectionResult(Contract):
    """The integration after an action."""

    integration_id: OpaqueId
    organization_id: OpaqueId
    platform: Platform
    state: IntegrationState
    probe: ConnectionProbe | None = None
    provisioned: ProvisionResult | None = None
    error: ErrorDetail | None = None
    credential_expires_at: Instant | None = None
    """When the access token ends; it is renewed before. None for credentials without an end."""
    migration: Migration | None = None
    tls_exception: Text = ""
    """Why and until when TLS 1.2 is accepted; empty where it is not."""
    connected_at: Instant | None = None
    changed_at: Instant | None = None
