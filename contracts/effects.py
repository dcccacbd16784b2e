"""The unit of delivery: one visible change at one vendor, with a deterministic id."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, JsonObject, OpaqueId, ShortText, Text
from contracts.decisions import ContactId, Decision
from contracts.digests import DigestEntry
from contracts.errors import ErrorDetail
from contracts.facts import Follower
from contracts.identity import SenderIdentity
from contracts.integration import Platform
from contracts.notification import CrossSystemRouting, DeliveryStatus, SourceNotification, TargetSystem
from contracts.notification import DeliveryIntent as DeliveryIntent  # noqa: PLC0414 - part of what a delivery is
from contracts.wedding import TimelineStep, Wedding

TemplateVersions = Annotated[dict[ShortText, int], Field(max_length=100)]
"""Template name -> the version that counts, 0 for none."""


class Rendered(Contract):
    """The notification as one target will show it."""

    sender: SenderIdentity = SenderIdentity()
    """In whose name; what it leaves empty is the integration's own."""
    subject: ShortText = ""
    text: Text = ""
    properties: Annotated[dict[str, Text], Field(max_length=100)] = {}


class Delivery(Contract):
    """What a connector needs to plan its effects: who, what, where, in which words, and as of when."""

    organization_id: OpaqueId
    business_key: OpaqueId
    """The routing's or the wedding step's id: the same key means the same effects."""
    notification: SourceNotification
    target: TargetSystem
    rendered: Rendered
    intent: DeliveryIntent = DeliveryIntent.NOTIFY
    answers_to: ShortText | None = None
    wedding_id: OpaqueId | None = None
    occurred_at: Instant
    """Time stamped into the vendor's records; fixed at the first attempt, so a repeat writes the same."""


class EffectStep(Contract):
    """One vendor call that makes one visible change."""

    effect_id: OpaqueId
    organization_id: OpaqueId
    integration_id: OpaqueId
    system: Platform
    kind: ShortText
    """`<object>.<verb>`, such as `contact.update`."""
    object_id: ShortText | None = None
    """The vendor's id of the object to change; absent when the effect creates it."""
    payload: JsonObject = {}
    """The connector's own request, opaque to everyone else."""
    notification_id: OpaqueId | None = None
    wedding_id: OpaqueId | None = None
    answers_to: ShortText | None = None
    """The workflow that takes people's answers; the one that applies the effect when absent."""
    reversible: bool = False
    """Whether the system takes it back once it stands."""


class StandingEffect(Contract):
    """An effect that stands at a vendor, as the ledger knows it: no words, nothing personal."""

    effect_id: OpaqueId
    organization_id: OpaqueId
    integration_id: OpaqueId
    system: Platform
    kind: ShortText
    object_id: ShortText | None = None
    remote_id: ShortText | None = None
    notification_id: OpaqueId | None = None
    wedding_id: OpaqueId | None = None
    workflow_id: ShortText
    """The run that made it, and that answers for it."""
    applied_at: Instant


class Hold(Contract):
    """Recipients of a target who are to wait; they are judged anew at `not_before`."""

    recipients: Annotated[list[ShortText], Field(max_length=100)] = []
    """Addresses of the target; empty where the whole target waits."""
    contacts: Annotated[list[ContactId], Field(max_length=100)] = []
    """The same, opaque."""
    not_before: Instant
    reason: ShortText


class Reservation(Contract):
    """A recipient counted for a message, and the effects that bring it."""

    claim: OpaqueId
    contact: ContactId
    effect_ids: Annotated[list[OpaqueId], Field(max_length=500)] = []


class TargetPlan(Contract):
    """The decision about one target, with the steps that carry it out."""

    target: TargetSystem
    status: DeliveryStatus
    """`success` means deliver `steps` now; the others say why there is nothing to deliver now."""
    reason: ShortText = ""
    steps: Annotated[list[EffectStep], Field(max_length=500)] = []
    """What is delivered now."""
    holds: Annotated[list[Hold], Field(max_length=100)] = []
    """Who waits until when; the others of the target do not wait for them."""
    collected: Annotated[list[DigestEntry], Field(max_length=100)] = []
    """Whose next digest takes the message."""
    reserved: Annotated[list[Reservation], Field(max_length=100)] = []
    """What recipients were counted for; given back when the delivery to them fails for good."""
    decisions: Annotated[list[Decision], Field(max_length=2_000)] = []
    error: ErrorDetail | None = None


class RoutingPlan(Contract):
    """The decisions about every target of a routing."""

    targets: Annotated[list[TargetPlan], Field(max_length=50)]
    template_versions: TemplateVersions = {}
    """The organisation's templates as the routing began; the same count when it is planned anew."""


class Again(Contract):
    """One target planned anew, after a wait or because another failed."""

    system_id: OpaqueId
    recipients: Annotated[list[ShortText], Field(max_length=100)] = []
    """Only these of its recipients; all when empty."""
    released: bool = False
    """Somebody had the wait ended: only preferences and duplicates still keep the message."""
    began_at: Instant
    """When the routing began, from which the longest hold is counted."""
    template_versions: TemplateVersions = {}


class PlanRouting(Contract):
    """Input of `notify.plan`."""

    routing: CrossSystemRouting
    occurred_at: Instant
    again: Again | None = None


class GiveBack(Contract):
    """Input of `notify.give_back`: reservations whose messages reached nobody."""

    organization_id: OpaqueId
    reserved: Annotated[list[Reservation], Field(max_length=5_000)]


class ActionRequest(Contract):
    """Input of `notify.plan_action`: one due step of a wedding."""

    wedding: Wedding
    step: TimelineStep
    occurred_at: Instant


class FollowerRequest(Contract):
    """Input of `followers.plan`: one round that brings a follower to the wedding's facts."""

    wedding: Wedding
    follower: Follower
    occurred_at: Instant


class EffectOutcome(Contract):
    """What the vendor now holds."""

    remote_id: ShortText | None = None
    replayed: bool = False
    """True when the effect already stood (found in the ledger or at the vendor) and was not repeated."""
    applied_at: Instant | None = None


class RetractStatus(StrEnum):
    """What became of the wish to take an effect back."""

    RETRACTED = "retracted"
    GONE_ALREADY = "gone_already"
    """It was taken back before."""
    NOT_REVERSIBLE = "not_reversible"
    """It stands: the system takes nothing of this kind back."""


class RetractOutcome(Contract):
    """The answer of `notify.retract`."""

    status: RetractStatus
    retracted_at: Instant | None = None


class Correction(Contract):
    """Input of `notify.correct`: the effect that stands, and what it is to say instead."""

    effect: StandingEffect
    step: EffectStep


class CorrectedEffect(Contract):
    """What became of one effect that new words were to be written over."""

    effect_id: OpaqueId
    system: Platform
    corrected: bool
    reason: ShortText = ""
    """The code of the error, such as `not_correctable` or `effect_unknown`."""


class CorrectionReport(Contract):
    """The result of `CorrectNotification`."""

    routing_id: OpaqueId
    effects: Annotated[list[CorrectedEffect], Field(max_length=500)] = []


class Sighting(StrEnum):
    """Whether an effect whose answer was lost stands."""

    STANDS = "stands"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    """The system shows nothing, so that nobody but its own log can tell."""


class EffectSighting(Contract):
    """The answer of `notify.look_for_effect`; `outcome` is set when the effect stands."""

    sighting: Sighting
    outcome: EffectOutcome | None = None
