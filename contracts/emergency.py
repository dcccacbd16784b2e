"""An emergency alert, the people it escalates to, and whom it reached."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.effects import Correction, EffectStep, StandingEffect, TargetPlan
from contracts.errors import ErrorDetail
from contracts.notification import DeliveryStatus, SourceNotification, TargetSystem

REPEAT_EVERY = timedelta(minutes=5)
REPEAT_FOR = timedelta(hours=24)
MAX_LEVELS = 20
_PUBLIC_SERVICES = frozenset({"emergency_services", "fire_brigade", "ambulance", "police"})
_SHORTEST_NUMBER = 4


def _human(target: TargetSystem) -> TargetSystem:
    """Refuse what is no configured person: 112, 911 and their like take no calls from software."""
    short = [one for one in target.recipients if one.lstrip("+").isdigit() and len(one.lstrip("+")) < _SHORTEST_NUMBER]
    if target.system_type in _PUBLIC_SERVICES or short:
        message = (
            f"the target {target.system_id} is a public emergency service, which WedSync never calls: "
            "call it yourself, and configure people as targets, such as venue security and the planner"
        )
        raise ValueError(message)
    return target


HumanTarget = Annotated[TargetSystem, AfterValidator(_human)]
"""Where people are reached; a public emergency service is refused."""

Pace = Annotated[timedelta, Field(gt=timedelta(), le=timedelta(days=1))]


class EscalationLevel(Contract):
    """Who is alerted together, and how long they have before the next level is alerted as well."""

    level: int = Field(ge=1, le=MAX_LEVELS)
    ack_within: Pace
    """ISO 8601, counted from the moment this level was alerted."""
    targets: Annotated[list[HumanTarget], Field(min_length=1, max_length=50)]


class EmergencyAlert(Contract):
    """Alert configured people until one of them acknowledges; it never calls an emergency service."""

    alert_id: OpaqueId
    organization_id: OpaqueId
    notification: SourceNotification
    escalation: Annotated[list[EscalationLevel], Field(max_length=MAX_LEVELS)] = []
    policy_id: OpaqueId | None = None
    """A saved policy, in the place of `escalation`: whoever is on duty at each moment is alerted."""
    repeat_until_acknowledged: bool = True
    repeat_every: Pace | None = None
    """From one repetition of all levels to the next, once the last level's time is over; the policy's, else PT5M."""
    repeat_for: Annotated[timedelta, Field(gt=timedelta(), le=timedelta(days=7))] = REPEAT_FOR
    """Repetitions end this long after the alert was raised."""
    drill: bool = False
    """A rehearsal: it says so in every message, repeats nothing and ends by itself."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if bool(self.escalation) == bool(self.policy_id):
            message = "an alert has either an escalation or the policyId of a saved one"
            raise ValueError(message)
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
    """What became of one target in one repetition."""

    level: int = Field(ge=1)
    repetition: int = Field(default=1, ge=1)
    system_id: OpaqueId
    status: DeliveryStatus
    """`held` while it is tried again in the background."""
    in_place_of: OpaqueId | None = None
    """The target that failed or did not answer, where this one stood in for it."""
    delivered_at: Instant | None = None
    error: ErrorDetail | None = None


class EmergencyOutcome(StrEnum):
    """How an emergency ended; `alerting` while it has not."""

    ALERTING = "alerting"
    ACKNOWLEDGED = "acknowledged"
    ALL_CLEAR = "all_clear"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    """A worse alert took its place, which tells everybody itself."""
    EXHAUSTED = "exhausted"
    """Nobody acknowledged, and nothing repeats any more."""
    DRILLED = "drilled"


class EmergencyState(Contract):
    """An emergency as it stands; what survives continue-as-new."""

    alert_id: OpaqueId
    outcome: EmergencyOutcome = EmergencyOutcome.ALERTING
    raised_at: Instant | None = None
    level: int = 0
    """The highest level that has been alerted."""
    repetition: int = 1
    due_at: Instant | None = None
    """When the next level, or everybody again, is alerted; absent once nothing is."""
    ended_at: Instant | None = None
    ended_by: OpaqueId | None = None
    deliveries: Annotated[list[AlertDelivery], Field(max_length=2_000)] = []
    """The newest ones."""


