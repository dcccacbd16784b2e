"""Whole runs of RunWarehouseEtl into each of the other warehouses: the same books, and answers that are lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from activities.connectors.warehouse.model import FACT_TABLE, RAW_TABLE, STAGING_TABLE
from contracts.etl import EtlRequest, ETLResult
from contracts.names import DATA_QUEUE, ORCHESTRATION_QUEUE, system_queue
from emulators.wedding_files import write
from emulators.wedding_rows import DataSet
from tests.support.etl_house import House
from tests.support.temporal import polling, time_skipping
from tests.support.warehouse_stand_ins import StandIn
from workflows.run_warehouse_etl import RunWarehouseEtl

ORGANIZATION = "lumen-studios"
USER = {"user": "sandbox", "password": "sandbox"}

pytestmark = pytest.mark.timeout(900)

Furnished = tuple[House, StandIn]


def _redshift(stand_in: StandIn) -> tuple[dict[str, str], dict[str, Any]]:
    credential = USER | {"accessKeyId": "sandbox", "secretAccessKey": "sandbox"}
    place = {"bucket": stand_in.ready["bucket"], "region": "us-east-1", "stagingUrl": stand_in.ready["s3"]}
    return credential, {"host": "sandbox", "database": "dev", "iamRole": "default", **place}


def _synapse(stand_in: StandIn) -> tuple[dict[str, str], dict[str, Any]]:
    credential = USER | {"sasToken": "sv=2026-01-01&sig=sandbox"}
    place = {"storageAccount": "sandbox", "container": "loads", "stagingUrl": f"{stand_in.ready['url']}/sandbox"}
    return credential, {"host": "sandbox", "database": "dev", **place}


WAREHOUSES: dict[str, Callable[[StandIn], tuple[dict[str, str], dict[str, Any]]]] = {
    "redshift": _redshift,
    "synapse": _synapse,
}


@pytest.fixture(params=sorted(WAREHOUSES))
async def furnished(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Furnished]:
    stand_in: StandIn = request.getfixturevalue(f"{request.param}_process")
    stand_in.reset()
    host, port = stand_in.address
    house = House(tmp_path, f"{request.param}-main", request.param, f"http://{host}:{port}")
    await house.connect(ORGANIZATION, *WAREHOUSES[request.param](stand_in))
    yield house, stand_in
    await house.aclose()


def asked(folder: Path, platform: str, rows: int) -> EtlRequest:
    path = folder / "weddings.csv"
    write(DataSet(rows, 7, 0.04), path, file_format="csv", layout="raw-csv")
    return EtlRequest.model_validate(
        {
            "etlId": "etl-0001",
            "organizationId": ORGANIZATION,
            "targetIntegration": {"integrationId": f"{platform}-main"},
            "source": {"kind": "file", "uri": path.as_uri(), "format": "csv"},
            "dataMapping": [
                {"target": "weddingId", "expression": "wedding_id"},
                {"target": "weddingDate", "expression": "cast(event_day as date)"},
                {"target": "guestCount", "expression": "adults + children"},
                {"target": "totalRevenue", "expression": "round(price * nights, 2)"},
            ],
            "dataQuality": {"failureThreshold": 0.05},
            "optimize": True,
        }
    )


async def run(client: Client, request: EtlRequest) -> ETLResult:
    return await client.execute_workflow(
        RunWarehouseEtl.run, request, id=f"etl-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
    )


async def test_a_dirty_file_loads_its_good_rows_and_a_second_run_changes_nothing(furnished: Furnished, tmp_path: Path):
    house, stand_in = furnished
    request, queues = asked(tmp_path, stand_in.system, 1_000), (DATA_QUEUE, system_queue(stand_in.system))
    async with (
        time_skipping() as environment,
        polling(environment.client, [RunWarehouseEtl], house.activities(), *queues),
    ):
        first = await run(environment.client, request)
        facts, changes = stand_in.rows("dev", FACT_TABLE.name.lower()), len(stand_in.effects())
        again = await run(environment.client, request)
    counts = stand_in.counts("dev")
    assert (first.books.read, first.books.created, first.books.rejected) == (1_000, 960, 40)
    assert first.tables[FACT_TABLE.name] == counts[FACT_TABLE.name.lower()] == 960
    assert counts[RAW_TABLE.name.lower()] == 1_000
    assert (again.books.created, again.books.updated, again.books.unchanged) == (0, 0, 960)
    assert (stand_in.rows("dev", FACT_TABLE.name.lower()), len(stand_in.effects())) == (facts, changes)


async def test_f21_answers_lost_on_the_way_lose_and_double_nothing(furnished: Furnished, tmp_path: Path):
    house, stand_in = furnished
    for statement in ("^COPY", "^MERGE INTO WEDDING_MARTS.FACT_WEDDINGS", "^COMMIT"):
        stand_in.fault("drop_after_effect", statement)
    request, queues = asked(tmp_path, stand_in.system, 500), (DATA_QUEUE, system_queue(stand_in.system))
    async with (
        time_skipping() as environment,
        polling(environment.client, [RunWarehouseEtl], house.activities(), *queues),
    ):
        result = await run(environment.client, request)
    counts = stand_in.counts("dev")
    assert (result.books.created, result.books.rejected) == (480, 20)
    assert [counts[table.name.lower()] for table in (RAW_TABLE, STAGING_TABLE, FACT_TABLE)] == [500, 480, 480]
