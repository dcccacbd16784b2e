"""Admission as activities meet it: who is refused, and what their ends say about the vendor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.common import Priority
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities import usage
from activities.admission import Admissions
from activities.boundary import BoundaryInterceptor
from activities.ports.connection import Connection
from activities.ports.manifest import RateLimit
from activities.security.envelope import MasterKey
from activities.storage.connections import ConnectionStore, StoredConnection
from activities.storage.database import Database, migrate
from activities.storage.limits import LimitStore
from activities.transport.limits import FAILURES_TO_OPEN
from contracts.errors import AuthExpired, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from contracts.integration import IntegrationConfiguration, IntegrationState

LIMIT = RateLimit(20, 600.0)
CONFIGURATION = IntegrationConfiguration.model_validate(
    {"integrationId": "crm", "organizationId": "org-1", "platform": "hubspot", "connectionConfig": {}}
)
Work = Callable[[], Awaitable[None]]


class Worker:
    """Runs functions as activities that speak through one connection, past the boundary."""

    def __init__(self, admissions: Admissions, stored: StoredConnection) -> None:
        self._stored = stored
        self.connection = Connection(
            "org-1",
            "crm",
            "hubspot",
            "https://crm.test",
            admission=admissions.of(CONFIGURATION, "https://crm.test", LIMIT),
        )
        self._boundary = BoundaryInterceptor([admissions])

    async def run(self, work: Work, *, priority_key: int = 3) -> str:
        """Return the code of the error that Temporal is given, nothing when the work succeeds."""

        class Inner(ActivityInboundInterceptor):
            def __init__(self) -> None:
                """Need no next one."""

            async def execute_activity(_, input: ExecuteActivityInput) -> Any:  # noqa: A002, N805
                usage.note(self._stored)
                return await work()

        environment = ActivityEnvironment()
        environment.info = replace(environment.info, priority=Priority(priority_key=priority_key))
        chain = self._boundary.intercept_activity(Inner())
        given = ExecuteActivityInput(fn=work, args=[], executor=None, headers={})
        try:
            await environment.run(chain.execute_activity, given)
        except ApplicationError as error:
            return str(error.details[0].code)
        return ""

    async def asks(self, *, calls: int = 1, ends: WedSyncError | None = None, priority_key: int = 3) -> str:
        """Return how an activity ends that makes calls and then meets an error."""

        async def work() -> None:
            for _ in range(calls):
                await self.connection.admit()
            if ends is not None:
                raise ends

        return await self.run(work, priority_key=priority_key)


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    migrate(url)
    database = Database(url)
    connections = ConnectionStore(database, MasterKey(bytes(32)))
    await connections.put(CONFIGURATION, IntegrationState.ACTIVE)
    stored = await connections.get("org-1", "crm")
    assert stored is not None
    yield Worker(Admissions(LimitStore(database), at_once=3), stored)
    await database.aclose()


def failed(kind: type[WedSyncError] = Transient, code: str = "vendor_unavailable") -> WedSyncError:
    return kind(code, "The vendor failed.", system="hubspot")


async def test_a_used_up_limit_refuses_with_the_time_to_wait(worker: Worker) -> None:
    assert await worker.asks(calls=19) == ""
    assert await worker.asks() == "at_the_limit"


async def test_an_emergency_has_its_own_share(worker: Worker) -> None:
    await worker.asks(calls=19)
    assert await worker.asks(priority_key=1) == ""


async def test_f18_the_vendor_s_pause_holds_the_whole_connection(worker: Worker) -> None:
    pause = RateLimited("rate_limited", "The vendor asks to wait.", system="hubspot", retry_after_s=60)
    assert await worker.asks(ends=pause) == "rate_limited"
    assert await worker.asks() == "connection_paused"
    assert await worker.asks(priority_key=1) == "connection_paused"


@pytest.mark.parametrize("error", [failed(), failed(OutcomeUnknown, "no_answer"), failed(code="vendor_unreachable")])
async def test_f36_failures_of_the_vendor_open_the_circuit(worker: Worker, error: WedSyncError) -> None:
    for _ in range(FAILURES_TO_OPEN):
        assert await worker.asks(ends=error) == error.detail.code
    assert await worker.asks() == "circuit_open"


@pytest.mark.parametrize("error", [failed(AuthExpired, "credential_refused"), failed(Permanent, "request_refused")])
async def test_a_vendor_that_refuses_answers(worker: Worker, error: WedSyncError) -> None:
    for _ in range(FAILURES_TO_OPEN + 2):
        await worker.asks(ends=error)
    assert await worker.asks() == ""


async def test_our_own_refusals_are_no_failure_of_the_vendor(worker: Worker) -> None:
    await worker.asks(calls=19)
    for _ in range(FAILURES_TO_OPEN + 2):
        assert await worker.asks() == "at_the_limit"


async def test_an_activity_that_asks_the_vendor_nothing_says_nothing_about_it(worker: Worker) -> None:
    for _ in range(FAILURES_TO_OPEN - 1):
        await worker.asks(ends=failed())
    assert await worker.asks(calls=0) == ""
    await worker.asks(ends=failed())
    assert await worker.asks() == "circuit_open"


async def test_a_failure_that_is_taken_for_a_finding_counts(worker: Worker) -> None:
    async def check() -> None:
        await worker.connection.admit()
        usage.met(worker._stored, failed())

    for _ in range(FAILURES_TO_OPEN):
        assert await worker.run(check) == ""
    assert await worker.asks() == "circuit_open"


async def test_f60_a_connection_takes_no_more_than_its_slots(worker: Worker) -> None:
    hang, hanging = asyncio.Event(), asyncio.Semaphore(0)

    async def hangs() -> None:
        await worker.connection.admit()
        hanging.release()
        await hang.wait()

    running = [asyncio.create_task(worker.run(hangs)) for _ in range(3)]
    for _ in running:
        await hanging.acquire()
    assert await worker.asks() == "connection_busy"
    assert await worker.asks(priority_key=1) == ""
    hang.set()
    assert await asyncio.gather(*running) == [""] * 3
    assert await worker.asks() == ""


async def test_calls_that_belong_together_are_refused_before_the_first(worker: Worker) -> None:
    made = 0

    async def work() -> None:
        nonlocal made
        async with worker.connection.together(4):
            for _ in range(4):
                await worker.connection.admit()
                made += 1

    await worker.asks(calls=16)
    assert (await worker.run(work), made) == ("at_the_limit", 0)


async def test_what_an_operation_does_not_use_is_given_back(worker: Worker) -> None:
    async def work() -> None:
        async with worker.connection.together(10):
            await worker.connection.admit()

    assert await worker.run(work) == ""
    assert await worker.asks(calls=18) == ""
