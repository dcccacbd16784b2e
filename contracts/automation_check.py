"""What is wrong with an automation, and where."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, ShortText, Text


class ProblemCode(StrEnum):
    """What is wrong with an automation."""

    SHAPE = "shape"
    NOTHING_TO_DO = "nothing_to_do"
    DUPLICATE_ID = "duplicate_id"
    UNKNOWN_STEP = "unknown_step"
    UNREACHABLE_STEP = "unreachable_step"
    UNBOUNDED_LOOP = "unbounded_loop"
    UNREADABLE_CONDITION = "unreadable_condition"
    UNKNOWN_TRIGGER = "unknown_trigger"
    UNKNOWN_ACTION = "unknown_action"
    UNREADABLE_PARAMETERS = "unreadable_parameters"
    UNKNOWN_TEMPLATE = "unknown_template"
    MISSING_INTEGRATION = "missing_integration"
    MISSING_CAPABILITY = "missing_capability"
    MISSING_PARTICIPANT = "missing_participant"
    MISSING_CHANNEL = "missing_channel"
    UNKNOWN_COMPENSATION = "unknown_compensation"
    AMBIGUOUS_WAIT = "ambiguous_wait"
    ENDLESS_WAIT = "endless_wait"


class AutomationProblem(Contract):
    """One reason why an automation is refused."""

    code: ProblemCode
    place: ShortText
    """Where it is, such as `chains[0].steps[2].branch.thenStep`."""
    message: Text
    """What is wrong there; ids and field names, never values."""


class AutomationCheck(Contract):
    """All reasons why an automation is refused; none means that it may run."""

    problems: Annotated[list[AutomationProblem], Field(max_length=1_000)] = []
