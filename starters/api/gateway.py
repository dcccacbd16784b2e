"""What the handlers share: the facade, opened when Temporal answers, and the store."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from activities.storage.api_keys import ApiKeyStore
from activities.storage.idempotency import IdempotencyStore
from activities.storage.limits import LimitStore
from activities.storage.root_keys import StoredRootKeys
from starters.client import WedSync, open_store
from starters.escalation_desk import PolicyDesk
from starters.failures import translated
from starters.health_desk import HealthDesk
from starters.limits import Limits
from starters.recipients import Recipients
from workers.settings import Settings
from workers.temporal import connect


class Gateway:
    """Opens the connection to Temporal on first use, so that the API starts and answers 503 without it.

    Args:
        settings: of this process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._store = open_store(settings)
        self.keys = ApiKeyStore(self._store.database)
        self.limits = Limits(self._store.connections, LimitStore(self._store.database))
        masters = settings.load_master_keys()
        roots = StoredRootKeys(settings.database_url, masters)
        self.idempotency = IdempotencyStore(self._store.database, masters, roots.eldest)
        self.health = HealthDesk(self._store.database, masters)
        self.policies = PolicyDesk(self._store.database, masters)
        self.recipients = Recipients(self._store.database, masters, roots.eldest)
        self._wedsync: WedSync | None = None
        self._lock = asyncio.Lock()

    async def wedsync(self) -> WedSync:
        """Return the facade.

        Raises:
            Transient: Temporal does not answer.
        """
        async with self._lock:
            if self._wedsync is None:
                client = await connect(self.settings.model_copy(update={"metrics_address": ""}))
                self._wedsync = WedSync(client, self._store, self.settings)
            return self._wedsync

    def public_url(self, path: str) -> str:
        """Return a path of the API as others call it."""
        return f"{(self.settings.public_url or self.settings.api_url).rstrip('/')}{path}"

    async def check_store(self) -> None:
        """Read from the store.

        Raises:
            Permanent: it does not answer.
        """
        with translated():
            async with self._store.database.begin() as connection:
                await connection.execute(text("SELECT count(*) FROM api_keys"))

    async def aclose(self) -> None:
        """Close the store."""
        await self._store.database.aclose()
