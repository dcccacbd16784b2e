"""A refused credential: its keeper hears of it once, and what the vendor refuses for another reason fails by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.security.envelope import MasterKey
from activities.storage.connections import ConnectionStore, Refusal
from activities.storage.database import Database, migrate
from contracts.integration import ConnectionConfiguration, CredentialRef, IntegrationConfiguration, IntegrationState

NOW = datetime(2031, 5, 1, 9, tzinfo=UTC)
AGAIN = timedelta(minutes=2)


def ref(version: int) -> CredentialRef:
    return CredentialRef(organization_id="lumen", integration_id="crm", version=version)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ConnectionStore]:
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(url)
    database = Database(url)
    connections = ConnectionStore(database, MasterKey(bytes(32)))
    configuration = IntegrationConfiguration(
        organization_id="lumen",
        integration_id="crm",
        platform="hubspot",
        connection_config=ConnectionConfiguration(credential_ref=ref(1)),
    )
    await connections.put(configuration, IntegrationState.ACTIVE)
    yield connections
    await database.aclose()


async def test_the_keeper_is_told_once_however_many_meet_the_refusal(store: ConnectionStore) -> None:
    found = [await store.note_refusal(ref(1), NOW, AGAIN) for _ in range(3)]
    assert found == [Refusal.NEW, Refusal.LOOKED_INTO, Refusal.LOOKED_INTO]


async def test_a_keeper_that_did_nothing_is_told_again(store: ConnectionStore) -> None:
    await store.note_refusal(ref(1), NOW, AGAIN)
    assert await store.note_refusal(ref(1), NOW + AGAIN * 2, AGAIN) is Refusal.NEW


async def test_the_next_version_is_told_of_at_once(store: ConnectionStore) -> None:
    await store.note_refusal(ref(1), NOW, AGAIN)
    assert await store.note_refusal(ref(2), NOW, AGAIN) is Refusal.NEW


async def test_a_refusal_of_an_accepted_credential_stands(store: ConnectionStore) -> None:
    await store.note_refusal(ref(1), NOW, AGAIN)
    await store.settle_refusal(ref(1), NOW)
    assert await store.note_refusal(ref(1), NOW, AGAIN) is Refusal.STANDS
    assert await store.note_refusal(ref(1), NOW + AGAIN * 2, AGAIN) is Refusal.NEW
