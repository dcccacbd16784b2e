"""A notification, its targets, and what became of it at each of them."""

from __future__ import annotations

from datetime import date, time, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from contracts.base import Contract, Instant, JsonObject, OpaqueId, ShortText, Text
from contracts.decisions import Decision
from contracts.errors import ErrorDetail
from contracts.integration import Platform
from contracts.sync import SyncPriority


class WeddingContext(Contract):
    """The wedding a notification is about."""

    wedding_id: OpaqueId
    wedding_date: date | None = None
    wedding_time: time | None = None
    time_zone: ShortText = "UTC"
    client_name: ShortText = ""
    venue_name: ShortText = ""
    vendor_name: ShortText = ""


class NotificationAction(Contract):
    """A button the recipient can press."""

    action_id: OpaqueId
    label: Annotated[str, StringConstraints(min_length=1, max_length=75)]
    type: ShortText
    style: ShortText = "default"
    url: ShortText | None = None
    notification_id: OpaqueId | None = None


class SourceNotification(Contract):
    """A notification as WedSync raises it (the briefs' WeddingNotification)."""

    notification_id: OpaqueId
    type: ShortText
    title: ShortText
    message: Text
    priority: SyncPriority = SyncPriority.NORMAL
    wedding_context: WeddingContext | None = None
    actions: Annotated[list[NotificationAction], Field(max_length=25)] = []
    metadata: JsonObject = {}
    """Free facts; the keys connectors know are those of `NotificationMetadata`."""
    created_at: Instant | None = None


class AffectedSession(Contract):
    """A booked session that a timeline change moves."""

    session_id: OpaqueId
    new_start_time: Instant | None = None
    new_end_time: Instant | None = None
    new_location: ShortText = ""
    confirmed: bool | None = None
    """Whether the session now stands for certain; nothing is said about it when absent."""


class TimelineChanges(Contract):
    """What a timeline change changed."""

    new_wedding_date: date | None = None
    new_wedding_time: time | None = None
    new_venue: ShortText = ""
    affected_sessions: Annotated[list[AffectedSession], Field(max_length=50)] = []


class Slot(Contract):
    """A time of a resource: a photographer, a room."""

    resource_id: OpaqueId
    starts_at: Instant
    ends_at: Instant


class NotificationMetadata(Contract):
    """The metadata keys that connectors act on."""

    affects_deal_stage: bool = False
    new_deal_stage: ShortText = ""
    updates_booking_status: bool = False
    new_status: ShortText = ""
    tave_job_id: OpaqueId | None = None
    tripleseat_event_id: OpaqueId | None = None
    square_order_id: OpaqueId | None = None
    booking_id: OpaqueId | None = None
    timeline_changes: TimelineChanges | None = None
    wedding_package_type: ShortText = ""
    severity: ShortText = ""
    """`info`, `warning`, `error` or `critical`, for systems that call people out."""
    incident_id: OpaqueId | None = None
    """What all notifications about one incident share."""
    incident_action: ShortText = "trigger"
    """`trigger`, `acknowledge` or `resolve`."""
    category: ShortText = ""
    """What kind of message it is to its recipient, such as `reminder`, for their preferences."""
    dedup_key: ShortText = ""
    """The business key: what repeats it within the organisation's window is the same message, whatever its words."""
    slot: Slot | None = None
    """What a delivery of the intent `hold` keeps free."""


class CRMContact(Contract):
    """A CRM record set that a notification is written to."""

    crm_contact_id: OpaqueId
    company_id: OpaqueId | None = None
    deal_id: OpaqueId | None = None


class CommunicationChannel(Contract):
    """A channel of a communication platform."""

    channel_id: OpaqueId
    message_style: ShortText = "detailed"


class DeliveryIntent(StrEnum):
    """What the recipient system is to do: show a message, give somebody a task, keep a slot free."""

    NOTIFY = "notify"
    TASK = "task"
    HOLD = "hold"


class TargetSystem(Contract):
    """Where a notification goes."""

    system_id: OpaqueId
    system_type: Platform
    integration_id: OpaqueId
    contacts: Annotated[list[CRMContact], Field(max_length=100)] = []
    channels: Annotated[list[CommunicationChannel], Field(max_length=100)] = []
    recipients: Annotated[list[ShortText], Field(max_length=100)] = []
    """Addresses or numbers; personal, therefore only in sealed payloads."""
    failover: Annotated[list[OpaqueId], Field(max_length=10)] = []
    settings: JsonObject = {}
    intent: DeliveryIntent = DeliveryIntent.NOTIFY


class RoutingRule(Contract):
    """Deliver to `system_ids` only when `condition` (CEL over notification, wedding, target) holds."""

    rule_id: OpaqueId
    system_ids: Annotated[list[OpaqueId], Field(max_length=50)] = []
    """The targets the rule governs; all of them when empty."""
    condition: Text = "true"


class TransformationMap(Contract):
    """How the notification reads at a target: a Jinja2 template, property mappings, or both."""

    system_id: OpaqueId
    template: Text | None = None
    subject_template: Text | None = None
    properties: Annotated[dict[str, Text], Field(max_length=100)] = {}
    """Vendor property name -> Jinja2 template of its value."""


class DeliveryMode(StrEnum):
    """How the targets of a routing depend on each other."""

    BEST_EFFORT = "best_effort"
    """They do not: each gets what it can."""
    ALL_OR_NOTHING = "all_or_nothing"
    """All are checked first; when one fails for good, what stands is taken back."""
    QUORUM = "quorum"
    """Enough once `quorum` of them have it; the others are called off."""
    ORDERED = "ordered"
    """One after the other, up to the first failure."""
    SAME_MOMENT = "same_moment"
    """All are made ready and then released together."""


