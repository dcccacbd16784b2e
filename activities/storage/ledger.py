"""The ledger of effects: an intent before each vendor call, a receipt after the vendor acknowledged it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import Column, ColumnElement, DateTime, Integer, Row, String, Table, bindparam, select, update

from activities.storage.database import Database, metadata
from contracts.effects import EffectStep, StandingEffect

effects = Table(
    "effects",
    metadata,
    Column("effect_id", String(64), primary_key=True),
    Column("organization_id", String(64), nullable=False, index=True),
    Column("integration_id", String(64), nullable=False),
    Column("system", String(40), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("claimed_until", DateTime(timezone=True), nullable=False),
    Column("intended_at", DateTime(timezone=True), nullable=False),
    Column("applied_at", DateTime(timezone=True)),
    Column("remote_id", String(255)),
    Column("object_id", String(255)),
    Column("notification_id", String(64), index=True),
    Column("wedding_id", String(64), index=True),
    Column("attempts", Integer, nullable=False),
    Column("retracted_at", DateTime(timezone=True)),
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
    RETRACTED = "retracted"
    """It stood and was taken back."""


@dataclass(frozen=True)
class Claim:
    """The answer to a claim; the receipt's fields are set when the effect stands."""

    kind: ClaimKind
    remote_id: str | None = None
    applied_at: datetime | None = None


@dataclass(frozen=True)
class LedgerEntry:
    """One intent and what came of it; `standing` is None while no vendor has acknowledged it."""

    effect_id: str
    integration_id: str
    system: str
    kind: str
    workflow_id: str
    attempts: int
    intended_at: datetime
    standing: StandingEffect | None = None
    retracted_at: datetime | None = None
    notification_id: str | None = None
    claimed_until: datetime | None = None
    """Until then somebody may be at it, while it has no receipt."""


class EffectLedger:
    """Intents and receipts by effect id; holds no payload and nothing personal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, step: EffectStep, owner: str, lease: timedelta) -> Claim:
        """Claim the right to apply `step`, as `claim_all` says."""
        return (await self.claim_all([step], owner, lease))[step.effect_id]

    async def claim_all(self, steps: Sequence[EffectStep], owner: str, lease: timedelta) -> dict[str, Claim]:
        """Claim the right to apply each of a few hundred steps, atomically against every other process.

        Args:
            steps: the effects.
            owner: the run that asks; the same owner may claim again after a lost attempt.
            lease: how long the claims keep others out.

        Returns:
            Effect id -> claim.
        """
        now = datetime.now(UTC)
        fresh = (
            self._database.insert(effects)
            .values([_intent(step, owner, now, now + lease) for step in steps])
            .on_conflict_do_nothing()
            .returning(effects.c.effect_id)
        )
        async with self._database.begin() as connection:
            claims = {row.effect_id: Claim(ClaimKind.FRESH) for row in await connection.execute(fresh)}
            wanted = [step.effect_id for step in steps if step.effect_id not in claims]
            if not wanted:
                return claims
            takeover = (
                update(effects)
                .where(
                    effects.c.effect_id.in_(wanted),
                    effects.c.applied_at.is_(None),
                    (effects.c.owner == owner) | (effects.c.claimed_until < now),
                )
                .values(owner=owner, claimed_until=now + lease, attempts=effects.c.attempts + 1)
                .returning(effects.c.effect_id)
            )
            taken = {row.effect_id for row in await connection.execute(takeover)}
            found = select(effects).where(effects.c.effect_id.in_(wanted))
            for row in await connection.execute(found):
                claims[row.effect_id] = _standing_claim(row, taken=row.effect_id in taken)
        return claims

    async def receipt(self, step: EffectStep, remote_id: str | None) -> datetime:
        """Record that the effect stands and return the instant recorded."""
        return await self.receipts({step.effect_id: remote_id})

    async def receipts(self, remote_ids: Mapping[str, str | None]) -> datetime:
        """Record that effects stand, by effect id, and return the instant recorded."""
        now = datetime.now(UTC)
        statement = (
            update(effects)
            .where(effects.c.effect_id == bindparam("effect"))
            .values(applied_at=now, remote_id=bindparam("remote"))
        )
        rows = [{"effect": effect, "remote": remote} for effect, remote in remote_ids.items()]
        async with self._database.begin() as connection:
            await connection.execute(statement, rows)
        return now

    async def confirm(self, organization_id: str, integration_id: str, effect_id: str, remote_id: str | None) -> bool:
        """Record that an effect stands which its system tells of, and return whether that was not recorded yet."""
        statement = (
            update(effects)
            .where(
                effects.c.organization_id == organization_id,
                effects.c.integration_id == integration_id,
                effects.c.effect_id == effect_id,
                effects.c.applied_at.is_(None),
            )
            .values(applied_at=datetime.now(UTC), remote_id=remote_id)
            .returning(effects.c.effect_id)
        )
        async with self._database.begin() as connection:
            return (await connection.execute(statement)).first() is not None

    async def let_go(self, step: EffectStep) -> None:
        """End the claim of an attempt whose outcome nobody knows, so that whoever comes next may look at once."""
        statement = (
            update(effects)
            .where(effects.c.effect_id == step.effect_id, effects.c.applied_at.is_(None))
            .values(claimed_until=datetime.now(UTC))
        )
        async with self._database.begin() as connection:
            await connection.execute(statement)

    async def withdraw(self, *steps: EffectStep) -> None:
        """Forget intents whose calls certainly had no effect."""
        mine = effects.c.effect_id.in_([step.effect_id for step in steps])
        statement = effects.delete().where(mine, effects.c.applied_at.is_(None))
        async with self._database.begin() as connection:
            await connection.execute(statement)

    async def entry(self, organization_id: str, effect_id: str) -> LedgerEntry | None:
        """Return what is known of an effect, None when this organisation has none of that id."""
        found = await self._entries(organization_id, effects.c.effect_id == effect_id)
        return found[0] if found else None

    async def of_wedding(self, organization_id: str, wedding_id: str) -> list[LedgerEntry]:
        """Return every effect about a wedding, in the order they were meant."""
        return await self._entries(organization_id, effects.c.wedding_id == wedding_id)

    async def of_notification(self, organization_id: str, notification_id: str) -> list[LedgerEntry]:
        """Return every effect of a notification, in the order they were meant."""
        return await self._entries(organization_id, effects.c.notification_id == notification_id)

    async def weddings_of(
        self, organization_id: str, integration_id: str, object_ids: Sequence[str]
    ) -> dict[str, list[str]]:
        """Return, by the object, the weddings for which something was written to an integration's objects."""
        statement = (
            select(effects.c.object_id, effects.c.wedding_id)
            .where(
                effects.c.organization_id == organization_id,
                effects.c.integration_id == integration_id,
                effects.c.object_id.in_(object_ids),
                effects.c.wedding_id.is_not(None),
                effects.c.applied_at.is_not(None),
            )
            .distinct()
            .order_by(effects.c.wedding_id)
        )
        found: dict[str, list[str]] = {}
        async with self._database.begin() as connection:
            for row in await connection.execute(statement):
                found.setdefault(row.object_id, []).append(row.wedding_id)
        return found

    async def by_remote_id(self, organization_id: str, integration_id: str, remote_id: str) -> list[LedgerEntry]:
        """Return the effects that one object at the vendor stands for."""
        return await self._entries(
            organization_id, effects.c.integration_id == integration_id, effects.c.remote_id == remote_id
        )

    async def by_effect_id(self, organization_id: str, integration_id: str, beginning: str) -> list[LedgerEntry]:
        """Return the effects of an integration whose ids begin so: all of one id, or its first digits."""
        return await self._entries(
            organization_id,
            effects.c.integration_id == integration_id,
            effects.c.effect_id.startswith(beginning, autoescape=True),
        )

    async def standing(self, organization_id: str, effect_ids: Sequence[str]) -> list[StandingEffect]:
        """Return those of a few hundred effects that stand."""
        if not effect_ids:
            return []
        entries = await self._entries(organization_id, effects.c.effect_id.in_(effect_ids))
        return [entry.standing for entry in entries if entry.standing is not None]

    async def retracted(self, organization_id: str, effect_id: str) -> datetime:
        """Record that an effect was taken back and return the instant recorded."""
        now = datetime.now(UTC)
        statement = (
            update(effects)
            .where(effects.c.organization_id == organization_id, effects.c.effect_id == effect_id)
            .values(retracted_at=now)
        )
        async with self._database.begin() as connection:
            await connection.execute(statement)
        return now

    async def _entries(self, organization_id: str, *wanted: ColumnElement[bool]) -> list[LedgerEntry]:
        statement = (
            select(effects)
            .where(effects.c.organization_id == organization_id, *wanted)
            .order_by(effects.c.intended_at, effects.c.effect_id)
        )
        async with self._database.begin() as connection:
            return [_entry(row) for row in await connection.execute(statement)]


