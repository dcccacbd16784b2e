"""The ledger: one claim wins, and a receipt is the last word."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from activities.storage.database import Database, metadata
from activities.storage.ledger import ClaimKind, EffectLedger
from contracts.effects import EffectStep

LEASE = timedelta(minutes=2)
STEP = EffectStep(
    effect_id="effect-1",
    organization_id="lumen-studios",
    integration_id="slack-main",
    system="slack",
    kind="message.post",
    payload={"text": "Amelia Hart moved to 16:00"},
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield database
    await database.aclose()


@pytest.fixture
def ledger(database: Database) -> EffectLedger:
    return EffectLedger(database)


async def test_of_many_runs_at_once_one_may_apply_the_effect(ledger: EffectLedger):
    claims = await asyncio.gather(*(ledger.claim(STEP, f"run-{number}", LEASE) for number in range(20)))
    assert Counter(claim.kind for claim in claims) == {ClaimKind.FRESH: 1, ClaimKind.BUSY: 19}


async def test_the_run_that_lost_its_answer_is_told_to_look_first(ledger: EffectLedger):
    await ledger.claim(STEP, "run-1", LEASE)
    assert (await ledger.claim(STEP, "run-1", LEASE)).kind is ClaimKind.TRIED


async def test_another_run_takes_over_once_the_lease_is_over_and_is_told_to_look_first(ledger: EffectLedger):
    await ledger.claim(STEP, "run-1", timedelta(seconds=-1))
    assert (await ledger.claim(STEP, "run-2", LEASE)).kind is ClaimKind.TRIED


async def test_an_applied_effect_answers_every_run_with_its_receipt(ledger: EffectLedger):
    await ledger.claim(STEP, "run-1", LEASE)
    at = await ledger.receipt(STEP, "remote-7")
    for owner in ("run-1", "run-2"):
        claim = await ledger.claim(STEP, owner, LEASE)
        assert (claim.kind, claim.remote_id, claim.applied_at) == (ClaimKind.APPLIED, "remote-7", at)


async def test_an_intent_whose_call_had_no_effect_is_forgotten(ledger: EffectLedger):
    await ledger.claim(STEP, "run-1", LEASE)
    await ledger.withdraw(STEP)
    assert (await ledger.claim(STEP, "run-2", LEASE)).kind is ClaimKind.FRESH


async def test_a_receipt_cannot_be_withdrawn(ledger: EffectLedger):
    await ledger.claim(STEP, "run-1", LEASE)
    await ledger.receipt(STEP, None)
    await ledger.withdraw(STEP)
    assert (await ledger.claim(STEP, "run-2", LEASE)).kind is ClaimKind.APPLIED


async def test_a_second_process_sees_the_claim_of_the_first(ledger: EffectLedger, database: Database):
    await ledger.claim(STEP, "run-1", LEASE)
    other = Database(str(database.engine.url))
    assert (await EffectLedger(other).claim(STEP, "run-2", LEASE)).kind is ClaimKind.BUSY
    await other.aclose()


async def test_the_ledger_keeps_nothing_of_the_payload(ledger: EffectLedger, tmp_path: Path):
    await ledger.claim(STEP, "run-1", LEASE)
    await ledger.receipt(STEP, "remote-7")
    assert not any(b"Amelia" in file.read_bytes() for file in tmp_path.iterdir())


async def test_the_ledger_tells_every_effect_about_a_wedding_with_its_attempts_and_where_it_stands(
    ledger: EffectLedger,
):
    about = STEP.model_copy(update={"wedding_id": "wed-1001", "notification_id": "notif-1", "object_id": "C0WEDDINGS"})
    lost = about.model_copy(update={"effect_id": "effect-2"})
    foreign = about.model_copy(update={"effect_id": "effect-3", "organization_id": "hartwell"})
    for step in (about, lost, lost, foreign, STEP.model_copy(update={"effect_id": "effect-4"})):
        await ledger.claim(step, "route-notification/lumen-studios/route-1/run-1", LEASE)
    await ledger.receipt(about, "1700000000.000100")

    stands, open_ = await ledger.of_wedding("lumen-studios", "wed-1001")

    assert (open_.effect_id, open_.attempts, open_.standing) == ("effect-2", 2, None)
    assert stands.standing is not None
    assert stands.standing.workflow_id == "route-notification/lumen-studios/route-1"
    assert (stands.standing.object_id, stands.standing.remote_id) == ("C0WEDDINGS", "1700000000.000100")
    assert await ledger.of_notification("lumen-studios", "notif-1") == [stands, open_]
    assert await ledger.by_remote_id("lumen-studios", "slack-main", "1700000000.000100") == [stands]


async def test_what_was_taken_back_is_told_so(ledger: EffectLedger):
    about = STEP.model_copy(update={"wedding_id": "wed-1001"})
    await ledger.claim(about, "run-1/1", LEASE)
    await ledger.receipt(about, "remote-7")
    at = await ledger.retracted("lumen-studios", STEP.effect_id)

    [entry] = await ledger.of_wedding("lumen-studios", "wed-1001")

    assert entry.retracted_at == at


async def test_an_effect_that_its_system_tells_of_stands_though_its_answer_was_lost(ledger: EffectLedger):
    await ledger.claim(STEP, "run-1", LEASE)
    assert await ledger.confirm("lumen-studios", "slack-main", "effect-1", "remote-7")
    claim = await ledger.claim(STEP, "run-1", LEASE)
    assert (claim.kind, claim.remote_id) == (ClaimKind.APPLIED, "remote-7")


@pytest.mark.parametrize("whose", [("another", "slack-main"), ("lumen-studios", "slack-other")])
async def test_a_system_confirms_the_effects_of_its_own_integration_only(ledger: EffectLedger, whose: tuple[str, str]):
    await ledger.claim(STEP, "run-1", LEASE)
    assert not await ledger.confirm(*whose, "effect-1", "remote-7")
    assert (await ledger.claim(STEP, "run-1", LEASE)).kind is ClaimKind.TRIED


async def test_a_receipt_is_not_changed_by_what_its_system_tells_later(ledger: EffectLedger):
    await ledger.claim(STEP, "run-1", LEASE)
    await ledger.receipt(STEP, "remote-7")
    assert not await ledger.confirm("lumen-studios", "slack-main", "effect-1", None)
    assert (await ledger.claim(STEP, "run-1", LEASE)).remote_id == "remote-7"
