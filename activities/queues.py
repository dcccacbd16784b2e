"""Whether anybody polls a task queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

_POLL_FRESH = timedelta(seconds=75)
"""A long poll lasts a minute: an older one belongs to a worker that has gone."""


async def polls(client: Client, queue: str, *, activities: bool = False) -> bool:
    """Return whether a worker polls the queue for workflows, or for activities.

    Raises:
        RPCError: Temporal does not answer.
    """
    kind = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY if activities else TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
    )
    found = await client.workflow_service.describe_task_queue(request)
    oldest = datetime.now(UTC) - _POLL_FRESH
    return any(poller.last_access_time.ToDatetime(UTC) > oldest for poller in found.pollers)
