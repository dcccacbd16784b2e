"""What an operator or an organisation is told about its integrations."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, JsonObject, OpaqueId, ShortText, Text
from contracts.names import effect_id
from contracts.notification import CommunicationChannel, CrossSystemRouting, NotificationAction


class AlertKind(StrEnum):
    """What happened."""

    INTEGRATION_UNHEALTHY = "integration_unhealthy"
    INTEGRATION_DEGRADED = "integration_degraded"
    INTEGRATION_RECOVERED = "integration_recovered"
    RECONNECT_REQUIRED = "reconnect_required"
    RUN_MISSING = "run_missing"
    VOLUME_ODD = "volume_odd"
    DECISION_NEEDED = "decision_needed"
    MESSAGE_UNDELIVERED = "message_undelivered"
    ESCALATION_STOPPED = "escalation_stopped"
    ESCALATION_RESUMED = "escalation_resumed"


class Severity(StrEnum):
    """How much it matters, in the words that on-call systems share."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for `info` to 3 for `critical`."""
        return list(Severity).index(self)


class Alert(Contract):
    """One change of state that somebody should know of; the same alert told twice is delivered once."""

    organization_id: OpaqueId
    kind: AlertKind
    severity: Severity = Severity.ERROR
    since: Instant
    """When the state began; a later occurrence of the same is another alert."""
    integration_ids: Annotated[list[OpaqueId], Field(max_length=100)] = []
    count: int = Field(default=0, ge=0)
    """How many integrations are concerned where that is more than are named."""
    sentence: Text
    """What happened, without secrets or personal data."""
    action: Text = ""
    """What its reader does next."""
    parts: Annotated[list[OpaqueId], Field(max_length=10)] = []
    """Opaque words that tell two alerts of one kind and instant apart; the integrations when empty."""
    incident_id: OpaqueId | None = None
    """What an alert and its recovery share; the alert's own id when absent."""
    to_operator: bool = False
    """Whether it is the operator's and not the organisation's."""
    actions: Annotated[list[NotificationAction], Field(max_length=5)] = []
    """The answers it asks for."""
    answers_to: ShortText | None = None
    """The workflow that takes them."""
    decided: Text = ""
    """What was answered: the alert then asks no more, and is written over the one that asked."""
    falls_back: bool = True
    """Whether the operator gets it where the organisation has no routes."""

    @property
    def alert_id(self) -> str:
        """The deterministic id: the same for the same organisation, what, and since when."""
        what = self.parts or self.integration_ids
        audience = "operator" if self.to_operator else "organization"
        instant = self.since.isoformat()
        return effect_id(self.organization_id, "alert", audience, self.kind, self.severity, instant, *what)


class AlertRoute(Contract):
    """A connected integration that alerts go through."""

    integration_id: OpaqueId
    min_severity: Severity = Severity.WARNING
    kinds: Annotated[list[AlertKind], Field(max_length=20)] = []
    """The kinds that take this route; all of them when empty. A recovery follows what it recovers from."""
    channels: Annotated[list[CommunicationChannel], Field(max_length=20)] = []
    recipients: Annotated[list[ShortText], Field(max_length=50)] = []
    """Addresses; personal, therefore only in sealed payloads and in the sealed store."""
    settings: JsonObject = {}


class AlertRoutes(Contract):
    """Where an organisation's alerts go; every route that takes an alert gets it."""

    organization_id: OpaqueId
    routes: Annotated[list[AlertRoute], Field(max_length=20)] = []


class AlertPlan(Contract):
    """The delivery of an alert; none where no route takes it."""

    routing: CrossSystemRouting | None = None


class DueAlert(Contract):
    """An alert about an incident, which is due until it is noted as told."""

    incident_id: OpaqueId
    alert: Alert


class DueAlerts(Contract):
    """Alerts that are due, oldest first."""

    due: Annotated[list[DueAlert], Field(max_length=100)] = []
