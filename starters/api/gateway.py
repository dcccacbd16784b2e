"""What the handlers share: the facade, opened when Temporal answers, and the store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from activities.storage.api_keys import ApiKeyStore
from activities.storage.idempotency import IdempotencyStore
from contracts.names import ORCHESTRATION_QUEUE
from starters.client import WedSync, open_store
from starters.failures import translated
from workers.settings import Settings
from workers.temporal import connect

_POLL_FRESH = timedelta(seconds=75)
"""A long poll lasts a minute: an older one belongs to a worker that has gone."""


class Gateway:
    """Opens the connection to Temporal on first use, so that the API starts and answers 503 without it.

    Args:
        settings: of this process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._database, self._secrets, self._connections = open_store(settings)
        self.keys = ApiKeyStore(self._database)
        self.idempotency = IdempotencyStore(self._database, settings.load_master_key())
        self._wedsync: WedSync | None = None
        self._lock = asyncio.Lock()

    async def wedsync(self) -> WedSync:
        """Return the facade.

        Raises:
            Transient: Temporal does not answer.
        """
        async with self._lock:
            if self._wedsync is None:
                client = await connect(self.settings.model_copy(update={"metrics_address": ""}))
                self._wedsync = WedSync(client, self._secrets, self._connections)
            return self._wedsync

    async def check_store(self) -> None:
        """Read from the store.

        Raises:
            Permanent: it does not answer.
        """
        with translated():
            async with self._database.begin() as connection:
                await connection.execute(text("SELECT count(*) FROM api_keys"))

    async def aclose(self) -> None:
        """Close the store."""
        await self._database.aclose()


async def is_polled(client: Client, queue: str = ORCHESTRATION_QUEUE, *, activities: bool = False) -> bool:
    """Return whether a worker polls the queue for workflows, or for activities.

    Raises:
        Transient: Temporal does not answer.
    """
    kind = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY if activities else TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
    )
    with translated():
        found = await client.workflow_service.describe_task_queue(request)
    oldest = datetime.now(UTC) - _POLL_FRESH
    return any(poller.last_access_time.ToDatetime(UTC) > oldest for poller in found.pollers)
