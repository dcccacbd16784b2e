"""The rates per connection that workers leave on the Temporal server."""

from __future__ import annotations

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import RateLimit, RateLimitConfig, TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, UpdateTaskQueueConfigRequest
from temporalio.client import Client

from contracts.names import system_queue
from tests.e2e.conftest import RunningStack
from workers.rate_limits import REASON, apply_rate_limits

ACTIVITIES = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
QUEUE = system_queue("slack")


async def standing(client: Client) -> RateLimitConfig:
    found = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace="default", task_queue=TaskQueue(name=QUEUE), task_queue_type=ACTIVITIES, report_config=True
        )
    )
    return found.config.fairness_keys_rate_limit_default


async def put(client: Client, rate: float, reason: str) -> None:
    limit = UpdateTaskQueueConfigRequest.RateLimitUpdate(rate_limit=RateLimit(requests_per_second=rate), reason=reason)
    await client.workflow_service.update_task_queue_config(
        UpdateTaskQueueConfigRequest(
            namespace="default",
            identity="operator",
            task_queue=QUEUE,
            task_queue_type=ACTIVITIES,
            update_fairness_key_rate_limit_default=limit,
        )
    )


async def test_a_worker_leaves_the_manifest_s_rate_and_lets_an_operator_s_stand(stack: RunningStack) -> None:
    client = await Client.connect(stack.ready["temporal"])
    ours = await standing(client)
    assert (ours.rate_limit.requests_per_second, ours.metadata.reason) == (1.25, REASON)
    await put(client, 7.0, "the vendor's support asked for it")
    await apply_rate_limits(client, [QUEUE])
    assert (await standing(client)).rate_limit.requests_per_second == 7.0
    await put(client, 3.0, REASON)
    await apply_rate_limits(client, [QUEUE])
    assert (await standing(client)).rate_limit.requests_per_second == 1.25
