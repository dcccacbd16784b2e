"""Payloads of every size: carried to their end or refused with the limit named, and never tried for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.service import RPCError

from activities.storage.database import migrate
from contracts.names import ORCHESTRATION_QUEUE, routing_workflow_id, system_queue
from contracts.notification import CrossSystemRouting, OverallStatus, RoutingResult
from starters.failures import detail_of
from tests.orchestration.test_reroute_undelivered import ORGANIZATION, routing
from tests.support.temporal import polling, real_server
from tests.support.vendors import MAKES, House, Point, house
from workers.converter import MAX_PAYLOAD_BYTES
from workers.large_payloads import LARGE_BYTES
from workers.settings import Settings
from workers.temporal import data_converter
from workflows.route_notification import RouteNotification

SYSTEMS = ("chat", "crm", "book", "mail")
CANARY = "Amelia Hart"


def weighing(size: int) -> CrossSystemRouting:
    """Return a notification to every system whose document has about `size` bytes."""
    words = [(CANARY * 1_000)[:10_000]] * (size // 10_003)
    return routing(*((name,) for name in SYSTEMS), routing_id=f"r-{size}", metadata={"words": words})


class Stage:
    """A real server, workers with the product's own converter, and vendors that count what they did."""

    def __init__(self, client: Client, standing: House, converter: DataConverter) -> None:
        self._client, self._standing, self._converter = client, standing, converter

    async def client(self, converter: DataConverter | None = None) -> Client:
        address = self._client.service_client.config.target_host
        return await Client.connect(address, data_converter=converter or self._converter)

    async def sent(self, size: int, converter: DataConverter | None = None) -> RoutingResult:
        wanted = weighing(size)
        client = await self.client(converter)
        await client.start_workflow(
            RouteNotification.run,
            wanted,
            id=routing_workflow_id(ORGANIZATION, wanted.routing_id),
            task_queue=ORCHESTRATION_QUEUE,
        )
        mine = await self.client()
        workflow_id = routing_workflow_id(ORGANIZATION, wanted.routing_id)
        return await mine.get_workflow_handle(workflow_id, result_type=RoutingResult).result()

    async def history_bytes(self, size: int) -> int:
        handle = (await self.client()).get_workflow_handle(routing_workflow_id(ORGANIZATION, f"r-{size}"))
        return sum(event.ByteSize() for event in (await handle.fetch_history()).events)

    def made(self) -> set[int]:
        """Return how often effects were made."""
        known = self._standing.vendors.known
        return {times for name in SYSTEMS for times in known[ORGANIZATION, f"{name}-main"].made.values()}


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    settings = Settings(data_dir=folder / "data", _env_file=None)
    settings.data_dir.mkdir()
    migrate(settings.database_url)
    converter = data_converter(settings)
    async with house(folder) as standing, real_server() as client:
        for name in MAKES:
            standing.vendors.connect(ORGANIZATION, f"{name}-main", name, Point.NOWHERE)
        stage = Stage(client, standing, converter)
        queues = tuple(system_queue(name) for name in MAKES)
        async with polling(await stage.client(), [RouteNotification], standing.activities(), *queues):
            yield stage


@pytest.mark.parametrize("size", [1_900_000, 2_200_000, 4_300_000])
async def test_f54_what_is_too_large_for_temporal_is_carried_beside_it(tmp_path: Path, size: int):
    async with staged(tmp_path) as stage:
        result = await stage.sent(size)
        history = await stage.history_bytes(size)
    assert (result.overall_status, stage.made()) == (OverallStatus.SUCCESS, {1})
    assert history < 4 * LARGE_BYTES
    kept = [path.read_bytes() for path in (tmp_path / "data" / "staging").rglob("*") if path.is_file()]
    assert sum(len(content) for content in kept) >= size
    assert not any(CANARY.encode() in content for content in kept)


async def test_f54_what_no_run_can_carry_is_refused_at_the_start_with_the_limit(tmp_path: Path):
    async with staged(tmp_path) as stage:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - what a client library raises; its code is what counts
            await stage.sent(100_000_000)
    detail = detail_of(caught.value)
    assert (detail.kind, detail.code) == ("InvalidInput", "payload_too_large")
    assert f"{MAX_PAYLOAD_BYTES:,}" in detail.message


async def test_f54_a_client_without_our_converter_has_its_largest_input_carried_to_the_end(tmp_path: Path):
    async with staged(tmp_path) as stage:
        result = await stage.sent(1_900_000, pydantic_data_converter)
    assert (result.overall_status, stage.made()) == (OverallStatus.SUCCESS, {1})


@pytest.mark.parametrize("size", [2_200_000, 4_300_000, 100_000_000])
async def test_f54_a_client_without_our_converter_is_refused_beyond_what_temporal_takes(tmp_path: Path, size: int):
    async with staged(tmp_path) as stage:
        with pytest.raises(RPCError):
            await stage.sent(size, pydantic_data_converter)
        running = [run async for run in (await stage.client()).list_workflows("ExecutionStatus = 'Running'")]
    assert (running, stage.made()) == ([], set())
