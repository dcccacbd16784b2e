"""Effects that are called off when the reason for them is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, RetryState, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.effects import EffectOutcome, EffectStep
    from contracts.sync import SyncPriority
    from workflows.effects import apply_effect
    from workflows.waiting import WaitsForReconnection

T = TypeVar("T")


async def unless(called_off: Callable[[], bool], action: Coroutine[Any, Any, T]) -> T | None:
    """Return the action's result; None when it was called off before it came about.

    What has begun and cannot be stopped is waited for, so that afterwards nothing is under way: a call that a vendor
    is answering ends as it ends, one that would be repeated is not.
    """
    doing = asyncio.create_task(action)
    await workflow.wait_condition(lambda: doing.done() or called_off())
    if not doing.done():
        doing.cancel()
    try:
        return await doing
    except asyncio.CancelledError:
        if called_off():
            return None
        raise
    except ActivityError as error:
        is_stopped = is_cancelled_exception(error) or error.retry_state is RetryState.CANCEL_REQUESTED
        if called_off() and is_stopped:
            return None
        raise


class CallsOff(WaitsForReconnection):
    """A run whose effects may be called off until they stand."""

    async def apply_unless(
        self, called_off: Callable[[], bool], effect: EffectStep, *, outcome: str
    ) -> EffectOutcome | None:
        """Make an effect stand, waiting for its connection where that is parked; None when it was called off.

        Args:
            called_off: asked until the effect stands.
            effect: what is to stand.
            outcome: the run's `Outcome` while it does not wait.
        """

        async def send() -> EffectOutcome | None:
            if called_off():
                return None
            return await unless(called_off, apply_effect(effect, SyncPriority.HIGH))

        return await self.through_reconnection(effect.integration_id, send, outcome=outcome, called_off=called_off)
