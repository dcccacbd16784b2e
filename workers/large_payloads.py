"""Payloads too large for Temporal: kept, sealed as they are, in the object store of staged files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import obstore
from obstore.store import ObjectStore
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ExternalStorage,
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

LARGE_BYTES = 64 << 10
"""Temporal refuses a payload of 2 MiB, and ends a run whose next commands are more than 4 MiB together."""
_FOLDER = ".payloads"
"""No organisation's: their ids begin with a letter or a digit."""


class LargePayloads(StorageDriver):
    """Keeps each payload under its digest. Nothing is deleted: a history may be replayed as long as it is kept.

    Args:
        store: reached by every process that has the codec.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def name(self) -> str:
        """Return the name that references carry."""
        return "wedsync"

    async def store(
        self,
        context: StorageDriverStoreContext,  # noqa: ARG002 - the SDK's
        payloads: Sequence[Payload],
    ) -> list[StorageDriverClaim]:
        """Keep payloads, which the codec has sealed. Idempotent: yes, by content."""
        return list(await asyncio.gather(*(self._put(payload.SerializeToString()) for payload in payloads)))

    async def retrieve(
        self,
        context: StorageDriverRetrieveContext,  # noqa: ARG002 - the SDK's
        claims: Sequence[StorageDriverClaim],
    ) -> list[Payload]:
        """Return payloads, which the codec opens if nobody has changed them."""
        return list(await asyncio.gather(*(self._get(claim.claim_data["key"]) for claim in claims)))

    async def _put(self, content: bytes) -> StorageDriverClaim:
        key = f"{_FOLDER}/{hashlib.sha256(content).hexdigest()}"
        await obstore.put_async(self._store, key, content)
        return StorageDriverClaim(claim_data={"key": key})

    async def _get(self, key: str) -> Payload:
        found = await obstore.get_async(self._store, key)
        return Payload.FromString(bytes(await found.bytes_async()))


def large_payloads(store: ObjectStore) -> ExternalStorage:
    """Return the claim check of every client and worker."""
    return ExternalStorage(drivers=[LargePayloads(store)], payload_size_threshold=LARGE_BYTES)
