"""Stories of bookings that want the same day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHandle

from tests.orchestration import test_resolve_booking_conflict as conflict
from tests.orchestration import test_resource_day as days
from tests.support import bookings


@asynccontextmanager
async def conflict_decided_by_a_human() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with conflict.stage(bookings.FakeTown()) as environment:
        handle = await conflict.raised(environment)
        await conflict.decide(handle, "alternative-2")
        await handle.result()
        yield handle


@asynccontextmanager
async def conflict_decided_by_its_deadline() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with conflict.stage(bookings.FakeTown()) as environment:
        handle = await conflict.raised(environment)
        await handle.result()
        yield handle


@asynccontextmanager
async def conflict_called_off() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with conflict.stage(bookings.FakeTown()) as environment:
        handle = await conflict.raised(environment)
        await environment.sleep(timedelta(minutes=1))
        await handle.cancel()
        with suppress(WorkflowFailureError):
            await handle.result()
        yield handle


@asynccontextmanager
async def day_with_a_lapsed_hold_and_a_confirmation() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with days.stage(bookings.FakeTown()) as environment:
        await days.act(environment, "hold", "job-77", lasts=timedelta(hours=2))
        await days.act(environment, "confirm", "job-91")
        await days.until_shown(environment, "h-job-77")
        await environment.sleep(timedelta(hours=3))
        await days.until_shown(environment, "h-job-77")
        await days.act(environment, "confirm", "job-91")
        await days.until_shown(environment, "h-job-91")
        yield days.handle_of(environment)


PLAYS = (
    conflict_decided_by_a_human,
    conflict_decided_by_its_deadline,
    conflict_called_off,
    day_with_a_lapsed_hold_and_a_confirmation,
)
