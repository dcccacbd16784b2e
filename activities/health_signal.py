"""Telling integrations of their health."""

from __future__ import annotations

from temporalio import activity
from temporalio.service import RPCError

from contracts.health import HealthChange, IntegrationKey
from contracts.names import integration_workflow_id


async def inform(key: IntegrationKey, change: HealthChange) -> None:
    """Signal the integration's own workflow; what it misses it is told again in the next round.

    Idempotent: yes, it takes on a state that it may have already.
    """
    workflow_id = integration_workflow_id(key.organization_id, key.integration_id)
    try:
        await activity.client().get_workflow_handle(workflow_id).signal("health_changed", change)
    except RPCError as error:
        activity.logger.warning("an integration was not told of its health: %s", error.status.name)
