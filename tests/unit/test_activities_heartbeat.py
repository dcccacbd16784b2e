"""A worker says that it lives while an activity waits, and where a successor resumes."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ActivityOutboundInterceptor, ExecuteActivityInput

from activities import heartbeat
from activities.heartbeat import HeartbeatInterceptor

Body = Callable[["Server"], Awaitable[None]]


class Server(ActivityOutboundInterceptor):
    """Hears the beats."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self._came = asyncio.Event()
        self.report: Callable[..., None] = self.heartbeat
        """What the activity calls."""

    def heartbeat(self, *details: Any) -> None:
        self.heard.append(details)
        self._came.set()

    async def hears(self, beats: int) -> None:
        """Wait until so many more beats have come."""
        wanted = len(self.heard) + beats
        while len(self.heard) < wanted:
            self._came.clear()
            await self._came.wait()


class Innermost(ActivityInboundInterceptor):
    """The activity itself, which reports through the chain as the SDK has it do."""

    def __init__(self, body: Body, server: Server) -> None:
        self._body, self._server = body, server

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._server.report = outbound.heartbeat

    async def execute_activity(self, input: ExecuteActivityInput) -> None:  # noqa: A002 - the SDK's name
        await self._body(self._server)


async def run(body: Body, *, earlier: tuple[Any, ...] = (), timeout_s: float | None = 8) -> Server:
    server = Server()
    chain = HeartbeatInterceptor().intercept_activity(Innermost(body, server))
    chain.init(server)
    environment = ActivityEnvironment()
    limit = None if timeout_s is None else timedelta(seconds=timeout_s)
    environment.info = dataclasses.replace(environment.info, heartbeat_timeout=limit, heartbeat_details=list(earlier))
    await environment.run(chain.execute_activity, ExecuteActivityInput(fn=run, args=[], executor=None, headers={}))
    return server


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.001)


async def test_f1_an_activity_that_waits_beats_with_what_it_reported_last():
    async def body(server: Server) -> None:
        server.report("first")
        server.report("second")
        await server.hears(3)

    assert (await run(body)).heard[:5] == [("first",), ("second",), *[("second",)] * 3]


async def test_f2_before_its_first_report_an_activity_keeps_where_the_attempt_before_was():
    async def body(server: Server) -> None:
        await server.hears(2)

    assert (await run(body, earlier=("400 of 1000",))).heard[:2] == [("400 of 1000",)] * 2


async def test_an_activity_that_is_not_watched_does_not_beat():
    async def body(server: Server) -> None:
        assert activity.info().heartbeat_timeout is None
        await asyncio.sleep(0.02)

    assert (await run(body, timeout_s=None)).heard == []


async def test_beats_end_with_their_activity():
    async def body(server: Server) -> None:
        await server.hears(1)
        raise LookupError

    with pytest.raises(LookupError):
        await run(body)
    beats = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.gather(*beats, return_exceptions=True)
    assert all(task.cancelled() for task in beats)
