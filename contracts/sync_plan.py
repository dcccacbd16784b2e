"""What a sync would do, said beforehand, and the hash by which exactly that is carried out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, ShortText, Text
from contracts.dataset import DatasetRef

SHOWN = 100
"""Changes that a plan lists; all of them lie in `changes_ref`."""

PlanHash = Annotated[str, Field(pattern=r"^[0-9a-f]{16,64}$")]


class PlannedAction(StrEnum):
    """What would become of a record."""

    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"
    BLOCKED = "blocked"
    """It would be rejected, or held."""


class PlannedChange(Contract):
    """One record that would not stay as it is; values are not shown."""

    record_id: ShortText
    action: PlannedAction
    fields: Annotated[list[ShortText], Field(max_length=500)] = []
    """The target's properties that would change."""
    reason: Text = ""
    source: ShortText = ""
    """A digest of the source's side."""
    target: ShortText = ""
    """A digest of what the target holds; empty where it holds nothing."""


class PlanCounts(Contract):
    """How many records a plan creates, updates, removes, leaves and cannot bring over."""

    create: int = Field(default=0, ge=0)
    update: int = Field(default=0, ge=0)
    remove: int = Field(default=0, ge=0)
    unchanged: int = Field(default=0, ge=0)
    blocked: int = Field(default=0, ge=0)

    def plus(self, other: PlanCounts) -> PlanCounts:
        """Return the sum of both."""
        return PlanCounts(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


class PreviewedParts(Contract):
    """Result of `sync.preview_records`: the changes of some parts, in the order of their records."""

    changes: DatasetRef
    counts: PlanCounts
    fields: Annotated[dict[ShortText, int], Field(max_length=1_000)] = {}
    """Property -> records in which an update would change it."""
    shown: Annotated[list[PlannedChange], Field(max_length=SHOWN)] = []
    digest: PlanHash
    vendor_calls: int = Field(default=0, ge=0)


class SyncPreview(Contract):
    """A plan. `hash` stands for every change in it: what `apply` carries out has the same."""

    hash: PlanHash
    counts: PlanCounts = PlanCounts()
    fields: Annotated[dict[ShortText, int], Field(max_length=1_000)] = {}
    changes: Annotated[list[PlannedChange], Field(max_length=SHOWN)] = []
    changes_refs: Annotated[list[DatasetRef], Field(max_length=100)] = []
    needs_approval: bool = False
    """Whether it removes more than may be removed without one."""


def hash_of(digests: Iterable[str]) -> str:
    """Return the hash over digests in their order, 32 hex digits."""
    return hashlib.sha256("\x1f".join(digests).encode()).hexdigest()[:32]
