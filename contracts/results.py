"""The honest sums of what became of a notification."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.effects import TargetPlan
from contracts.notification import DeliveryResult, DeliveryStatus, OverallStatus, SystemRoutingResult


def overall_status(results: Sequence[SystemRoutingResult]) -> OverallStatus:
    """Return the sum of the targets: success only when every one that should get it did, itself or by failover."""
    eligible = [item for item in results if item.status is not DeliveryStatus.SKIPPED]
    reached = [item for item in eligible if item.status is DeliveryStatus.SUCCESS or item.failed_over_to]
    if not eligible:
        return OverallStatus.SKIPPED
    if len(reached) == len(eligible):
        return OverallStatus.SUCCESS
    some = reached or any(item.success_count for item in eligible)
    return OverallStatus.PARTIAL_FAILURE if some else OverallStatus.FAILED


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
