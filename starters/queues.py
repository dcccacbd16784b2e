"""Whether anybody polls a task queue, for the doors."""

from __future__ import annotations

from temporalio.client import Client

from activities.queues import polls
from contracts.names import ORCHESTRATION_QUEUE
from starters.failures import translated


async def is_polled(client: Client, queue: str = ORCHESTRATION_QUEUE, *, activities: bool = False) -> bool:
    """Return whether a worker polls the queue for workflows, or for activities.

    Raises:
        Transient: Temporal does not answer.
    """
    with translated():
        return await polls(client, queue, activities=activities)
