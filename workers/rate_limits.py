"""Vendors' limits on the Temporal server: how fast it hands out the work of one connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import RateLimit as ServerLimit
from temporalio.api.taskqueue.v1 import RateLimitConfig, TaskQueue, TaskQueueConfig
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, UpdateTaskQueueConfigRequest
from temporalio.client import Client
from temporalio.service import RPCError

from activities.connectors.registry import connector_class
from activities.ports.manifest import RateLimit
from contracts.names import fairness_key, system_queue
from workers import roster

REASON = "WedSync: the vendor's limit per connection"
_IDENTITY = "wedsync-worker"
_ACTIVITIES = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
_AHEAD = 1.25
"""The server hands out a little more than the exact count admits, so that no room stays unused."""

_SPREAD_S = 60.0
"""A limit over a longer time, such as a day, is one that a vendor lets be used in bursts."""

_SLIGHT = 1e-3
_HEAVIEST = 1_000.0
_log = logging.getLogger(__name__)


async def apply_rate_limits(client: Client, only: Sequence[str] = ()) -> None:
    """Give every polled system queue the rate per connection of its connector's manifest.

    The server counts starts of activities and allows twice the rate in the first second, so this shapes the work; the
    exact count is `activities.admission`'s. A rate that an operator has set stays. Idempotent: yes.

    Args:
        client: connected to Temporal.
        only: the queues this process polls, all when empty.
    """
    systems = [name for name in roster.systems() if not only or system_queue(name) in only]
    await asyncio.gather(*(_apply(client, system) for system in systems))


async def _apply(client: Client, system: str) -> None:
    limit = connector_class(system).manifest.rate_limit
    rate, queue = _AHEAD * limit.requests / min(limit.per_s, _SPREAD_S), system_queue(system)
    try:
        standing = (await _config(client, queue)).fairness_keys_rate_limit_default
        if not _replaceable(standing, rate):
            return
        await client.workflow_service.update_task_queue_config(
            UpdateTaskQueueConfigRequest(
                namespace=client.namespace,
                identity=_IDENTITY,
                task_queue=queue,
                task_queue_type=_ACTIVITIES,
                update_fairness_key_rate_limit_default=UpdateTaskQueueConfigRequest.RateLimitUpdate(
                    rate_limit=ServerLimit(requests_per_second=rate), reason=REASON
                ),
            )
        )
    except RPCError as error:
        # A server without these limits still has the exact ones; it only hands out work that is then put off.
        _log.warning("the server takes no rate limit for %s: %s", queue, error.status.name)


async def weigh(client: Client, organization_id: str, integration_id: str, system: str, own: RateLimit | None) -> None:
    """Let the server hand out the work of a connection with a higher limit of its own as much faster.

    A lower one needs nothing here. Idempotent: yes.

    Raises:
        RPCError: the server does not answer, or has no such weights.
    """
    usual = connector_class(system).manifest.rate_limit
    key = fairness_key(organization_id, integration_id)
    ratio = 1.0 if own is None else (own.requests / own.per_s) / (usual.requests / usual.per_s)
    heavier = ratio > 1.0
    await client.workflow_service.update_task_queue_config(
        UpdateTaskQueueConfigRequest(
            namespace=client.namespace,
            identity=_IDENTITY,
            task_queue=system_queue(system),
            task_queue_type=_ACTIVITIES,
            set_fairness_weight_overrides={key: min(ratio, _HEAVIEST)} if heavier else {},
            unset_fairness_weight_overrides=[] if heavier else [key],
        )
    )


async def _config(client: Client, queue: str) -> TaskQueueConfig:
    found = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=_ACTIVITIES,
            report_config=True,
        )
    )
    return found.config


def _replaceable(standing: RateLimitConfig, rate: float) -> bool:
    """Return whether ours is to be written: nobody else set one, and it is not there already."""
    if not standing.HasField("rate_limit"):
        # An operator who removed it has said so in the reason.
        return standing.metadata.reason in {"", REASON}
    if standing.metadata.reason != REASON:
        return False
    found: float = standing.rate_limit.requests_per_second
    return abs(found - rate) > _SLIGHT
