"""Paces in the store: many workers at once never exceed a cap, and a repeat counts once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.storage.database import Database, metadata
from activities.storage.paces import PaceStore
from activities.transform.pace import Claim, Sent, Word
from contracts.decisions import Verdict
from contracts.preferences import NotificationPolicy

NOW = datetime(2031, 5, 1, 9, tzinfo=UTC)
POLICY = NotificationPolicy.model_validate({"organizationId": "lumen", "caps": [{"messages": 3, "per": "P1D"}]})
CONTACTS = ["a" * 32, "b" * 32]


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[PaceStore]]:
    """Two workers on one store."""
    databases = [Database(f"sqlite:///{tmp_path}/store.db") for _ in range(2)]
    async with databases[0].engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield [PaceStore(database) for database in databases]
    for database in databases:
        await database.aclose()


def claim(number: int) -> Claim:
    return Claim(Sent(claim=f"c-{number}", message=f"m-{number}", type="news", wedding_id="w", at=NOW))


def passed(words: list[Word]) -> bool:
    return all(word.verdict is Verdict.ALLOW for word in words)


async def test_of_many_workers_at_once_as_many_may_send_as_the_cap_allows(stores: list[PaceStore]):
    asked = (
        stores[number % 2].take("lumen", [(contact, claim(number)) for contact in CONTACTS], POLICY)
        for number in range(20)
    )
    said = await asyncio.gather(*asked)
    assert [sum(passed(one[position]) for one in said) for position in range(2)] == [3, 3]


async def test_a_repeat_counts_once_and_another_organisation_counts_for_itself(stores: list[PaceStore]):
    for _ in range(5):
        [words] = await stores[0].take("lumen", [(CONTACTS[0], claim(1))], POLICY)
        assert passed(words)
    said = [(await stores[1].take("harbour", [(CONTACTS[0], claim(number))], POLICY))[0] for number in range(3)]
    assert all(passed(words) for words in said)


async def test_what_is_given_back_makes_room(stores: list[PaceStore]):
    for number in range(3):
        await stores[0].take("lumen", [(CONTACTS[0], claim(number))], POLICY)
    await stores[1].give_back("lumen", [CONTACTS[0]], ["c-0"])
    [words] = await stores[0].take("lumen", [(CONTACTS[0], claim(3))], POLICY)
    assert passed(words)
