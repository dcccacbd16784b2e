"""The store's schema: brought to its newest version once, and found there afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, select

from activities.storage import database
from contracts.errors import Transient
from tests.support.small_disk import filled, small_disk  # noqa: F401 - a fixture


def test_the_newest_version_is_the_head_of_the_migrations() -> None:
    migrations = ScriptDirectory(str(Path(database.__file__).parent / "migrations"))
    assert database.newest_version() == migrations.get_current_head()


def test_a_current_store_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/wedsync.db"
    database.migrate(url)
    monkeypatch.setattr(command, "upgrade", lambda *_: pytest.fail("migrated again"))
    database.migrate(url)


async def test_f11_a_full_store_is_said_to_be_full_and_holds_what_was_committed(small_disk: Path) -> None:  # noqa: F811
    store = database.Database(f"sqlite:///{small_disk}/store.db")
    things = Table("things", MetaData(), Column("number", Integer, primary_key=True), Column("words", LargeBinary))

    async def put(number: int) -> None:
        async with store.begin() as connection:
            await connection.execute(things.insert().values(number=number, words=bytes(1 << 20)))

    async def numbers() -> list[int]:
        async with store.begin() as connection:
            return list((await connection.execute(select(things.c.number).order_by(things.c.number))).scalars())

    async with store.begin() as connection:
        await connection.run_sync(things.create)
    await put(1)
    filler = filled(small_disk)
    with pytest.raises(Transient) as caught:
        await put(2)
    assert (caught.value.detail.code, await numbers()) == ("storage_full", [1])
    filler.unlink()
    await put(2)
    assert await numbers() == [1, 2]
    await store.aclose()