class DeliveryCoordination(Contract):
    """Whether the targets are coordinated, and how."""

    coordinated_delivery: bool = False
    """True where no mode is named asks for the same moment."""
    mode: DeliveryMode = DeliveryMode.BEST_EFFORT
    quorum: int | None = Field(default=None, ge=1, le=50)
    """How many targets are enough; for the mode `quorum`, which takes more than half of them where it is absent."""
    release_at: Instant | None = None
    """When the mode `same_moment` releases; as soon as all are ready where it is absent."""
    order: Annotated[list[OpaqueId], Field(max_length=50)] = []
    """System ids that come first in the mode `ordered`; the others follow in the order of the targets."""

    @property
    def chosen(self) -> DeliveryMode:
        """The mode that counts."""
        if self.coordinated_delivery and self.mode is DeliveryMode.BEST_EFFORT:
            return DeliveryMode.SAME_MOMENT
        return self.mode


class FailureStrategy(StrEnum):
    """What happens when a target fails for good and nobody who stands by for it takes over."""

    CONTINUE = "continue"
    """The others get theirs."""
    STOP = "stop"
    """Targets are served in turn, and none after the failed one."""
    COMPENSATE = "compensate"
    """What stands is taken back."""
    FAILOVER = "failover"
    """Those that stand by for it take over; says no more than that some are named."""
    RETRY = "retry"
    """It is tried again `retries` times, `retry_after` apart, and then as with `continue`."""


class ErrorHandlingStrategy(Contract):
    """What happens when a target fails for good."""

    on_permanent_failure: FailureStrategy = FailureStrategy.CONTINUE
    failover: Annotated[dict[str, list[OpaqueId]], Field(max_length=50)] = {}
    """System id -> systems tried in order in its place."""
    retries: int = Field(default=3, ge=1, le=10)
    retry_after: timedelta = Field(default=timedelta(minutes=15), ge=timedelta(seconds=1), le=timedelta(days=1))


class CrossSystemRouting(Contract):
    """Route one notification to many systems (WS-334)."""

    routing_id: OpaqueId
    organization_id: OpaqueId
    source_notification: SourceNotification
    target_systems: Annotated[list[TargetSystem], Field(min_length=1, max_length=50)]
    routing_rules: Annotated[list[RoutingRule], Field(max_length=100)] = []
    transformation_maps: Annotated[list[TransformationMap], Field(max_length=50)] = []
    delivery_coordination: DeliveryCoordination = DeliveryCoordination()
    error_handling: ErrorHandlingStrategy = ErrorHandlingStrategy()
    answers_to: ShortText | None = None
    """The workflow that takes people's answers; the routing itself when absent."""

    @model_validator(mode="after")
    def _coordinated_as_it_can_be(self) -> Self:
        targets, coordination = len(self.target_systems), self.delivery_coordination
        if coordination.quorum is not None and coordination.quorum > targets:
            message = f"the quorum is {coordination.quorum}, and there are {targets} targets"
            raise ValueError(message)
        standing_by = self.error_handling.failover or any(item.failover for item in self.target_systems)
        if self.error_handling.on_permanent_failure is FailureStrategy.FAILOVER and not standing_by:
            message = "onPermanentFailure is failover, and no target has another that stands by for it"
            raise ValueError(message)
        return self


class DeliveryStatus(StrEnum):
    """What became of one effect or one target."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    HELD = "held"
    FAILED = "failed"
    """It does not stand."""
    RETRACTED = "retracted"
    """It stood and was taken back."""
    NOT_REVERSIBLE = "not_reversible"
    """It was to be taken back, and stands."""
    UNKNOWN = "unknown"
    """Its answer was lost, and the system shows nothing."""
    NEVER_TRIED = "never_tried"


class DeliveryResult(Contract):
    """One effect at one system."""

    notification_id: OpaqueId
    effect_id: OpaqueId
    kind: ShortText
    status: DeliveryStatus
    remote_id: ShortText | None = None
    replayed: bool = False
    """True when the effect already stood and was not repeated."""
    delivered_at: Instant | None = None
    error: ErrorDetail | None = None


class SystemRoutingResult(Contract):
    """What became of the notification at one target."""

    system_id: OpaqueId
    system_type: Platform
    status: DeliveryStatus
    reason: ShortText = ""
    """Reason code of a skip, hold or failure, such as `rule:urgent-to-chat` or `integration_paused`."""
    delivery_results: Annotated[list[DeliveryResult], Field(max_length=500)] = []
    success_count: int = 0
    failure_count: int = 0
    failed_over_to: OpaqueId | None = None
    error: ErrorDetail | None = None


class OverallStatus(StrEnum):
    """Honest sum of the targets: success only when every target that should get it did, or the quorum."""

    SUCCESS = "success"
    COMPENSATED = "compensated"
    """What stood was taken back: nobody has it."""
    PARTIAL_FAILURE = "partial_failure"
    FAILED = "failed"
    SKIPPED = "skipped"


class RoutingResult(Contract):
    """The result of `RouteNotification`."""

    routing_id: OpaqueId
    overall_status: OverallStatus
    system_results: Annotated[list[SystemRoutingResult], Field(max_length=50)] = []
    processing_time: int = Field(default=0, ge=0)
    """Milliseconds from start to result."""
    delivery_coordination: DeliveryCoordination = DeliveryCoordination()
    decisions: Annotated[list[Decision], Field(max_length=10_000)] = []
    """Why each target and recipient did or did not get it, in the order decided."""
