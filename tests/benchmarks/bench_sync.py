"""2,000 weddings into the emulated HubSpot: our sync, its repeat, and a plain script with the SDK's batch upsert."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hubspot import Client
from pydantic import SecretStr

from activities.connectors.crm.hubspot import HubSpot
from activities.ports.connection import Connection
from activities.storage.database import metadata
from contracts.sync import Books
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_report import ORGANIZATION, server, workers
from tests.orchestration.test_sync_report_vendors import MAPPING, House, calls, seen, wedsync
from tests.support.emulators import Emulators
from tests.support.loopback import IN_DEVELOPMENT, loopback_client

EMULATED = ("hubspot", "tableau", "wedsync")
ROWS, BATCH = 2_000, 100


async def ours(house: House) -> dict[str, Any]:
    """Run the sync twice; return its calls and the seconds of the first run."""
    async with server() as client, workers(client, house.activities(), "hubspot"):
        started = time.perf_counter()
        first = await house.sync_now(client)
        seconds = time.perf_counter() - started
        calls_first, mark = calls(house.emulators), seen(house.emulators)
        repeated = await house.sync_now(client)
    again = calls(house.emulators, mark)
    assert (first.books, repeated.books) == (Books(read=ROWS, created=ROWS), Books(read=ROWS, unchanged=ROWS))
    return {
        "calls_first": calls_first.total(),
        "calls_repeat": again.total(),
        "writes_repeat": again["upsert"],
        "ours_s": round(seconds, 3),
    }


def bare(emulated: Emulators) -> float:
    """Read the report and upsert it with the SDK alone, without receipts or staging; return the seconds it took."""
    started = time.perf_counter()
    base_url, records, cursor = emulated.base_url("wedsync"), [], None
    headers = {"Authorization": "Bearer sandbox-wedsync-token"}
    with loopback_client(base_url, headers) as http:
        while True:
            params = {"limit": 1_000, **({"cursor": cursor} if cursor else {})}
            path = f"/v1/organizations/{ORGANIZATION}/reports/weddings/records"
            page = http.get(path, params=params).raise_for_status().json()
            records += page["records"]
            cursor = page["nextCursor"]
            if cursor is None:
                break
    client = Client.create(access_token="sandbox-hubspot-token", host=emulated.base_url("hubspot"))
    schemas = client.crm.schemas.core_api.get_all().results
    object_type = next(schema.object_type_id for schema in schemas if schema.name == "weddings")
    inputs = [
        {
            "id": record["weddingId"],
            "idProperty": "wedsync_id",
            "properties": {field["target"]: str(record[field["source"]] or "") for field in MAPPING},
        }
        for record in records
    ]
    for start in range(0, len(inputs), BATCH):
        client.crm.objects.batch_api.upsert(object_type, {"inputs": inputs[start : start + BATCH]})
    return time.perf_counter() - started


async def provision(emulated: Emulators) -> None:
    """Create the custom objects the records go into."""
    credential = {"accessToken": SecretStr("sandbox-hubspot-token")}
    base_url = emulated.base_url("hubspot")
    place = (ORGANIZATION, "hubspot-main", "hubspot", base_url, {}, credential)
    connector = HubSpot(Connection(*place, outbound=IN_DEVELOPMENT))
    await connector.provision()
    await connector.aclose()


@pytest.mark.bench
async def test_two_thousand_weddings_cost_few_calls(emulators: Emulators, tmp_path: Path, capsys):  # noqa: F811
    house = House(emulators, tmp_path)
    async with house.database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await house.connect("hubspot", {"accessToken": "sandbox-hubspot-token"}, dataMapping=MAPPING)
    await provision(emulators)
    wedsync(emulators, "scenario", rows=ROWS)
    measured = await ours(house)
    await house.aclose()
    emulators.reset()
    wedsync(emulators, "scenario", rows=ROWS)
    await provision(emulators)
    measured["bare_s"] = round(await asyncio.to_thread(bare, emulators), 3)
    measured["ratio"] = round(measured["ours_s"] / measured["bare_s"], 2)
    with capsys.disabled():
        print(json.dumps(measured))  # noqa: T201 - the benchmark's result
    assert measured["calls_first"] <= 25
    assert (measured["calls_repeat"] <= 25, measured["writes_repeat"]) == (True, 0)
