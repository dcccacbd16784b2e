"""The heartbeat of every activity that has one: the worker lives, and this is where a successor resumes."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

BEAT_S = 2.0
"""Several beats fit into the shortest heartbeat time-out (`workflows.policies`), so that a lost one tells nothing."""


class HeartbeatInterceptor(Interceptor):
    """Beats while an activity waits for a vendor or a thread, with the resume point it reported last.

    Until it reports one, that is the resume point of the attempt before: a successor that dies at once loses nothing.
    A beat says that the worker lives, not that the activity gets any further, which the time of an attempt bounds.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wrap the chain of one activity; the parameter's name is Temporal's."""
        return _Beating(next)


class _Beating(ActivityInboundInterceptor):
    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._latest = _Latest(outbound)
        super().init(self._latest)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        if info.heartbeat_timeout is None:
            return await super().execute_activity(input)
        self._latest.details = tuple(info.heartbeat_details)
        beats = asyncio.create_task(self._beat())
        try:
            return await super().execute_activity(input)
        finally:
            beats.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._latest.heartbeat(*self._latest.details)


class _Latest(ActivityOutboundInterceptor):
    """Keeps what was reported last."""

    details: tuple[Any, ...] = ()

    def heartbeat(self, *details: Any) -> None:
        self.details = details
        super().heartbeat(*details)
