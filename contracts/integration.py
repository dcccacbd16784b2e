"""An integration: its configuration, its state and the actions on it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator

from contracts.base import Contract, FieldName, Instant, JsonObject, OpaqueId, ShortText, Text
from contracts.errors import ErrorDetail, InvalidInput
from contracts.facts import ZoneName

Platform = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
"""The system's name in the registry of connectors, such as `hubspot`."""


CRON_FIELDS = 5
_OLD_TLS = "1.2"


class IntegrationType(StrEnum):
    """Kind of system (WS-334), with the reporting kinds of WS-333."""

    CRM = "crm"
    BOOKING_SYSTEM = "booking_system"
    COMMUNICATION_PLATFORM = "communication_platform"
    CALENDAR = "calendar"
    PAYMENT_PROCESSOR = "payment_processor"
    EMERGENCY_SERVICES = "emergency_services"
    BI_PLATFORM = "bi_platform"
    DATA_WAREHOUSE = "data_warehouse"
    REPORT_SOURCE = "report_source"
    FEED = "feed"


class IntegrationState(StrEnum):
    """Where an integration stands in its life."""

    CONNECTING = "connecting"
    ACTIVE = "active"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    PAUSED = "paused"
    RECONNECT_REQUIRED = "reconnect_required"
    DISCONNECTED = "disconnected"

    @property
    def refuses_work(self) -> bool:
        """Whether syncs and deliveries are refused in this state."""
        return self in {IntegrationState.PAUSED, IntegrationState.DISCONNECTED, IntegrationState.RECONNECT_REQUIRED}


class SecretFromEnv(Contract):
    """A secret read from an environment variable of the door that reads the file."""

    model_config = ConfigDict(extra="forbid")
    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


class SecretFromFile(Contract):
    """A secret read from a file beside the door that reads the configuration."""

    model_config = ConfigDict(extra="forbid")
    file: ShortText


SecretSource = Annotated[str, StringConstraints(max_length=8_000)] | SecretFromEnv | SecretFromFile


class CredentialRef(Contract):
    """Where a credential lies in the credential store; it holds no secret itself."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    version: int = Field(ge=1)


class ConnectionConfiguration(Contract):
    """How to reach the account: the credential (or its reference) and the connector's own settings.

    Settings beyond the named fields (`account`, `studioId`, `siteName`, ...) are kept in `model_extra`
    under their wire names; the connector's manifest says which it knows.
    """

    model_config = ConfigDict(extra="allow")
    credential: Annotated[dict[str, SecretSource], Field(max_length=20)] | None = Field(default=None, repr=False)
    credential_ref: CredentialRef | None = None
    base_url: ShortText | None = None

    @property
    def settings(self) -> dict[str, JsonValue]:
        """The connector's own settings by wire name."""
        return dict(self.model_extra or {})


class FieldProtection(StrEnum):
    """What a load into a warehouse writes in the place of a personal value."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105 - the word of the mapping
    """The same 32 hex digits for the same value of an organisation: it joins, and tells nothing."""
    ENCRYPT = "encrypt"
    """The value under its subject's key, which erasing the subject destroys."""
    DROP = "drop"


class Side(StrEnum):
    """The two sides of a sync."""

    SOURCE = "source"
    TARGET = "target"


class FieldMapping(Contract):
    """One column of the target: a source field, or an SQL scalar expression over source fields."""

    target: FieldName
    source: FieldName | None = None
    expression: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] | None = None
    required: bool = False
    protection: FieldProtection = FieldProtection.NONE
    winner: Side = Side.SOURCE
    """Whose value stands where conflicts are resolved by `merge`."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.source is None) == (self.expression is None):
            message = f"the mapping of {self.target} needs either a source or an expression"
            raise ValueError(message)
        return self


class TransformationRule(Contract):
    """A rule applied to every record before mapping: keep it when `condition` (CEL) holds."""

    rule_id: OpaqueId
    condition: Text
    reason: ShortText = ""


class SynchronizationSchedule(Contract):
    """When the integration's own sync runs."""

    cron: Annotated[str, StringConstraints(max_length=100)] | None = None
    """On the zone's clock; on days on which that is changed, each named hour comes once all the same."""
    time_zone: ZoneName = "UTC"
    interval_ms: int | None = Field(default=None, ge=60_000)
    sync_type: ShortText = "incremental"
    source_report_id: OpaqueId | None = None

    def expected_interval(self) -> timedelta | None:
        """Return the longest pause the schedule means between two syncs, None when it means none.

        A cron is read by its coarsest restricted field: month day 31 days, weekday 7 days,
        hour 1 day, otherwise 1 hour.
        """
        if self.interval_ms:
            return timedelta(milliseconds=self.interval_ms)
        fields = (self.cron or "").split()
        if len(fields) != CRON_FIELDS:
            return None
        _, hour, month_day, _, weekday = fields
        if month_day != "*":
            return timedelta(days=31)
        if weekday != "*":
            return timedelta(days=7)
        return timedelta(hours=1) if hour == "*" else timedelta(days=1)


class ErrorHandlingConfig(Contract):
    """How much may be rejected before a run is red."""

    max_rejected_ratio: float = Field(default=0.05, ge=0, le=1)


