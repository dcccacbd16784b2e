"""The honest sums of what became of a notification."""

from __future__ import annotations

from collections.abc import Container, Sequence

from contracts.effects import Reservation, TargetPlan
from contracts.errors import OUTCOME_UNKNOWN
from contracts.notification import DeliveryResult, DeliveryStatus, OverallStatus, SystemRoutingResult

_STANDING = frozenset({DeliveryStatus.SUCCESS, DeliveryStatus.NOT_REVERSIBLE, DeliveryStatus.UNKNOWN})
"""What is, or may be, at a vendor."""
_NOTHING = frozenset({DeliveryStatus.RETRACTED, DeliveryStatus.SKIPPED, DeliveryStatus.NEVER_TRIED})
"""What is certainly not at a vendor, besides what failed and is known to have failed."""
_WORST_FIRST = (DeliveryStatus.FAILED, DeliveryStatus.HELD, DeliveryStatus.SUCCESS)


def overall_status(
    results: Sequence[SystemRoutingResult], meant: Container[str] | None = None, enough: int | None = None
) -> OverallStatus:
    """Return the sum of the targets: success only when every one that should get it did, itself or by failover.

    Args:
        results: one per target.
        meant: the ids of the targets that should get it; those that were not skipped when absent.
        enough: how many of them are a success; all when absent.
    """
    skipped = DeliveryStatus.SKIPPED
    eligible = [item for item in results if (item.status is not skipped if meant is None else item.system_id in meant)]
    reached = [item for item in eligible if item.status is DeliveryStatus.SUCCESS or item.failed_over_to]
    if not eligible:
        return OverallStatus.SKIPPED
    if len(reached) >= (len(eligible) if enough is None else enough):
        return OverallStatus.SUCCESS
    effects = {one.status for item in results for one in item.delivery_results}
    if reached or effects & _STANDING:
        return OverallStatus.PARTIAL_FAILURE
    return OverallStatus.COMPENSATED if DeliveryStatus.RETRACTED in effects else OverallStatus.FAILED


def delivered(plan: TargetPlan, deliveries: Sequence[DeliveryResult]) -> SystemRoutingResult:
    """Return the sum of one target's effects."""
    failed = [item for item in deliveries if item.status is DeliveryStatus.FAILED]
    held = [item for item in deliveries if item.status is DeliveryStatus.HELD]
    status = DeliveryStatus.FAILED if failed else DeliveryStatus.HELD if held else DeliveryStatus.SUCCESS
    first = next((item.error for item in [*failed, *held] if item.error), None)
    return SystemRoutingResult(
        system_id=plan.target.system_id,
        system_type=plan.target.system_type,
        status=status,
        reason=first.code if first else "",
        delivery_results=list(deliveries),
        success_count=len(deliveries) - len(failed) - len(held),
        failure_count=len(failed) + len(held),
        error=first,
    )


def untouched(plan: TargetPlan, status: DeliveryStatus, reason: str) -> SystemRoutingResult:
    """Return the result of a target at which nothing was tried."""
    return SystemRoutingResult(
        system_id=plan.target.system_id,
        system_type=plan.target.system_type,
        status=status,
        reason=reason,
        error=plan.error,
    )


def combined(parts: Sequence[SystemRoutingResult]) -> SystemRoutingResult:
    """Return the sum of what became of one target's recipients, who need not have been served at one time."""
    word = next((word for word in _WORST_FIRST if any(part.status is word for part in parts)), DeliveryStatus.SKIPPED)
    first = next(part for part in parts if part.status is word)
    return first.model_copy(
        update={
            "delivery_results": [item for part in parts for item in part.delivery_results],
            "success_count": sum(part.success_count for part in parts),
            "failure_count": sum(part.failure_count for part in parts),
            "failed_over_to": next((part.failed_over_to for part in parts if part.failed_over_to), None),
        }
    )


def undelivered(plan: TargetPlan, deliveries: Sequence[DeliveryResult]) -> list[Reservation]:
    """Return the reservations of recipients who certainly have nothing."""
    lost = {item.effect_id for item in deliveries if item.status in _NOTHING}
    lost |= {
        item.effect_id
        for item in deliveries
        if item.status is DeliveryStatus.FAILED and item.error and item.error.code != OUTCOME_UNKNOWN
    }
    return [one for one in plan.reserved if one.effect_ids and lost.issuperset(one.effect_ids)]
