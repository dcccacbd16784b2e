"""The steps of a rotation: bounded, resumed where they stood, and only on a worker that seals with the new key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities import keys
from activities.keys import Keys
from activities.security.envelope import MasterKey
from activities.security.keyring import KeyRing
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, migrate
from activities.storage.root_keys import StoredRootKeys
from activities.storage.sealed_rows import SealedRows
from contracts.errors import InvalidInput, Transient
from contracts.keys import RetireKeys, RewrapRows, RotateKeysInput, RowCursor, RowsRewrapped

OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)
BEFORE, BEHIND, DURING = (KeyRing(given=keys) for keys in ([OLD], [OLD, NEW], [NEW, OLD]))
STORED = 7


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr(keys, "PAGE", 2)
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(url)
    StoredRootKeys(url, BEFORE).eldest()
    database = Database(url)
    for number in range(STORED):
        await SealedSecretStore(database, BEFORE).put("lumen", f"crm-{number}", {"token": "t"})
    yield database
    await database.aclose()


def steps(store: Database, ring: KeyRing = DURING) -> Keys:
    return Keys(ring, StoredRootKeys(store.url, ring), SealedRows(store, ring))


async def left(store: Database) -> int:
    return (await SealedRows(store, DURING).counts())["credentials"][OLD.key_id()]


async def rewrap(store: Database, environment: ActivityEnvironment, rows: int, cursor: RowCursor | None = None) -> Any:
    step = RewrapRows(key_id=NEW.key_id(), rows=rows, cursor=cursor)
    return await environment.run(steps(store).rewrap, step)


async def test_a_step_ends_after_its_rows_and_the_next_one_takes_the_rest(store: Database) -> None:
    first = await rewrap(store, ActivityEnvironment(), 6)
    assert first.cursor is not None
    second = await rewrap(store, ActivityEnvironment(), 100, first.cursor)
    assert (second.cursor, first.rewrapped + second.rewrapped) == (None, STORED + 1)
    assert await left(store) == 0


async def test_a_step_whose_worker_died_goes_on_from_its_heartbeat(store: Database) -> None:
    environment = ActivityEnvironment()
    cursor = RowCursor(table="credentials", key=["lumen", "crm-3", 1])
    beaten = RowsRewrapped(cursor=cursor, rewrapped=5).model_dump(mode="json", by_alias=True)
    environment.info = replace(environment.info, heartbeat_details=[beaten])
    assert (await rewrap(store, environment, 100)).rewrapped == 5 + 3
    assert await left(store) == 4


async def test_every_page_is_reported(store: Database) -> None:
    environment, heard = ActivityEnvironment(), []
    environment.on_heartbeat = lambda *details: heard.append(details[0])
    await rewrap(store, environment, 100)
    of_credentials = [beat.rewrapped for beat in heard if beat.cursor.table == "credentials"]
    assert of_credentials == [1, 3, 5, 7]


async def test_a_worker_that_seals_with_another_key_leaves_the_step_to_others(store: Database) -> None:
    with pytest.raises(Transient, match="still seals"):
        await ActivityEnvironment().run(steps(store, BEFORE).rewrap, RewrapRows(key_id=NEW.key_id()))


async def test_a_rotation_begins_with_a_new_root_and_names_the_keys_before(store: Database) -> None:
    begun = await ActivityEnvironment().run(steps(store).begin, RotateKeysInput(key_id=NEW.key_id()))
    assert begun.before == [OLD.key_id()]
    roots = StoredRootKeys(store.url, DURING)
    assert roots.fetch().key_id() != roots.eldest().key_id()


async def test_a_worker_that_missed_the_new_key_does_not_rotate_back_to_the_old_one(store: Database) -> None:
    StoredRootKeys(store.url, DURING).eldest()
    with pytest.raises(InvalidInput, match="newer"):
        await ActivityEnvironment().run(steps(store, BEHIND).begin, RotateKeysInput(key_id=OLD.key_id()))


async def test_a_key_that_was_retired_is_not_rotated_to(store: Database) -> None:
    await rewrap(store, ActivityEnvironment(), 100)
    retire = RetireKeys(key_id=NEW.key_id(), before=[OLD.key_id()])
    assert (await ActivityEnvironment().run(steps(store).retire, retire)).left == 0
    with pytest.raises(InvalidInput, match="retired"):
        await ActivityEnvironment().run(steps(store, BEHIND).begin, RotateKeysInput(key_id=OLD.key_id()))
