"""What is left of an integration once it is disconnected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.access import Access
from activities.connect import Connect
from activities.security.envelope import MasterKey
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, migrate
from activities.storage.dead_letters import DeadLetters, Outbox, Undelivered
from activities.storage.receipts import Scope
from contracts.health import IntegrationKey
from contracts.integration import IntegrationConfiguration, IntegrationState
from contracts.sync import RecordStatus
from tests.support.loopback import IN_DEVELOPMENT

LUMEN, HARBOUR = "lumen-studios", "harbour-weddings"
LETTER = Undelivered("wed-1", "wed-1", RecordStatus.REJECTED, "why", "{}")


class Ground:
    """The real stores, with integrations whose last sync left one record behind."""

    def __init__(self, url: str) -> None:
        key = MasterKey(bytes(32))
        self.database = Database(url)
        self.connections = ConnectionStore(self.database, key)
        self.letters = DeadLetters(self.database, key)
        secrets = SealedSecretStore(self.database, key)
        access = Access(self.connections, secrets, self._nowhere, IN_DEVELOPMENT)
        self.connect = Connect(access, self.connections, secrets, self.letters)

    async def _nowhere(self, platform: str) -> str | None:
        return None

    async def has(self, organization_id: str, integration_id: str) -> None:
        given = {"integrationId": integration_id, "organizationId": organization_id, "platform": "hubspot"}
        configuration = IntegrationConfiguration.model_validate({**given, "connectionConfig": {}})
        await self.connections.put(configuration, IntegrationState.ACTIVE)
        await self.left_behind(organization_id, integration_id)

    async def left_behind(self, organization_id: str, integration_id: str) -> None:
        outbox = Outbox(Scope(organization_id, integration_id, "weddings"), "weddings")
        await self.letters.keep(outbox, "run-1", [LETTER], datetime(2027, 1, 1, tzinfo=UTC))

    async def forget(self, organization_id: str, integration_id: str) -> None:
        key = IntegrationKey(organization_id=organization_id, integration_id=integration_id, platform="hubspot")
        await self.connect.forget(key)

    async def kept(self) -> set[tuple[str, str]]:
        return {
            (organization, letter.integration_id)
            for organization in (LUMEN, HARBOUR)
            for letter in (await self.letters.listed(organization))[0]
        }


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(url)
    standing = Ground(url)
    yield standing
    await standing.database.aclose()


async def test_the_dead_letters_of_an_integration_go_with_it_and_nobody_elses(ground: Ground) -> None:
    for organization, integration in ((LUMEN, "crm"), (LUMEN, "bi"), (HARBOUR, "crm")):
        await ground.has(organization, integration)
    for _ in range(2):
        await ground.forget(LUMEN, "crm")
    assert await ground.kept() == {(LUMEN, "bi"), (HARBOUR, "crm")}


async def test_a_sync_that_ends_after_the_disconnection_leaves_no_dead_letter(ground: Ground) -> None:
    await ground.has(LUMEN, "crm")
    await ground.forget(LUMEN, "crm")
    await ground.left_behind(LUMEN, "crm")
    assert await ground.kept() == set()


async def test_an_integration_that_is_connected_again_keeps_dead_letters_again(ground: Ground) -> None:
    await ground.has(LUMEN, "crm")
    await ground.forget(LUMEN, "crm")
    await ground.has(LUMEN, "crm")
    assert await ground.kept() == {(LUMEN, "crm")}
