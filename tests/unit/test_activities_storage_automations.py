"""Saved automations: every version kept, sealed, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.security.envelope import MasterKey
from activities.security.keyring import KeyRing
from activities.storage.automations import AutomationStore
from activities.storage.database import Database, migrate
from contracts.automation import AutomationDefinition
from contracts.automation_steps import AutomationRunKey

CANARY = "canary-words-of-a-message"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(url)
    database = Database(url)
    yield database
    await database.aclose()


@pytest.fixture
def store(database: Database) -> AutomationStore:
    return AutomationStore(database, KeyRing(given=[MasterKey(b"k" * 32)]))


def definition(name: str = CANARY, owner: str = "lumen") -> AutomationDefinition:
    return AutomationDefinition(definition_id="d-1", organization_id=owner, name=name)


def key(name: str, owner: str = "lumen") -> AutomationRunKey:
    return AutomationRunKey(organization_id=owner, orchestration_id=name)


async def test_a_change_is_a_new_version_and_a_repeat_is_none(store: AutomationStore):
    versions = [(await store.save(definition(name))).version for name in ("one", "one", "two")]
    assert versions == [1, 1, 2]
    assert [(one.name, one.version) for one in await store.newest("lumen")] == [("two", 2)]


async def test_another_organisation_sees_nothing_of_it(store: AutomationStore):
    await store.save(definition())
    await store.register(key("r-1"), "wed-1")
    assert (await store.newest("other"), await store.runs("other", "wed-1")) == ([], [])
    assert not await store.concerns("other", "wed-1")


async def test_nothing_of_it_is_readable_at_rest(store: AutomationStore, tmp_path: Path):
    await store.save(definition())
    assert not any(CANARY.encode() in path.read_bytes() for path in tmp_path.iterdir())


async def test_a_wedding_concerns_its_runs_until_they_have_ended(store: AutomationStore):
    for _ in range(2):
        await store.register(key("r-1"), "wed-1")
    assert await store.runs("lumen", "wed-1") == [key("r-1")]
    assert await store.concerns("lumen", "wed-1")
    await store.ended(key("r-1"))
    assert not await store.concerns("lumen", "wed-1")
