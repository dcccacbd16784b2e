"""An emergency alert, the people it escalates to, and whom it reached."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.errors import ErrorDetail
from contracts.notification import DeliveryStatus, SourceNotification, TargetSystem


class EscalationLevel(Contract):
    """Who is alerted together, and how long they have before the next level is alerted as well."""

    level: int = Field(ge=1, le=20)
    ack_within: timedelta
    """ISO 8601, counted from the moment this level was alerted."""
    targets: Annotated[list[TargetSystem], Field(min_length=1, max_length=50)]


class EmergencyAlert(Contract):
    """Alert configured people until one of them acknowledges; it never calls an emergency service."""

    alert_id: OpaqueId
    organization_id: OpaqueId
    notification: SourceNotification
    escalation: Annotated[list[EscalationLevel], Field(min_length=1, max_length=20)]
    repeat_until_acknowledged: bool = True

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if [level.level for level in self.escalation] != list(range(1, len(self.escalation) + 1)):
            message = "the escalation levels are numbered 1, 2, 3 and so on, in that order"
            raise ValueError(message)
        known = {target.system_id for level in self.escalation for target in level.targets}
        for level in self.escalation:
            for target in level.targets:
                if missing := [name for name in target.failover if name not in known]:
                    message = f"the target {target.system_id} fails over to {missing[0]}, which is no target"
                    raise ValueError(message)
        return self


class AlertDelivery(Contract):
    """One attempt to reach one target."""

    level: int = Field(ge=1)
    system_id: OpaqueId
    status: DeliveryStatus
    delivered_at: Instant | None = None
    error: ErrorDetail | None = None


class EmergencyResult(Contract):
    """Whom the alert reached, when, and who acknowledged it."""

    alert_id: OpaqueId
    acknowledged_at: Instant | None = None
    acknowledged_by: OpaqueId | None = None
    highest_level: int = Field(ge=1)
    deliveries: Annotated[list[AlertDelivery], Field(max_length=2_000)] = []
    outcome: ShortText
    """acknowledged, exhausted (nobody did, and nothing repeats), cancelled."""
