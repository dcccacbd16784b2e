"""Stories of notifications that are routed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from temporalio.client import WorkflowHandle

from tests.orchestration import test_coordination as coordination
from tests.orchestration import test_route_notification as routing
from tests.orchestration import test_route_notification_holds as holds
from tests.support.vendors import Point


@asynccontextmanager
async def routing_held_released_and_called_off() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = holds.FakeHolds()
    async with routing.stage(fake) as environment:
        handle = await routing.route(environment)
        await holds.decide(handle, answer="cancel", systemId="crm", recipient=holds.CONTACTS[0])
        await holds.decide(handle, answer="release", systemId="crm")
        await handle.result()
        yield handle


@asynccontextmanager
async def routing_with_failover() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = routing.FakeNotify()
    fake.trouble = {"team-chat-0": [routing.refused()]}
    fake.decide("crm", routing.DeliveryStatus.SKIPPED, "standby")
    async with routing.stage(fake) as environment:
        handle = await routing.route(environment, errorHandling={"failover": {"team-chat": ["crm"]}})
        await handle.result()
        yield handle


@asynccontextmanager
async def routing_taken_back() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    points = {"mail": Point.NOWHERE, "chat": Point.NOWHERE, "book": Point.AFTER, "crm": Point.BEFORE}
    with TemporaryDirectory() as folder:
        async with coordination.played(Path(folder), **points) as scene:
            handle = await scene.begin(**coordination.ALL_OR_NOTHING)
            await handle.result()
            yield handle


@asynccontextmanager
async def routing_cancelled() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    with TemporaryDirectory() as folder:
        async with coordination.played(Path(folder), chat=Point.NOWHERE, book=Point.AWAY) as scene:
            handle = await scene.begin(errorHandling={"onPermanentFailure": "compensate"})
            await scene.vendors["chat"].did.wait()
            await scene.vendors["book"].asked.wait()
            await handle.cancel()
            await handle.result()
            yield handle


@asynccontextmanager
async def routing_to_a_quorum() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    quorum = {"deliveryCoordination": {"mode": "quorum", "quorum": 1}}
    with TemporaryDirectory() as folder:
        async with coordination.played(Path(folder), chat=Point.NOWHERE, book=Point.AWAY) as scene:
            handle = await scene.begin(**quorum)
            await handle.result()
            yield handle


@asynccontextmanager
async def routing_released_together() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    with TemporaryDirectory() as folder:
        async with coordination.played(Path(folder), skipping=True, chat=Point.NOWHERE, book=Point.NOWHERE) as scene:
            release_at = await scene.environment.get_current_time() + timedelta(days=3)
            released = {"mode": "same_moment", "releaseAt": release_at.isoformat()}
            handle = await scene.begin(deliveryCoordination=released)
            await handle.result()
            yield handle


@asynccontextmanager
async def routing_in_turn_tried_again() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    asked = {
        "deliveryCoordination": {"mode": "ordered"},
        "errorHandling": {"onPermanentFailure": "retry", "retries": 1},
    }
    with TemporaryDirectory() as folder:
        async with coordination.played(Path(folder), skipping=True, chat=Point.BEFORE, book=Point.NOWHERE) as scene:
            handle = await scene.begin(**asked)
            await handle.result()
            yield handle


PLAYS = (
    routing_held_released_and_called_off,
    routing_with_failover,
    routing_taken_back,
    routing_cancelled,
    routing_to_a_quorum,
    routing_released_together,
    routing_in_turn_tried_again,
)
