"""What vendors tell us by themselves: answers of people, and how far a message came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from activities.security.signatures import SignedRequest
from contracts.actions import ActionAnswer
from contracts.engagement import NotificationState


@dataclass(frozen=True)
class About:
    """Which effect a vendor speaks of: by its id, by how its id begins, or by the vendor's own id of it."""

    effect_id: str = ""
    effect_prefix: str = ""
    remote_id: str = ""


@dataclass(frozen=True)
class Answered:
    """A person's answer to a notification; `notification_id` is empty where only the effect tells it."""

    event_id: str
    about: About
    action_id: str
    actor: str
    """The vendor's id of the person; a phone number where there is none, which goes no further than its digest."""
    occurred_at: datetime
    action_type: str = ""
    notification_id: str = ""
    value: str = ""


@dataclass(frozen=True)
class Observed:
    """How far a message came."""

    event_id: str
    about: About
    state: NotificationState
    occurred_at: datetime


Told = Answered | Observed


@dataclass(frozen=True)
class Reply:
    """What the vendor is answered at once."""

    body: str = ""
    media_type: str = "text/plain"


class Hook(Protocol):
    """A module that reads one system's webhooks, whose signature has been checked."""

    SECRETS: tuple[str, ...]
    """Fields of the credential that the vendor signs with."""

    @staticmethod
    def told(request: SignedRequest, now: datetime) -> Sequence[Told]:
        """Return what the request says; nothing where it is of no concern.

        Raises:
            ValueError: it is not what the vendor's document describes.
        """
        ...

    @staticmethod
    def reply(request: SignedRequest, answers: Sequence[ActionAnswer]) -> Reply:
        """Return what the vendor is to be answered, and through it the person."""
        ...
