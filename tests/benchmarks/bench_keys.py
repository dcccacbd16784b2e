"""The master key rotated under syncs, its worker killed midway: `python -m tests.benchmarks.bench_keys` prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from activities.ports.secrets import place_of
from activities.security.envelope import MasterKey
from activities.security.key_files import KeyFiles
from activities.security.keyring import KeyRing
from activities.security.records import Sealer
from activities.storage.credentials import EARLIER, credentials
from activities.storage.database import Database
from activities.storage.sealed_rows import SealedRows
from contracts.errors import WedSyncError
from contracts.integration import CredentialRef, IntegrationConfiguration
from contracts.sync import DataSynchronizationRequest, SyncStatus
from starters.client import WedSync, open_wedsync
from starters.keys import rotate
from tests.e2e.conftest import RunningStack
from tests.e2e.documents import HUBSPOT
from tests.support.loopback import loopback_client
from workers.settings import Settings

REPORT_ROWS = 60


async def fill(database: Database, keys: KeyRing, count: int) -> None:
    """Store the credentials of `count` further integrations, ten to an organisation."""
    sealer, rows = Sealer(keys, EARLIER), []
    for number in range(count):
        owner = f"org-{number // 10}"
        ref = CredentialRef(organization_id=owner, integration_id=f"crm-{number}", version=1)
        plain = json.dumps({"accessToken": f"token-{number}"}).encode()
        key = {"organization_id": owner, "integration_id": ref.integration_id, "version": 1}
        rows.append(key | {"sealed": sealer.seal(owner, plain, place_of(ref)), "created_at": datetime.now(UTC)})
    async with database.begin() as connection:
        await connection.execute(credentials.insert(), rows)


async def opened(database: Database, *keys: MasterKey) -> int:
    """Return how many stored credentials open under these master keys alone."""
    sealer, found = Sealer(KeyRing(given=keys), EARLIER), 0
    async with database.begin() as connection:
        rows = (await connection.execute(select(credentials))).all()
    for row in rows:
        ref = CredentialRef(organization_id=row.organization_id, integration_id=row.integration_id, version=row.version)
        try:
            sealer.open(row.organization_id, row.sealed, place_of(ref))
        except WedSyncError:
            continue
        found += 1
    return found


class Syncs:
    """Full syncs one after another, until told to end."""

    def __init__(self, wedsync: WedSync, organization_id: str) -> None:
        self._wedsync = wedsync
        self._organization_id = organization_id
        self.ended = asyncio.Event()
        self.statuses: Counter[str] = Counter()
        self.books: list[Any] = []

    async def run(self) -> None:
        """Start a sync, wait for it, start the next."""
        while not self.ended.is_set():
            given = {
                "syncId": f"keys-{self.statuses.total()}",
                "organizationId": self._organization_id,
                "sourceReportId": "weddings",
                "targetIntegration": {"integrationId": HUBSPOT["integrationId"]},
                "syncType": "full_sync",
            }
            try:
                run = await self._wedsync.start_sync(DataSynchronizationRequest.model_validate(given))
                result = await run.result()
                self.statuses[result.status] += 1
                self.books.append(result.books)
            except WedSyncError as error:
                self.statuses[error.detail.code] += 1

    def failed(self) -> int:
        """Return how many did not succeed."""
        return self.statuses.total() - self.statuses[SyncStatus.SUCCESS]


async def kill_midway(stack: RunningStack, rows: SealedRows, old: str, count: int) -> int:
    """Kill the worker once a quarter of the credentials is under another key; return how many were then."""
    while count - (left := (await rows.counts())["credentials"][old]) < count // 4:  # noqa: ASYNC110 - it is a table
        await asyncio.sleep(0.01)
    os.kill(stack.parts()["worker"], signal.SIGKILL)
    return count - left


async def measure(stack: RunningStack, settings: Settings, count: int, organization_id: str) -> dict[str, Any]:
    """Return the figures of one rotation on a running stack, with syncs of an organisation that is prepared."""
    files = KeyFiles(settings.master_key_file)
    [old] = files.read()
    database = Database(settings.database_url)
    await fill(database, settings.load_master_keys(), count)
    rows = SealedRows(database, settings.load_master_keys())
    total = (await rows.counts())["credentials"][old.key_id()]
    async with open_wedsync(settings) as wedsync:
        syncs = Syncs(wedsync, organization_id)
        running = asyncio.create_task(syncs.run())
        await _until(lambda: syncs.statuses.total() > 0)
        started = time.perf_counter()
        killing = asyncio.create_task(kill_midway(stack, rows, old.key_id(), total))
        result = await rotate(settings)
        seconds, before = time.perf_counter() - started, syncs.statuses.total()
        killed_at = await killing
        await _until(lambda: syncs.statuses.total() > before + 1)
        syncs.ended.set()
        await running
    new: Sequence[MasterKey] = files.read()
    figures = {
        "credentials": total,
        "records": result.records,
        "rewrapped_before_kill": killed_at,
        "seconds": round(seconds, 2),
        "syncs": syncs.statuses.total(),
        "failed_syncs": syncs.failed(),
        "written_after_first": sum(books.created + books.updated for books in syncs.books[1:]),
        "open_under_new": await opened(database, *new),
        "open_under_old": await opened(database, old),
        "left_under_old": sum(found[old.key_id()] for found in (await rows.counts()).values()),
        "keys_held": len(new),
    }
    await database.aclose()
    return figures


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what it looks at has no event
        await asyncio.sleep(0.05)


def settings_of(stack: RunningStack) -> Settings:
    """Return the settings of a door on this stack."""
    return Settings(data_dir=stack.data_dir).on_stack()


async def prepare(stack: RunningStack, settings: Settings, organization_id: str) -> None:
    """Connect the CRM that is synced into, and make the report short."""
    scenario = {"organizationId": organization_id, "rows": REPORT_ROWS, "dirtyRatio": 0}
    with loopback_client(stack.ready["emulators"]) as client:
        client.post("/_emulators/wedsync/scenario", json=scenario).raise_for_status()
    configuration = {**HUBSPOT, "organizationId": organization_id}
    async with open_wedsync(settings) as wedsync:
        await wedsync.integrations.connect(IntegrationConfiguration.model_validate(configuration))


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--credentials", type=int, default=10_000)
    count = parser.parse_args().credentials
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder) / "data")
        stack.start({"WEDSYNC_EMULATOR_RATE_LIMITS": "off"})
        try:
            settings = settings_of(stack)
            asyncio.run(prepare(stack, settings, "bench"))
            figures = asyncio.run(measure(stack, settings, count, "bench"))
        finally:
            stack.stop()
    print(json.dumps(figures))  # noqa: T201 - the benchmark's result


if __name__ == "__main__":
    main()
