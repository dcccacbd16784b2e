"""Messages that a vendor took and then told not to have delivered, and what is done about them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId, ShortText, Text
from contracts.effects import Reservation, StandingEffect
from contracts.errors import ErrorDetail
from contracts.notification import CrossSystemRouting, OverallStatus


class UndeliveredEffect(Contract):
    """An effect that its vendor did not deliver: the input of `RerouteUndelivered`, and told to emergencies."""

    effect: StandingEffect
    error: ErrorDetail
    """The vendor's reason."""
    told_at: Instant


class Reroute(Contract):
    """The answer of `undelivered.find`: what the undelivered effect was part of, and who is next in its line."""

    settled: bool = False
    """It was delivered after all, taken back or recalled: nothing is to be done."""
    system_id: OpaqueId | None = None
    """The target it was meant for; None when its routing is not known any more."""
    began_at: Instant | None = None
    """When the routing was planned."""
    notification_type: ShortText = ""
    routing: CrossSystemRouting | None = None
    """The same message to the rest of the line, under the same routing id; None when nobody is left."""
    reserved: Annotated[list[Reservation], Field(max_length=100)] = []
    """Who was counted for it and has nothing of it."""


class RerouteOutcome(StrEnum):
    """What was done about an undelivered message."""

    SETTLED = "settled"
    """Nothing: it was delivered after all, taken back or recalled."""
    REROUTED = "rerouted"
    """Another system of its line has it."""
    JOINED = "joined"
    """Another recipient's receipt has the target rerouted already."""
    UNDELIVERED = "undelivered"
    """Nobody is left in its line; the organisation is told."""


class RerouteResult(Contract):
    """The result of `RerouteUndelivered`."""

    effect_id: OpaqueId
    outcome: RerouteOutcome
    rest: OverallStatus | None = None
    """What became of the rest of the line, where this run had it served."""


class LostMessage(Contract):
    """A message that was not delivered and that nobody is left to bring, of which people are to be told."""

    effect_id: OpaqueId
    organization_id: OpaqueId
    integration_id: OpaqueId
    system: ShortText
    about: OpaqueId
    """The notification, else the effect."""
    wedding_id: OpaqueId | None = None
    since: Instant
    """When the message was planned."""
    reason: Text
    """The vendor's, without personal data."""
    action: Text = ""
    """What its reader can do about the reason."""
