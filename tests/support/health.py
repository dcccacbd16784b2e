"""Health checks over a real store, with vendors that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from activities.health_check import Examiner
from activities.health_round import Round
from activities.security.envelope import MasterKey
from activities.storage.connections import ConnectionStore, StoredConnection
from activities.storage.database import Database, migrate
from activities.storage.health import HealthStore
from activities.storage.incidents import IncidentStore
from activities.storage.sync_runs import SyncRuns
from contracts.errors import WedSyncError
from contracts.health import CheckedBatch, HealthChange, HealthRules, IntegrationKey
from contracts.integration import IntegrationConfiguration, IntegrationState

START = datetime(2031, 5, 1, 9, tzinfo=UTC)


class Vendors:
    """Stands in for `Access`: a probe fails, hangs or answers by the integration's name."""

    def __init__(self) -> None:
        self.failing: dict[str, WedSyncError] = {}
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.open = 0

    @asynccontextmanager
    async def briefly(self, stored: StoredConnection) -> AsyncIterator[Vendors._Connector]:
        self.open += 1
        try:
            yield self._Connector(self, stored.configuration.integration_id)
        finally:
            self.open -= 1

    class _Connector:
        def __init__(self, vendors: Vendors, name: str) -> None:
            self._vendors, self._name = vendors, name

        async def probe(self) -> None:
            self._vendors.asked.append(self._name)
            if self._name in self._vendors.hanging:
                await asyncio.Event().wait()
            if self._name in self._vendors.failing:
                raise self._vendors.failing[self._name]


class Checks:
    """A store of integrations, and rounds of checks over them."""

    def __init__(self, folder: Path, rules: HealthRules) -> None:
        url = f"sqlite:///{folder}/wedsync.db"
        migrate(url)
        self.rules = rules
        self.database = Database(url)
        self.connections = ConnectionStore(self.database, MasterKey(bytes(32)))
        self.vendors = Vendors()
        self.store = HealthStore(self.database)
        self.runs = SyncRuns(self.database)
        self.incidents = IncidentStore(self.database, rules)
        access: Any = self.vendors
        self.examiner = Examiner(access, self.connections, self.store, self.runs, rules)
        self.rounds = Round(self.examiner, self.store, rules, self._informed)
        self.informed: list[tuple[str, str]] = []
        self.round_at = START

    async def _informed(self, key: IntegrationKey, change: HealthChange) -> None:
        self.informed.append((key.integration_id, change.word.value))

    async def connect(
        self, *names: str, state: IntegrationState = IntegrationState.ACTIVE, platform: str = "slack", **rest: Any
    ) -> list[IntegrationKey]:
        """Store integrations and return their keys."""
        for name in names:
            given = {"organizationId": "lumen", "integrationId": name, "platform": platform, **rest}
            await self.connections.put(IntegrationConfiguration.model_validate(given), state)
        return [
            IntegrationKey(organization_id="lumen", integration_id=name, platform=platform, state=state)
            for name in names
        ]

    async def round(self, keys: Sequence[IntegrationKey], *, again: bool = False) -> CheckedBatch:
        """Check in a new round, or try the last one again."""
        if not again:
            self.round_at += timedelta(minutes=5)
        counted = CheckedBatch()
        async for so_far in self.rounds.run(keys, self.round_at):
            counted = so_far
        return counted

    async def aclose(self) -> None:
        """Close the store."""
        await self.database.aclose()
