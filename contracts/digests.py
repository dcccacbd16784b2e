"""Messages that wait for their recipient's digest."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.decisions import ContactId
from contracts.notification import TargetSystem

LINES = 100
"""Messages that a digest names; what comes on top is counted by its type."""
REMEMBERED = 1_000
"""Item ids by which a repeated signal is known."""


class DigestItem(Contract):
    """A message that a digest takes."""

    item_id: OpaqueId
    """The same for one routing and recipient, so that a repeated signal is known."""
    message: OpaqueId
    """The same for whatever says the same, which a digest says once."""
    type: ShortText
    title: ShortText
    text: ShortText = ""
    wedding_id: OpaqueId | None = None
    due_at: Instant


class DigestRun(Contract):
    """Input of `DeliverDigest`: whose digest it is, and what waits for it."""

    organization_id: OpaqueId
    contact: ContactId
    target: TargetSystem
    """With the one recipient."""
    items: Annotated[list[DigestItem], Field(max_length=LINES)] = []
    more: Annotated[dict[ShortText, int], Field(max_length=200)] = {}
    """Type -> how many messages wait beyond the items."""
    due_at: Instant | None = None
    received: int = Field(default=0, ge=0)
    """Signals taken, repeats included, over all runs."""
    seen: Annotated[list[OpaqueId], Field(max_length=REMEMBERED)] = []

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self.items) + sum(self.more.values())


class DigestEntry(Contract):
    """A message for one recipient's digest."""

    contact: ContactId
    target: TargetSystem
    item: DigestItem


class CollectForDigest(Contract):
    """Input of `digest.collect`: messages for recipients' digests."""

    organization_id: OpaqueId
    entries: Annotated[list[DigestEntry], Field(max_length=100)]
