"""Closing a part of a batch: one result each, and recipients who got nothing are not counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from activities.batch import KIND, Batches
from activities.security.envelope import MasterKey
from activities.storage.database import Database, metadata
from activities.storage.ledger import EffectLedger
from activities.storage.staging import Staging
from activities.sync_parts import Parts
from contracts.batch import BatchCounts, ClosePart, PlannedRouting
from contracts.effects import EffectStep, GiveBack, Reservation, TargetPlan
from contracts.errors import ErrorDetail, ErrorKind, Owner
from contracts.notification import CrossSystemRouting, DeliveryResult, DeliveryStatus, RoutingResult
from tests.support.deliveries import ROUTING

ORGANIZATION = "lumen-studios"
REFUSED = ErrorDetail(kind=ErrorKind.PERMANENT, code="refused", message="No.", owner=Owner.TENANT, action="Mend it.")


class Planning:
    """Notes what is given back."""

    def __init__(self) -> None:
        self.given_back: list[Reservation] = []

    async def give_back(self, request: GiveBack) -> None:
        self.given_back += request.reserved


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[EffectLedger]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    async with database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield EffectLedger(database)
    await database.aclose()


def planned(*effects: str) -> PlannedRouting:
    """One target with an effect for each of its recipients."""
    routing = CrossSystemRouting.model_validate({**ROUTING, "targetSystems": ROUTING["targetSystems"][:1]})
    [target] = routing.target_systems
    steps = [
        EffectStep(
            effect_id=effect,
            organization_id=ORGANIZATION,
            integration_id=target.integration_id,
            system=target.system_type,
            kind="message.send",
        )
        for effect in effects
    ]
    reserved = [Reservation(**reservation(effect)) for effect in effects]
    plan = TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=steps, reserved=reserved)
    return PlannedRouting(routing=routing, targets=[plan])


def reservation(effect: str) -> dict[str, Any]:
    return {"contact": effect * 32, "claim": f"claim-{effect}", "effect_ids": [effect]}


def told(effect: str, status: DeliveryStatus, error: ErrorDetail | None = None) -> DeliveryResult:
    return DeliveryResult(
        notification_id="notif-0001", effect_id=effect, kind="message.send", status=status, error=error
    )


async def test_only_recipients_who_got_nothing_are_given_back(ledger: EffectLedger, tmp_path: Path):
    key, planning = MasterKey(bytes(32)), Planning()
    staging = Staging(f"file://{tmp_path}/objects", key, tmp_path / "scratch")
    notify: Any = planning
    access: Any = None
    parts = Parts(staging, ORGANIZATION, "batch-1", KIND)
    outcomes = [told("a", DeliveryStatus.SUCCESS), told("b", DeliveryStatus.FAILED, REFUSED)]
    request = ClosePart(
        organization_id=ORGANIZATION,
        batch_id="batch-1",
        number=0,
        plan=await parts.write("plans/0.ndjson", [planned("a", "b")]),
        outcomes=[await parts.write("outcomes/0.ndjson", outcomes)],
    )

    closed = await Batches(access, notify, ledger, staging).close(request)

    [result] = await parts.read(closed.results, RoutingResult)
    assert [one.effect_ids for one in planning.given_back] == [["b"]]
    assert closed.counts == BatchCounts(partial_failure=1)
    assert [one.status for one in result.system_results[0].delivery_results] == ["success", "failed"]
