"""The fields of a report as earlier syncs knew them, and how they changed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, ShortText

KnownFields = Annotated[dict[ShortText, ShortText], Field(max_length=1_000)]
"""Field -> kind of its values (`text`, `number`, `boolean`, `list`, `object`); empty while nobody knows it."""


class SchemaPolicy(StrEnum):
    """What a sync does about a report whose fields are not those it knew."""

    EVOLVE = "evolve"
    """It tells, goes on, and knows the new fields from then on."""
    FREEZE = "freeze"
    """It fails before anything is written."""
    QUARANTINE = "quarantine"
    """It goes on without the records that do not fit, which become dead letters."""


class FieldChange(StrEnum):
    """How a field changed."""

    ADDED = "added"
    MISSING = "missing"
    KIND_CHANGED = "kind_changed"


class SchemaDrift(Contract):
    """One field that is not as earlier syncs knew it."""

    field: ShortText
    change: FieldChange
    was: ShortText = ""
    now: ShortText = ""

    def sentence(self) -> str:
        """Return the change in a few words."""
        if self.change is FieldChange.KIND_CHANGED:
            return f"{self.field} was {self.was} and is {self.now}"
        return f"{self.field} is {'new' if self.change is FieldChange.ADDED else 'missing'}"