class EmergencyRun(EmergencyAlert):
    """Input of `RaiseEmergency`: an alert is enough; one argument, because Temporal types them by their count."""

    resumed: EmergencyState | None = None
    """What the run before this one ended with; clients leave it out."""


class ClosingResult(Contract):
    """What became of one effect, or of one word to somebody alerted, when the emergency ended."""

    kind: ShortText
    system: ShortText
    done: ShortText
    """`corrected`, `retracted`, `told`, or `failed`."""
    error: ErrorDetail | None = None


class EmergencyResult(Contract):
    """Whom the alert reached, when, and who acknowledged it."""

    alert_id: OpaqueId
    acknowledged_at: Instant | None = None
    acknowledged_by: OpaqueId | None = None
    highest_level: int = Field(ge=1)
    repetitions: int = Field(default=1, ge=1)
    deliveries: Annotated[list[AlertDelivery], Field(max_length=2_000)] = []
    closing: Annotated[list[ClosingResult], Field(max_length=2_000)] = []
    """How everybody who had been alerted learned that it is over."""
    outcome: EmergencyOutcome


class Acknowledgement(Contract):
    """Somebody has it: the argument of the Update `acknowledge`."""

    acknowledged_by: OpaqueId
    """Who, in opaque words such as a user's id."""
    event_id: OpaqueId | None = None
    """The same acknowledgement told twice has one id."""


class StandDown(Contract):
    """The danger is over: the argument of the Update `stand_down`."""

    reported_by: OpaqueId
    """Who says so, in opaque words."""


class PlanEscalation(Contract):
    """Input of `emergency.plan`."""

    alert: EmergencyAlert
    level: int = Field(ge=0, le=MAX_LEVELS)
    """The level to alert; 0 for all of them together."""
    repetition: int = Field(ge=1)
    occurred_at: Instant


class AlertedTarget(Contract):
    """A target with the calls that alert it, and what stands in for it."""

    plan: TargetPlan
    level: int = Field(ge=1)
    channel: OpaqueId
    """Alike for targets that reach the same people the same way."""
    failover: Annotated[list[OpaqueId], Field(max_length=100)] = []
    """System ids, tried in this order, those that stand in for the stand-ins included."""


class EscalationPlan(Contract):
    """Whom to alert now, and how long to wait for them."""

    level: int = Field(ge=1)
    ack_within: timedelta
    last: bool
    repeat_every: timedelta | None = None
    """None where nothing is repeated."""
    targets: Annotated[list[OpaqueId], Field(max_length=1_000)] = []
    """Those alerted at once, by system id."""
    known: Annotated[list[AlertedTarget], Field(max_length=1_000)] = []
    """They, and all that stand in for them."""


class PlanClosing(Contract):
    """Input of `emergency.plan_closing`: what to tell those who were alerted, and where."""

    alert: EmergencyAlert
    state: EmergencyState
    alerted: Annotated[list[OpaqueId], Field(max_length=1_000)] = []
    """System ids that were reached, or may have been."""
    last_look: bool = False
    """Whether to tell also those of whom it is still not known whether a call reached them."""
    occurred_at: Instant


class ClosingPlan(Contract):
    """How everybody who was alerted learns that it is over."""

    corrections: Annotated[list[Correction], Field(max_length=2_000)] = []
    retractions: Annotated[list[StandingEffect], Field(max_length=2_000)] = []
    notices: Annotated[list[EffectStep], Field(max_length=2_000)] = []
    in_flight: int = 0
    """Calls of which it is not known yet whether they reached the vendor."""


class AuditRequest(Contract):
    """Input of `AuditEscalation`, which its schedule starts."""

    grace: timedelta = timedelta(seconds=15)
    """How late a level may be before somebody is told."""


class OverdueEmergency(Contract):
    """An emergency whose next alert should have gone out."""

    organization_id: OpaqueId
    alert_id: OpaqueId
    due_at: Instant


class AuditFindings(Contract):
    """What the look at the running emergencies found."""

    running: int = 0
    overdue: Annotated[list[OverdueEmergency], Field(max_length=100)] = []
    worker_polls: bool = True


class AuditResult(Contract):
    """Result of `AuditEscalation`, which the next run begins with."""

    running: int = 0
    overdue: int = 0
    worker_absent_since: Instant | None = None
