"""Opening connections: what is missing for a moment is waited for, what is gone is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.access import Access
from activities.ports.connector import Connector
from activities.security.envelope import MasterKey
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, metadata
from contracts.errors import AuthExpired, Transient
from contracts.integration import IntegrationConfiguration, IntegrationState
from tests.support.loopback import IN_DEVELOPMENT

ORGANIZATION = "lumen-studios"


class House:
    """A store with one integration."""

    def __init__(self, database: Database) -> None:
        key = MasterKey(bytes(32))
        self.connections = ConnectionStore(database, key)
        self.secrets = SealedSecretStore(database, key)
        self.access = Access(self.connections, self.secrets, self._nowhere, IN_DEVELOPMENT)

    async def _nowhere(self, _platform: str) -> str:
        return "http://127.0.0.1:9"

    async def connect(self, platform: str, credential: dict[str, str]) -> None:
        ref = await self.secrets.put(ORGANIZATION, platform, credential)
        given = {
            "integrationId": platform,
            "organizationId": ORGANIZATION,
            "platform": platform,
            "connectionConfig": {"credentialRef": ref},
        }
        await self.connections.put(IntegrationConfiguration.model_validate(given), IntegrationState.ACTIVE)

    async def open(self, platform: str) -> Connector:
        return await self.access.connector(ORGANIZATION, platform, Connector)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield House(database)
    await database.aclose()


async def test_a_grant_whose_token_is_not_there_yet_is_waited_for(house: House):
    await house.connect("hubspot", {"refreshToken": "granted-a-moment-ago"})
    with pytest.raises(Transient) as caught:
        await house.open("hubspot")
    assert caught.value.detail.code == "token_awaited"


async def test_a_credential_that_lacks_what_nobody_exchanges_is_refused(house: House):
    await house.connect("slack", {"signingSecret": "of-the-app"})
    with pytest.raises(AuthExpired) as caught:
        await house.open("slack")
    assert caught.value.detail.code == "credential_missing"
