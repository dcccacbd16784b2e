"""A storm of signals to one wedding's timeline, each counted."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from contracts.wedding import WeddingEvent, WeddingState
from tests.support.temporal import PLAIN

CONNECTIONS = 4
SENDERS = 40
PATIENCE_S = 1_200


def day_of(number: int) -> str:
    """The wedding's day by the event of this number."""
    return f"20{50 + number % 40}-06-12"


async def signalled(handle: WorkflowHandle[Any, WeddingState], event: WeddingEvent) -> None:
    """Signal as a bulk sender does: Temporal takes 10,000 signals a run, and one that is refused is sent again."""
    while True:
        try:
            return await handle.signal("event", event)
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
        await asyncio.sleep(1)


async def blown(client: Client, handle: WorkflowHandle[Any, WeddingState], storm: int) -> WeddingState:
    """Send as many numbered events over several connections, in no order, and return the state that has taken all."""
    address = client.service_client.config.target_host
    clients = [await Client.connect(address, data_converter=PLAIN) for _ in range(CONNECTIONS)]

    async def send(sender: int) -> None:
        timeline = clients[sender % CONNECTIONS].get_workflow_handle(handle.id, result_type=WeddingState)
        for number in range(sender, storm, SENDERS):
            given = {"eventId": f"e-{number}", "type": "moved", "weddingDate": day_of(number), "sequence": number + 1}
            await signalled(timeline, WeddingEvent.model_validate(given))

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(send(sender) for sender in range(SENDERS)))
        return await all_taken(handle, storm)


async def all_taken(handle: WorkflowHandle[Any, WeddingState], storm: int) -> WeddingState:
    """Return the state once it has taken so many events."""
    while True:
        try:
            state = await handle.query("state", result_type=WeddingState)
        except RPCError as error:
            # The worker is at thousands of events, and the question waits behind them.
            if error.status not in {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
                raise
        else:
            if state.taken >= storm:
                return state
        await asyncio.sleep(0.2)
