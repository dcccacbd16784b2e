"""Why somebody did or did not get a message: one record for each decision, in the order they are taken."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.base import Contract, Instant, OpaqueId, ShortText

ContactId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""A recipient: a keyed hash of the organisation and the address, that leads back to neither."""


class Stage(StrEnum):
    """Who decided, in the order of the chain."""

    RULE = "rule"
    CONNECTION = "connection"
    PREFERENCE = "preference"
    DIGEST = "digest"
    BLACKOUT = "blackout"
    QUIET_HOURS = "quiet_hours"
    DUPLICATE = "duplicate"
    THROTTLE = "throttle"
    CAP = "cap"
    SCHEDULE = "schedule"
    """When a wedding's step is due."""
    PERSON = "person"
    """What somebody said about a message that waited."""
    DELIVERY = "delivery"
    ATTEMPT = "attempt"
    RECEIPT = "receipt"
    FAILOVER = "failover"
    COMPENSATION = "compensation"
    STATE = "state"
    """What a system told afterwards: delivered, read, acknowledged."""


class Verdict(StrEnum):
    """What a decision means for the message."""

    ALLOW = "allow"
    """This stage has nothing against it."""
    OVERRIDE = "override"
    """This stage would keep it, and the message is too urgent."""
    SEND = "send"
    HOLD = "hold"
    COLLECT = "collect"
    """It goes into the recipient's next digest."""
    SKIP = "skip"
    FAIL = "fail"
    NOTE = "note"
    """What happened, where nothing was to be decided."""


class Decision(Contract):
    """One stage's word about one target, or about one recipient of it."""

    stage: Stage
    code: ShortText
    """Stable reason code, such as `rule:urgent-to-chat`, `quiet_hours` or `cap:day`."""
    verdict: Verdict
    system_id: OpaqueId
    recipient: ContactId | None = None
    """None where the decision is about the whole target."""
    until: Instant | None = None
    """When a hold ends, or a digest is sent."""
    at: Instant
    detail: ShortText = ""
    """In words for a person, without anything personal."""
    effect_ids: Annotated[list[OpaqueId], Field(max_length=500)] = []
    """The effects that carry the decision out."""


class DecisionLog(Contract):
    """The decisions of a run so far, in the order they were taken."""

    decisions: Annotated[list[Decision], Field(max_length=10_000)] = []


class HeldAnswer(StrEnum):
    """What somebody wants with messages that wait."""

    RELEASE = "release"
    """Send now: quiet hours, blackout, throttle, caps and digest do not count, preferences still do."""
    CANCEL = "cancel"


class HeldAction(Contract):
    """The argument of the Update `decide_held` of `RouteNotification`."""

    answer: HeldAnswer
    system_id: OpaqueId | None = None
    """Only what waits for this target; all of it when absent."""
    recipient: ContactId | None = None


class HeldActionResult(Contract):
    """How many waits the answer ended."""

    ended: int = Field(ge=0)
