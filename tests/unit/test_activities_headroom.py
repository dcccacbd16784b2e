"""The headroom of a limit is told where somebody could act on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.connectors.registry import connector_class
from activities.headroom import StoredHeadroom
from activities.storage.database import Database, migrate
from activities.storage.limits import LimitStore, Place
from contracts.health import IntegrationKey


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LimitStore]:
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(url)
    database = Database(url)
    yield LimitStore(database)
    await database.aclose()


async def free_after(store: LimitStore, platform: str, calls: int) -> float | None:
    limit = connector_class(platform).manifest.rate_limit
    await store.admit(Place("lumen", "main", "address", limit), calls, urgent=False)
    key = IntegrationKey(organization_id="lumen", integration_id="main", platform=platform)
    return await StoredHeadroom(store).free(key)


async def test_a_limit_of_one_a_second_that_the_look_itself_uses_up_tells_nothing(store: LimitStore) -> None:
    assert await free_after(store, "slack", 1) is None


async def test_a_limit_of_a_day_tells_what_is_left_of_it(store: LimitStore) -> None:
    limit = connector_class("salesforce").manifest.rate_limit
    assert await free_after(store, "salesforce", limit.requests // 4) == pytest.approx(0.75, abs=0.01)


async def test_whoever_looks_without_knowing_the_address_sees_what_is_used(store: LimitStore) -> None:
    limit = connector_class("hubspot").manifest.rate_limit
    place = Place("lumen", "main", "address", limit)
    await store.admit(place, 7, urgent=False)
    known = await store.known(Place("lumen", "main", "", limit))
    assert known.standing.used(limit, known.now) == 7
