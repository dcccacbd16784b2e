"""Vendors that fail where a test says, behind the real activities and the real ledger."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from activities.notify import Notify
from activities.ports.manifest import EffectGuarantee
from activities.recall import Recall
from activities.storage.connections import StoredConnection, unknown_integration
from activities.storage.database import Database, metadata
from activities.storage.ledger import EffectLedger
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.errors import AuthExpired, IntegrationPaused, InvalidInput, OutcomeUnknown, Permanent, Transient
from contracts.integration import IntegrationConfiguration, IntegrationState
from contracts.names import effect_id
from tests.support.post_office import planner


class Point(StrEnum):
    """Where a vendor fails."""

    NOWHERE = "nowhere"
    PLAN = "plan"
    PAUSED = "paused"
    """Its integration is paused."""
    CONNECTION = "connection"
    """Its credential is gone."""
    BEFORE = "before"
    """It refuses, and has done nothing."""
    LOST = "lost"
    """It does it, and its answer is lost."""
    AFTER = "after"
    """As `LOST`, and at first it does not even let itself be looked at."""
    RETRACT = "retract"
    """It takes nothing back."""
    AWAY = "away"
    """It does not answer, for as long as it is asked."""


@dataclass(frozen=True)
class Make:
    """What a kind of vendor is like: the effects of one delivery, and which of them it takes back."""

    kinds: tuple[str, ...]
    reversible: frozenset[str]
    guarantee: EffectGuarantee = EffectGuarantee.LOOK_BEFORE_RETRY


MAKES = {
    "chat": Make(("message.post",), frozenset({"message.post"})),
    "crm": Make(("note.create", "deal.update"), frozenset({"note.create"}), EffectGuarantee.UPSERT),
    "book": Make(("note.create",), frozenset({"note.create"}), EffectGuarantee.UPSERT),
    "mail": Make(("message.send",), frozenset(), EffectGuarantee.AT_MOST_ONCE),
}


@dataclass
class Vendor:
    """One connected system: what stands in it, how often each effect was made, and where it fails."""

    system: str
    point: Point = Point.NOWHERE
    stands: dict[str, str] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    hidden: bool = False
    refuses: str = ""
    """A kind of effect that it refuses."""
    log: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    did: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def manifest(self) -> Any:
        make = MAKES[self.system]
        return SimpleNamespace(
            capabilities=frozenset(),
            title=self.system,
            system=self.system,
            guarantee=make.guarantee,
            reversible=make.reversible,
        )

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        if self.point is Point.PLAN:
            raise InvalidInput("target_incomplete", "The target lacks something.")
        target = delivery.target
        return [
            EffectStep(
                effect_id=effect_id(delivery.organization_id, delivery.business_key, target.system_id, kind),
                organization_id=delivery.organization_id,
                integration_id=target.integration_id,
                system=self.system,
                kind=kind,
                object_id="object-1",
            )
            for kind in MAKES[self.system].kinds
        ]

    async def apply(self, step: EffectStep) -> EffectOutcome:
        self.asked.set()
        if self.point is Point.AWAY:
            raise Transient("vendor_unavailable", "The vendor does not answer.")
        if self.point is Point.BEFORE or step.kind == self.refuses:
            raise Permanent("request_refused", "The vendor refuses.")
        self.made[step.effect_id] += 1
        self.stands[step.effect_id] = f"remote-{step.effect_id}"
        self.log.append(f"{self.system} {step.kind}")
        self.did.set()
        if self.point in {Point.LOST, Point.AFTER} and self.made[step.effect_id] == 1:
            self.hidden = self.point is Point.AFTER
            raise OutcomeUnknown("no_answer", "The answer was lost.")
        return EffectOutcome(remote_id=self.stands[step.effect_id])

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        if self.hidden:
            self.hidden = False
            raise Permanent("missing_permission", "The vendor does not let itself be looked at.")
        remote = self.stands.get(step.effect_id)
        shows = self.manifest.guarantee is not EffectGuarantee.AT_MOST_ONCE
        return EffectOutcome(remote_id=remote, replayed=True) if remote and shows else None

    async def retract(self, effect: StandingEffect) -> None:
        if self.point is Point.RETRACT:
            raise Permanent("missing_permission", "The vendor takes nothing back.")
        self.stands.pop(effect.effect_id, None)

    async def correct(self, effect: StandingEffect, _step: EffectStep) -> EffectOutcome:
        return EffectOutcome(remote_id=effect.remote_id)


class Vendors:
    """Stands in for `Access` and the stored connections: vendors by organisation and integration."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Vendor] = {}

    def connect(self, organization_id: str, integration_id: str, system: str, point: Point) -> Vendor:
        vendor = self.known[organization_id, integration_id] = Vendor(system, point)
        return vendor

    def manifest(self, platform: str) -> Any:
        return Vendor(platform).manifest

    async def stored(self, organization_id: str, integration_id: str) -> StoredConnection:
        vendor = self.known.get((organization_id, integration_id))
        if vendor is None:
            raise unknown_integration(integration_id)
        configuration = IntegrationConfiguration(
            organization_id=organization_id, integration_id=integration_id, platform=vendor.system
        )
        state = IntegrationState.PAUSED if vendor.point is Point.PAUSED else IntegrationState.ACTIVE
        return StoredConnection(configuration, state, 1, datetime.now(UTC), None, None, None)

    async def named(self, organization_id: str, names: Iterable[str]) -> dict[str, StoredConnection]:
        known = [name for name in names if (organization_id, name) in self.known]
        return {name: await self.stored(organization_id, name) for name in known}

    async def connector_of(self, stored: StoredConnection, _protocol: type) -> Any:
        return self.known[stored.configuration.organization_id, stored.configuration.integration_id]

    async def connector(self, organization_id: str, integration_id: str, _protocol: type) -> Any:
        vendor = self.known[organization_id, integration_id]
        if vendor.point is Point.CONNECTION:
            raise AuthExpired("credential_missing", "The credential is gone.")
        if vendor.point is Point.PAUSED:
            raise IntegrationPaused("integration_paused", "The integration is paused.")
        return vendor


@dataclass(frozen=True)
class House:
    """The real verbs of delivery over a real ledger, with these vendors behind them."""

    vendors: Vendors
    ledger: EffectLedger
    notify: Notify
    recall: Recall

    def activities(self) -> list[Any]:
        """Return the verbs that a routing uses."""
        return [
            self.notify.plan,
            self.notify.apply_effect,
            self.notify.check_effect,
            self.recall.look_for_effect,
            self.recall.retract,
        ]


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    """Yield a house over an empty store."""
    database = Database(f"sqlite:///{folder}/ledger.db")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    vendors, ledger = Vendors(), EffectLedger(database)
    access: Any = vendors
    notify = Notify(access, access, ledger, planner(database, access))
    yield House(vendors, ledger, notify, Recall(access, ledger))
    await database.aclose()
