"""What a system tells us by itself: answers of people, and how far a message came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from activities.security.signatures import Check, SignedRequest
from contracts.engagement import NotificationState
from contracts.errors import ErrorDetail


@dataclass(frozen=True)
class About:
    """Which effect is meant, by as much as the system says of it; empty where it says nothing."""

    effect_id: str = ""
    effect_prefix: str = ""
    """How the effect's id begins, in answers that people type."""
    remote_id: str = ""
    """As `apply` returned it."""
    notification_id: str = ""


@dataclass(frozen=True)
class Answered:
    """A person pressed a button or a key, or replied with the words a message names."""

    event_id: str
    """Opaque, and the same when the system tells the same event again."""
    about: About
    action_id: str
    actor_id: str
    """Opaque; never a number or a name."""
    occurred_at: datetime
    action_type: str = ""
    """`acknowledge`, `approve` and so on, where the system carries it back."""
    value: str = ""
    """What the action stands for, where the system carries it back."""


@dataclass(frozen=True)
class Observed:
    """How far a message came, or why it did not arrive: exactly one of `state` and `error`."""

    event_id: str
    about: About
    occurred_at: datetime
    state: NotificationState | None = None
    error: ErrorDetail | None = None


InboundEvent = Answered | Observed


@dataclass(frozen=True)
class Receipt:
    """What the system wants to hear when it has told something; `body` carries words for the person, if it can."""

    media_type: str
    body: str


def _no_challenge(_request: SignedRequest, _secret: str) -> str | None:
    return None


@dataclass(frozen=True)
class Inbound:
    """How a system's webhooks are checked, read and answered; connectors that have any name it `inbound`."""

    check: Check
    secret_field: str
    """The credential's field that holds the signing secret."""
    read: Callable[[SignedRequest, datetime], list[InboundEvent]]
    """Takes a request that was found genuine and the instant of its arrival; what it does not know it leaves out."""
    receipt: Callable[[SignedRequest, str], Receipt]
    """Takes the request and words for whoever answered."""
    challenge_field: str = ""
    """The credential's field that a system has to name when its webhook is set up, empty where there is none."""
    challenge: Callable[[SignedRequest, str], str | None] = _no_challenge
    """Takes the request and the value of that field; what to echo, None when the request is no such question."""
