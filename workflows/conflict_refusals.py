"""Why a conflict is not resolved, whose job that is, and what to do next."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.conflict import Consequence
    from contracts.errors import ErrorDetail, ErrorKind, Owner
    from contracts.resource_day import SlotAnswer


def taken(answer: SlotAnswer) -> ErrorDetail:
    """Return that a third booking has the slot."""
    return ErrorDetail(
        kind=ErrorKind.PERMANENT,
        code="slot_taken",
        message=f"Neither booking can have the slot: it is kept for {' and '.join(answer.held_by) or 'nobody known'}.",
        owner=Owner.TENANT,
        action="Offer both another time, or settle it with the booking that has the slot.",
        evidence={"reason": answer.reason},
    )


def undecidable(message: str) -> ErrorDetail:
    """Return that what the policy decides cannot be."""
    return ErrorDetail(
        kind=ErrorKind.PERMANENT,
        code="decision_refused",
        message=message,
        owner=Owner.TENANT,
        action="Raise the conflict anew when it is clear who can have the slot.",
    )


def unmet(consequence: Consequence) -> ErrorDetail:
    """Return that something which follows from the decision does not stand."""
    return ErrorDetail(
        kind=ErrorKind.PERMANENT,
        code="consequence_unmet",
        message=f"The decision stands, and {consequence.name} does not: {consequence.reason or consequence.status}.",
        owner=Owner.TENANT,
        action="Mend what it names; raising the conflict again carries the decision out anew.",
    )


RAISED_BEFORE = ErrorDetail(
    kind=ErrorKind.INVALID_INPUT,
    code="conflict_raised_before",
    message="This conflict is being resolved by an earlier request.",
    owner=Owner.TENANT,
    action="Follow it with `wedsync conflicts show`.",
)
OVERDUE = ErrorDetail(
    kind=ErrorKind.PERMANENT,
    code="decision_overdue",
    message="Nobody decided within twice the deadline, and the policy lets no system decide.",
    owner=Owner.TENANT,
    action="Raise the conflict anew; the slot is no longer kept for either booking.",
)
CALLED_OFF = ErrorDetail(
    kind=ErrorKind.PERMANENT,
    code="conflict_called_off",
    message="The run was called off before anybody decided.",
    owner=Owner.TENANT,
    action="Raise the conflict anew if it still stands.",
)
