"""The ledger of effects: an intent before each vendor call, a receipt after the vendor acknowledged it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import Column, DateTime, String, Table, select, update

from activities.storage.database import Database, metadata
from contracts.effects import EffectStep

effects = Table(
    "effects",
    metadata,
    Column("effect_id", String(64), primary_key=True),
    Column("organization_id", String(64), nullable=False, index=True),
    Column("integration_id", String(64), nullable=False),
    Column("system", String(40), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("owner", String(128), nullable=False),
    Column("claimed_until", DateTime(timezone=True), nullable=False),
    Column("intended_at", DateTime(timezone=True), nullable=False),
    Column("applied_at", DateTime(timezone=True)),
    Column("remote_id", String(255)),
)


class ClaimKind(StrEnum):
    """What a claim found."""

    FRESH = "fresh"
    """Nobody has tried this effect: apply it."""
    TRIED = "tried"
    """It was tried and its outcome is not recorded: look at the vendor first."""
    APPLIED = "applied"
    """It stands; its receipt is the answer."""
    BUSY = "busy"
    """Somebody else is at it now."""


@dataclass(frozen=True)
class Claim:
    """The answer to a claim; the receipt's fields are set when the effect stands."""

    kind: ClaimKind
    remote_id: str | None = None
    applied_at: datetime | None = None


class EffectLedger:
    """Intents and receipts by effect id; holds no payload and nothing personal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, step: EffectStep, owner: str, lease: timedelta) -> Claim:
        """Claim the right to apply `step`, atomically against every other process.

        Args:
            step: the effect.
            owner: the run that asks; the same owner may claim again after a lost attempt.
            lease: how long the claim keeps others out.
        """
        now = datetime.now(UTC)
        fresh = (
            self._database.insert(effects)
            .values(
                effect_id=step.effect_id,
                organization_id=step.organization_id,
                integration_id=step.integration_id,
                system=step.system,
                kind=step.kind,
                owner=owner,
                claimed_until=now + lease,
                intended_at=now,
            )
            .on_conflict_do_nothing()
        )
        takeover = (
            update(effects)
            .where(
                effects.c.effect_id == step.effect_id,
                effects.c.applied_at.is_(None),
                (effects.c.owner == owner) | (effects.c.claimed_until < now),
            )
            .values(owner=owner, claimed_until=now + lease)
        )
        found = select(effects.c.applied_at, effects.c.remote_id).where(effects.c.effect_id == step.effect_id)
        async with self._database.begin() as connection:
            if (await connection.execute(fresh)).rowcount:
                return Claim(ClaimKind.FRESH)
            if (await connection.execute(takeover)).rowcount:
                return Claim(ClaimKind.TRIED)
            row = (await connection.execute(found)).one()
        if row.applied_at is None:
            return Claim(ClaimKind.BUSY)
        return Claim(ClaimKind.APPLIED, row.remote_id, row.applied_at.replace(tzinfo=UTC))

    async def receipt(self, step: EffectStep, remote_id: str | None) -> datetime:
        """Record that the effect stands and return the instant recorded."""
        now = datetime.now(UTC)
        statement = (
            update(effects).where(effects.c.effect_id == step.effect_id).values(applied_at=now, remote_id=remote_id)
        )
        async with self._database.begin() as connection:
            await connection.execute(statement)
        return now

    async def withdraw(self, step: EffectStep) -> None:
        """Forget an intent whose call certainly had no effect."""
        statement = effects.delete().where(effects.c.effect_id == step.effect_id, effects.c.applied_at.is_(None))
        async with self._database.begin() as connection:
            await connection.execute(statement)
