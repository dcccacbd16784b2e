"""Runs that wait for a connection instead of failing with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.errors import RECONNECT_REQUIRED
    from contracts.health import IntegrationKey
    from contracts.names import WAITING_FOR_RECONNECTION
    from workflows.visibility import detail_of, tag

T = TypeVar("T")

ASK_AGAIN = timedelta(minutes=15)
"""A run that was not told looks for itself."""


class WaitsForReconnection:
    """A run whose steps are taken up again when the tenant has connected the integration again."""

    _restorations = 0

    @workflow.signal
    def connection_restored(self, _key: IntegrationKey) -> None:
        """Learn that a connection stands again."""
        self._restorations += 1

    async def through_reconnection(
        self,
        integration_id: str,
        step: Callable[[], Awaitable[T]],
        *,
        outcome: str = "running",
        called_off: Callable[[], bool] = lambda: False,
    ) -> T:
        """Return the step's result, waiting as long as its connection is parked.

        Args:
            integration_id: whose connection the step needs.
            step: taken again after every wait.
            outcome: the run's `Outcome` while it does not wait.
            called_off: ends a wait early; the step is then to find out that it is not needed.
        """
        while True:
            known = self._restorations
            try:
                return await step()
            except ActivityError as error:
                if detail_of(error).code != RECONNECT_REQUIRED:
                    raise
            tag(outcome=WAITING_FOR_RECONNECTION, integration_id=integration_id)
            await self._restored_since(known, called_off)
            tag(outcome=outcome)

    async def _restored_since(self, known: int, called_off: Callable[[], bool]) -> None:
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._restorations != known or called_off(),
                timeout=ASK_AGAIN,
                timeout_summary="Until the integration is connected again",
            )