def _intent(step: EffectStep, owner: str, now: datetime, until: datetime) -> dict[str, object]:
    return {
        "effect_id": step.effect_id,
        "organization_id": step.organization_id,
        "integration_id": step.integration_id,
        "system": step.system,
        "kind": step.kind,
        "owner": owner,
        "claimed_until": until,
        "intended_at": now,
        "object_id": step.object_id,
        "notification_id": step.notification_id,
        "wedding_id": step.wedding_id,
        "attempts": 1,
    }


def _standing_claim(row: Row[tuple[object, ...]], *, taken: bool) -> Claim:
    if taken:
        return Claim(ClaimKind.TRIED)
    if row.applied_at is None:
        return Claim(ClaimKind.BUSY)
    if row.retracted_at is not None:
        return Claim(ClaimKind.RETRACTED)
    return Claim(ClaimKind.APPLIED, row.remote_id, row.applied_at.replace(tzinfo=UTC))


def _entry(row: Row[tuple[object, ...]]) -> LedgerEntry:
    workflow_id, _, _ = row.owner.rpartition("/")
    standing = None
    if row.applied_at is not None:
        standing = StandingEffect(
            effect_id=row.effect_id,
            organization_id=row.organization_id,
            integration_id=row.integration_id,
            system=row.system,
            kind=row.kind,
            object_id=row.object_id,
            remote_id=row.remote_id,
            notification_id=row.notification_id,
            wedding_id=row.wedding_id,
            workflow_id=workflow_id,
            applied_at=row.applied_at.replace(tzinfo=UTC),
        )
    return LedgerEntry(
        effect_id=row.effect_id,
        integration_id=row.integration_id,
        system=row.system,
        kind=row.kind,
        workflow_id=workflow_id,
        attempts=row.attempts,
        intended_at=row.intended_at.replace(tzinfo=UTC),
        standing=standing,
        retracted_at=row.retracted_at.replace(tzinfo=UTC) if row.retracted_at else None,
        notification_id=row.notification_id,
        claimed_until=row.claimed_until.replace(tzinfo=UTC),
    )
