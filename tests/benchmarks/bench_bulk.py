"""10,000 weddings into the emulated Salesforce: our sync as a bulk job, its repeat, and the SDK's bulk upsert alone."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from simple_salesforce.api import Salesforce

from activities.storage.database import metadata
from contracts.sync import Books
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_bulk import MAPPING
from tests.orchestration.test_sync_report import ORGANIZATION, server, workers
from tests.orchestration.test_sync_report_vendors import House, wedsync
from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client

EMULATED = ("salesforce", "wedsync")
ROWS, COLLECTION = 10_000, 200
TOKEN = "sandbox-salesforce-token"
TARGET = {"targetIntegration": {"integrationId": "salesforce-main"}}


def calls(emulated: Emulators, since: int = 0) -> int:
    return len(emulated.requests("salesforce", since))


async def ours(house: House) -> dict[str, Any]:
    """Run the sync twice; return its calls and the seconds of the first run."""
    async with server() as client, workers(client, house.activities(), "salesforce"):
        started = time.perf_counter()
        first = await house.sync_now(client, **TARGET)
        seconds = time.perf_counter() - started
        made = calls(house.emulators)
        repeated = await house.sync_now(client, **TARGET, batchSize=COLLECTION)
    assert (first.books, repeated.books) == (Books(read=ROWS, created=ROWS), Books(read=ROWS, unchanged=ROWS))
    jobs = sum(effect["kind"] == "job.created" for effect in house.emulators.effects("salesforce"))
    repeat = calls(house.emulators, made)
    return {"jobs": jobs, "calls_first": made, "calls_repeat": repeat, "ours_s": round(seconds, 3)}


def bare(emulated: Emulators) -> float:
    """Read the report and upsert it with the SDK's bulk handler, without receipts; return the seconds it took."""
    started = time.perf_counter()
    records: list[dict[str, Any]] = []
    cursor = None
    headers = {"Authorization": "Bearer sandbox-wedsync-token"}
    with loopback_client(emulated.base_url("wedsync"), headers) as http:
        while not records or cursor:
            params = {"limit": 1_000, **({"cursor": cursor} if cursor else {})}
            path = f"/v1/organizations/{ORGANIZATION}/reports/weddings/records"
            page = http.get(path, params=params).raise_for_status().json()
            records += page["records"]
            cursor = page["nextCursor"]
    root = emulated.base_url("salesforce")
    org = Salesforce(session_id=TOKEN, instance_url=root, version="67.0")
    org.bulk2_url = f"{root}/services/data/v67.0/jobs/"
    rows = [
        {
            "WedSync_Id__c": record["weddingId"],
            **{field["target"]: str(record[field["source"]] or "") for field in MAPPING},
        }
        for record in records
    ]
    org.bulk2.Wedding__c.upsert(records=rows, external_id_field="WedSync_Id__c")  # type: ignore[call-arg]
    return time.perf_counter() - started


@pytest.mark.bench
async def test_ten_thousand_weddings_are_one_job(emulators: Emulators, tmp_path: Path, capsys):  # noqa: F811
    house = House(emulators, tmp_path)
    async with house.database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await house.connect("salesforce", {"accessToken": TOKEN}, dataMapping=MAPPING)
    wedsync(emulators, "scenario", rows=ROWS)
    measured = await ours(house)
    await house.aclose()
    emulators.reset()
    wedsync(emulators, "scenario", rows=ROWS)
    measured["bare_s"] = round(await asyncio.to_thread(bare, emulators), 3)
    measured["ratio"] = round(measured["ours_s"] / measured["bare_s"], 2)
    with capsys.disabled():
        print(json.dumps(measured))  # noqa: T201 - the benchmark's result
    assert measured["jobs"] == 1
