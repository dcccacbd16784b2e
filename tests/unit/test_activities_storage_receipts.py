"""Receipts and watermarks in the SQL store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql

from activities.storage.database import Database, metadata
from activities.storage.receipts import Receipt, Receipts, Scope, record_receipts
from contracts.sync import RecordStatus

SCOPE = Scope("lumen", "hubspot-main", "weddings")
EARLY, LATE = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC)


@pytest.fixture
async def receipts(tmp_path: Path) -> AsyncIterator[Receipts]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield Receipts(database)
    await database.aclose()


def receipt(number: int, fingerprint: str = "f") -> Receipt:
    return Receipt(f"wed-{number}", fingerprint, str(number), "run-1", RecordStatus.CREATED)


async def test_a_receipt_is_read_back_as_written(receipts: Receipts):
    await receipts.record(SCOPE, [receipt(1)])
    assert await receipts.load(SCOPE, ["wed-1", "wed-2"]) == {"wed-1": receipt(1)}


async def test_a_later_receipt_replaces_the_earlier(receipts: Receipts):
    await receipts.record(SCOPE, [receipt(1)])
    await receipts.record(SCOPE, [receipt(1, "g")])
    assert (await receipts.load(SCOPE, ["wed-1"]))["wed-1"].fingerprint == "g"


@pytest.mark.parametrize("other", [Scope("x", "hubspot-main", "weddings"), Scope("lumen", "hubspot-main", "deals")])
async def test_receipts_of_another_scope_are_not_seen(receipts: Receipts, other: Scope):
    await receipts.record(other, [receipt(1)])
    assert await receipts.load(SCOPE, ["wed-1"]) == {}


async def test_many_receipts_fit_whatever_the_database_binds_at_once(receipts: Receipts):
    await receipts.record(SCOPE, [receipt(number) for number in range(1_200)])
    assert len(await receipts.load(SCOPE, [f"wed-{number}" for number in range(1_200)])) == 1_200


async def test_a_watermark_never_moves_back(receipts: Receipts):
    await receipts.advance(SCOPE, "weddings", LATE)
    await receipts.advance(SCOPE, "weddings", EARLY)
    assert await receipts.watermark(SCOPE, "weddings") == LATE


async def test_a_watermark_moves_forward(receipts: Receipts):
    await receipts.advance(SCOPE, "weddings", EARLY)
    await receipts.advance(SCOPE, "weddings", LATE)
    assert await receipts.watermark(SCOPE, "weddings") == LATE


async def test_a_report_that_was_never_synced_has_no_watermark(receipts: Receipts):
    assert await receipts.watermark(SCOPE, "weddings") is None


def test_the_upsert_compiles_for_postgresql():
    keys = {column.name: "x" for column in record_receipts.primary_key}
    statement = postgresql.insert(record_receipts).values(keys).on_conflict_do_nothing()
    assert "ON CONFLICT" in str(statement.compile(dialect=postgresql.dialect()))