class SecurityConfiguration(Contract):
    """Transport and privacy settings of the connection."""

    min_tls_version: Annotated[str, StringConstraints(pattern=r"^1\.[23]$")] = "1.3"
    tls_exception_reason: ShortText = ""
    """Why the vendor's server may speak TLS 1.2; needed with `minTlsVersion: "1.2"`."""
    tls_exception_until: date | None = None
    """The last day (UTC) of that exception; needed with it as well."""
    pii_fields: Annotated[list[FieldName], Field(max_length=100)] = []


class SystemConfiguration(Contract):
    """One side of an integration as WS-334 describes it."""

    system_id: OpaqueId | None = None
    system_type: Platform
    settings: JsonObject = {}


class NotificationMapping(Contract):
    """Which notification types go to which target, under which template."""

    notification_type: ShortText
    target: ShortText = ""
    template: Text = ""


class WorkflowTrigger(Contract):
    """A vendor event that starts a workflow."""

    trigger_id: OpaqueId | None = None
    event: ShortText
    workflow: ShortText
    condition: Text = ""


class FailoverConfiguration(Contract):
    """Which systems take over, in order, when this one fails for good."""

    system_ids: Annotated[list[OpaqueId], Field(max_length=10)] = []


class IntegrationConfiguration(Contract):
    """Everything that defines an integration, the union of both briefs' interfaces."""

    integration_id: OpaqueId
    organization_id: OpaqueId
    platform: Platform
    integration_type: IntegrationType | None = None
    connection_config: ConnectionConfiguration = ConnectionConfiguration()
    data_mapping: Annotated[list[FieldMapping], Field(max_length=500)] = []
    sync_schedule: SynchronizationSchedule | None = None
    transformation_rules: Annotated[list[TransformationRule], Field(max_length=100)] = []
    error_handling: ErrorHandlingConfig = ErrorHandlingConfig()
    security_config: SecurityConfiguration = SecurityConfiguration()
    source_system: SystemConfiguration | None = None
    target_systems: Annotated[list[SystemConfiguration], Field(max_length=50)] = []
    notification_mapping: Annotated[list[NotificationMapping], Field(max_length=200)] = []
    workflow_triggers: Annotated[list[WorkflowTrigger], Field(max_length=100)] = []
    failover_configuration: FailoverConfiguration | None = None
    security_configuration: SecurityConfiguration | None = None

    @model_validator(mode="before")
    @classmethod
    def _platform_from_target(cls, given: object) -> object:
        """Take the platform from the first target system where WS-334's shape names none."""
        if isinstance(given, dict) and "platform" not in given:
            targets = given.get("targetSystems") or given.get("target_systems")
            if isinstance(targets, list) and targets and isinstance(targets[0], dict):
                return {**given, "platform": targets[0].get("systemType")}
        return given


def tls_exception(configuration: IntegrationConfiguration) -> str | None:
    """Return the sentence about a connection's TLS exception, for whoever looks at it; None when it has none."""
    security = configuration.security_config
    if security.min_tls_version != _OLD_TLS:
        return None
    return f"TLS 1.2 is accepted until {security.tls_exception_until}: {security.tls_exception_reason}"


def require_tls_decision(configuration: IntegrationConfiguration, today: date | None = None) -> None:
    """Refuse TLS 1.2 where nobody decided on it, or where the decision has run out.

    Args:
        configuration: of the connection.
        today: the day in UTC, the present one when absent.

    Raises:
        InvalidInput: `tls_exception_incomplete` or `tls_exception_expired`.
    """
    security = configuration.security_config
    if security.min_tls_version != _OLD_TLS:
        return
    until = security.tls_exception_until
    if until is None or not security.tls_exception_reason.strip():
        raise InvalidInput(
            "tls_exception_incomplete",
            "The connection asks for TLS 1.2 without saying why and until when.",
            action="Give securityConfig.tlsExceptionReason and tlsExceptionUntil, or leave out minTlsVersion.",
            system=configuration.platform,
        )
    if until < (today or datetime.now(UTC).date()):
        raise InvalidInput(
            "tls_exception_expired",
            f"The connection's exception for TLS 1.2 ended on {until}.",
            action="Have the server moved to TLS 1.3, or decide again with a later tlsExceptionUntil.",
            system=configuration.platform,
        )


class IntegrationInstance(Contract):
    """A reference to a connected integration."""

    integration_id: OpaqueId
    platform: Platform | None = None
    state: IntegrationState | None = None


class ConnectionProbe(Contract):
    """What a test of the connection found."""

    ok: bool
    latency_ms: float = Field(ge=0)
    account: OpaqueId | None = None
    """The vendor's opaque account id, never its display name."""
    features: Annotated[list[ShortText], Field(max_length=50)] = []
    scopes: Annotated[list[ShortText], Field(max_length=100)] = []
    error: ErrorDetail | None = None


class ProvisionResult(Contract):
    """What provisioning found and made; repeating it makes nothing."""

    created: Annotated[list[ShortText], Field(max_length=200)] = []
    existing: Annotated[list[ShortText], Field(max_length=200)] = []


class SyncObservation(Contract):
    """The outcome of a sync, noted with the integration it concerns."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    status: ShortText
    synced_at: Instant | None = None
    """When the target was last brought up to date; absent when this sync did not do so."""
    run_id: OpaqueId | None = None
    series: ShortText = ""
    """The runs it compares with: the report and how much of it is synced, in opaque words."""
    records: int | None = Field(default=None, ge=0)
    """How many records it read; absent when it did not come so far."""
