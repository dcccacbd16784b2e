"""The real activities of a warehouse load over a stand-in, with their own store and staging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from activities.access import Access
from activities.etl import Etl
from activities.protection import Protection
from activities.security.envelope import MasterKey
from activities.sources import Sources
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, metadata
from activities.storage.staging import Staging
from activities.storage.subject_keys import SubjectKeys
from contracts.integration import IntegrationConfiguration, IntegrationState
from tests.support.loopback import IN_DEVELOPMENT

SNOWFLAKE = (
    {"user": "sandbox", "password": "sandbox"},
    {"account": "sandbox", "warehouse": "COMPUTE_WH", "database": "WEDSYNC"},
)
"""Credential and settings of the Snowflake stand-in's account."""


class House:
    """One organisation's store with one integration, which `connect` puts there.

    Args:
        folder: holds store, staging and the files that may be loaded.
        integration_id: the warehouse's integration.
        platform: its system.
        url: where the stand-in is.
        staging_url: where staged objects go; a directory of `folder` when empty.
    """

    def __init__(self, folder: Path, integration_id: str, platform: str, url: str, staging_url: str = "") -> None:
        key = MasterKey(bytes(32))
        self._integration_id, self._platform, self._url = integration_id, platform, url
        self.database = Database(f"sqlite:///{folder}/store.db")
        self._connections = ConnectionStore(self.database, key)
        self._secrets = SealedSecretStore(self.database, key)
        self.access = Access(self._connections, self._secrets, self._endpoint, IN_DEVELOPMENT)
        staging = Staging(staging_url or f"file://{folder}/objects", key, folder / "scratch")
        sources = Sources(self.access, staging, [folder])
        self.etl = Etl(self.access, staging, sources, Protection(SubjectKeys(self.database, key), key))

    async def _endpoint(self, platform: str) -> str:
        return self._url

    async def connect(self, organization_id: str, credential: dict[str, str], settings: dict[str, Any]) -> None:
        """Store the integration."""
        async with self.database.begin() as connection:
            await connection.run_sync(metadata.create_all)
        reference = await self._secrets.put(organization_id, self._integration_id, credential)
        given = {
            "integrationId": self._integration_id,
            "organizationId": organization_id,
            "platform": self._platform,
            "connectionConfig": {"credentialRef": reference.model_dump(by_alias=True), **settings},
        }
        await self._connections.put(IntegrationConfiguration.model_validate(given), IntegrationState.ACTIVE)

    def activities(self) -> list[Any]:
        """Return the activities that the workflow can reach."""
        steps = self.etl
        return [
            *(steps.check, steps.prepare, steps.extract, steps.load_raw, steps.load_staging),
            *(steps.load_marts, steps.build_analytics, steps.optimize),
        ]

    async def aclose(self) -> None:
        """Close what is open."""
        await self.access.aclose()
        await self.database.aclose()
