"""A change of a workflow that no release may hold; it stands alone because the sandbox imports its module."""

from __future__ import annotations

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.names import WorkflowType
    from contracts.notification import CrossSystemRouting, RoutingResult


@workflow.defn(name=WorkflowType.ROUTE_NOTIFICATION)
class SleepsFirst:
    """A change of RouteNotification that forgets the runs that are under way."""

    @workflow.run
    async def run(self, routing: CrossSystemRouting) -> RoutingResult:
        """Wait where the recorded run planned."""
        await asyncio.sleep(60)
        return RoutingResult.model_validate({"routingId": routing.routing_id, "overallStatus": "success"})
