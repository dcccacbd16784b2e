"""Where the time of an automation went, and what would make it faster."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.automation_run import RunStatus
from contracts.base import Contract, OpaqueId, Text

_Ms = Annotated[int, Field(ge=0)]


class TimeSpent(Contract):
    """Milliseconds by what was waited for."""

    people_ms: _Ms = 0
    """Until somebody approved or rejected."""
    timer_ms: _Ms = 0
    """Until a time that the automation itself names."""
    event_ms: _Ms = 0
    queue_ms: _Ms = 0
    """Before a vendor was first asked: a free worker, the vendor's limit, the recipient's hours."""
    vendor_ms: _Ms = 0
    """From the first request to the last answer, repeats included."""


class PathStep(Contract):
    """A step on the critical path; of actions side by side, the one that took longest."""

    step_id: OpaqueId
    action_id: OpaqueId | None = None
    runs: int = Field(default=1, ge=0)
    attempts: int = Field(default=0, ge=0)
    took_ms: _Ms
    spent: TimeSpent


class SuggestionCode(StrEnum):
    """What would help."""

    SIDE_BY_SIDE = "side_by_side"
    REPEATED_REQUESTS = "repeated_requests"


class Suggestion(Contract):
    """A change that follows from what was measured."""

    code: SuggestionCode
    steps: Annotated[list[OpaqueId], Field(max_length=10)]
    saves_ms: _Ms = 0
    message: Text


class AutomationInsight(Contract):
    """The critical path of a run: the chain that ended last, step by step."""

    orchestration_id: OpaqueId
    status: RunStatus
    took_ms: _Ms
    chain_id: OpaqueId | None = None
    spent: TimeSpent = TimeSpent()
    critical_path: Annotated[list[PathStep], Field(max_length=101)] = []
    suggestions: Annotated[list[Suggestion], Field(max_length=100)] = []
