"""Weddings into the emulated HubSpot: our sync, its repeats, and a plain script with the SDK's batch upsert."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hubspot import Client
from pydantic import SecretStr

from activities.connectors.crm.hubspot import HubSpot
from activities.ports.connection import Connection
from contracts.sync import Books
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_report import ORGANIZATION, server, workers
from tests.orchestration.test_sync_report_vendors import MAPPING, House, calls, seen, wedsync
from tests.support.emulators import Emulators
from tests.support.loopback import IN_DEVELOPMENT, loopback_client

EMULATED = ("hubspot", "tableau", "wedsync")
ROWS, MANY, BATCH = 2_000, 100_000, 100


async def repeats(house: House) -> dict[str, Any]:
    """Sync many records three times, nothing changing: whole, since the last sync, whole; return seconds and writes."""
    seconds, marks, books = [], [], []
    async with server() as client, workers(client, house.activities(), "hubspot"):
        for kind in ("full_sync", "incremental", "full_sync"):
            started = time.perf_counter()
            books.append((await house.sync_now(client, syncType=kind)).books)
            seconds.append(time.perf_counter() - started)
            marks.append(seen(house.emulators))
    assert books[0] == Books(read=MANY, created=MANY)
    assert [(one.created, one.updated) for one in books[1:]] == [(0, 0), (0, 0)]
    return {
        "many": MANY,
        "many_first_s": round(seconds[0], 2),
        "many_incremental_ratio": round(seconds[1] / seconds[0], 3),
        "many_full_ratio": round(seconds[2] / seconds[0], 3),
        "many_writes_repeat": calls(house.emulators, marks[0])["upsert"],
    }


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


async def emptied(emulated: Emulators, rows: int) -> None:
    """Leave so many weddings to be read, and a HubSpot that holds none."""
    emulated.reset()
    wedsync(emulated, "scenario", rows=rows)
    await provision(emulated)


@asynccontextmanager
async def furnished(emulated: Emulators, folder: Path, rows: int) -> AsyncIterator[House]:
    """Yield a house whose integration has seen none of so many weddings."""
    folder.mkdir()
    await emptied(emulated, rows)
    async with House.opened(emulated, folder) as house:
        await house.connect("hubspot", {"accessToken": "sandbox-hubspot-token"}, dataMapping=MAPPING)
        yield house


@pytest.mark.bench
async def test_weddings_cost_few_calls_and_their_repeats_none_that_write(emulators: Emulators, tmp_path: Path, capsys):  # noqa: F811
    async with furnished(emulators, tmp_path / "few", ROWS) as house:
        measured = await ours(house)
    await emptied(emulators, ROWS)
    measured["bare_s"] = round(await asyncio.to_thread(bare, emulators), 3)
    measured["ratio"] = round(measured["ours_s"] / measured["bare_s"], 2)
    async with furnished(emulators, tmp_path / "many", MANY) as house:
        measured |= await repeats(house)
    with capsys.disabled():
        print(json.dumps(measured))  # noqa: T201 - the benchmark's result
    assert measured["calls_first"] <= 25
    assert (measured["calls_repeat"] <= 25, measured["writes_repeat"]) == (True, 0)
    assert measured["many_writes_repeat"] == 0
