"""Records that could not be brought to their target: sealed content, the reason, and when they are tried again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.security.keyring import MasterKeys
from activities.security.records import Sealer, key_id_of
from activities.storage.connections import is_disconnected
from activities.storage.database import Database, metadata, utc
from activities.storage.master_keys import refuse_retired
from activities.storage.receipts import Scope
from contracts.dead_letters import MOST_LISTED, DeadLetter, LetterDecision
from contracts.integration import Side
from contracts.names import effect_id
from contracts.sync import ConflictResolutionStrategy, RecordStatus

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("letter_id", String(64), primary_key=True),
    Column("integration_id", String(64), nullable=False),
    Column("object_type", String(255), nullable=False),
    Column("report_id", String(64), nullable=False),
    Column("record_id", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("run_id", String(64), nullable=False),
    Column("final", Boolean, nullable=False),
    Column("strategy", String(16), nullable=False),
    Column("asks", String(64)),
    Column("decision", String(16)),
    Column("decided_by", String(64)),
    Column("first_at", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("due_at", DateTime(timezone=True)),
    Column("sealed", LargeBinary, nullable=False),
    Index("ix_dead_letters_report", "organization_id", "integration_id", "object_type", "report_id"),
)
EARLIER = "dead-letters"
"""The purpose under which records without a key id would have been sealed."""
TAKEN_ALONG = 1_000
"""Letters one sync takes along; the others stay due."""

_LASTING = {"integration_id", "object_type", "report_id", "first_at"}
_CHUNK = 200
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=5), timedelta(days=1)
_MOST_ATTEMPTS = 12
"""After so many, about five days in all, a letter waits for a command or for the source."""


@dataclass(frozen=True)
class Outbox:
    """The report whose letters are meant, and the object type it is written to."""

    scope: Scope
    report_id: str

    def letter_id(self, key: str) -> str:
        """Return the id of the letter about one record."""
        scope = self.scope
        return effect_id(scope.organization_id, scope.integration_id, scope.object_type, self.report_id, key)

    @property
    def mine(self) -> list[ColumnElement[bool]]:
        """The letters of this report."""
        table, scope = dead_letters.c, self.scope
        return [
            table.organization_id == scope.organization_id,
            table.integration_id == scope.integration_id,
            table.object_type == scope.object_type,
            table.report_id == self.report_id,
        ]


@dataclass(frozen=True)
class Undelivered:
    """A record that a run could not bring over; `key` tells it from the others of its report."""

    key: str
    record_id: str
    status: RecordStatus
    reason: str
    source: str
    """The source's record as JSON."""
    final: bool = False
    strategy: ConflictResolutionStrategy = ConflictResolutionStrategy.SOURCE_WINS
    asks: str = ""
    """A digest of what the target held, where somebody has to decide."""


@dataclass(frozen=True)
class DueLetter:
    """A letter a sync takes along: the source's record as JSON, and what was decided about which target."""

    record_id: str
    source: str
    decision: str = ""
    asks: str = ""


class DeadLetters:
    """The dead letters of all organisations, sealed under each organisation's key."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)

    async def keep(self, outbox: Outbox, run_id: str, found: Sequence[Undelivered], now: datetime) -> None:
        """Keep what a run could not bring over, unless its integration was disconnected meanwhile.

        Idempotent: yes, a run counts once however often it says so.
        """
        for start in range(0, len(found), _CHUNK):
            some = {outbox.letter_id(item.key): item for item in found[start : start + _CHUNK]}
            async with self._database.begin() as connection:
                known = await self._known(connection, outbox.scope.organization_id, list(some))
                rows = [
                    self._row(outbox, run_id, letter_id, item, known.get(letter_id), now)
                    for letter_id, item in some.items()
                ]
                statement = self._database.insert(dead_letters).values(rows)
                changed = rows[0].keys() - {"organization_id", "letter_id", *_LASTING}
                await connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=["organization_id", "letter_id"],
                        set_={name: statement.excluded[name] for name in changed},
                    )
                )
                for sealed in {key_id_of(row["sealed"]): row["sealed"] for row in rows}.values():
                    await refuse_retired(self._database, connection, sealed)
                scope = outbox.scope
                if await is_disconnected(connection, scope.organization_id, scope.integration_id):
                    await _drop(connection, scope.organization_id, scope.integration_id)

    async def record_ids(self, outbox: Outbox) -> set[str]:
        """Return the ids of the records that have a letter which a delivery settles."""
        statement = select(dead_letters.c.record_id).where(*outbox.mine, ~dead_letters.c.final)
        async with self._database.begin() as connection:
            return set((await connection.execute(statement)).scalars())

    async def settle(self, outbox: Outbox, record_ids: Iterable[str]) -> None:
        """Let go of the letters about records that now stand. Idempotent: yes."""
        wanted = list(record_ids)
        async with self._database.begin() as connection:
            for start in range(0, len(wanted), _CHUNK):
                some = dead_letters.c.record_id.in_(wanted[start : start + _CHUNK])
                await connection.execute(delete(dead_letters).where(*outbox.mine, some, ~dead_letters.c.final))

    async def settle_all_but(self, outbox: Outbox, run_id: str) -> None:
        """Let go of every letter that a run over the whole report did not write. Idempotent: yes."""
        async with self._database.begin() as connection:
            await connection.execute(delete(dead_letters).where(*outbox.mine, dead_letters.c.run_id != run_id))

    async def due(self, outbox: Outbox, now: datetime) -> list[DueLetter]:
        """Return the letters whose time has come, the longest waiting first."""
        table = dead_letters.c
        statement = (
            select(dead_letters)
            .where(*outbox.mine, table.due_at <= now, ~table.final)
            .order_by(table.due_at, table.letter_id)
            .limit(TAKEN_ALONG)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            DueLetter(row.record_id, str(self._opened(row)["source"]), row.decision or "", row.asks or "")
            for row in rows
        ]

    async def drop(self, organization_id: str, integration_id: str) -> None:
        """Let go of every letter of an integration. Idempotent: yes."""
        async with self._database.begin() as connection:
            await _drop(connection, organization_id, integration_id)

    async def count(self, outbox: Outbox) -> int:
        """Return how many letters a report has."""
        statement = select(func.count()).select_from(dead_letters).where(*outbox.mine)
        async with self._database.begin() as connection:
            return int((await connection.execute(statement)).scalar_one())

    async def listed(self, organization_id: str, integration_id: str | None = None) -> tuple[list[DeadLetter], int]:
        """Return the letters of an organisation that were tried last, a thousand at most, and how many there are."""
        mine = _of(organization_id, integration_id, [])
        newest = select(dead_letters).where(*mine).order_by(dead_letters.c.last_at.desc(), dead_letters.c.letter_id)
        async with self._database.begin() as connection:
            rows = (await connection.execute(newest.limit(MOST_LISTED))).all()
            total = (await connection.execute(select(func.count()).select_from(dead_letters).where(*mine))).scalar_one()
        return [self._letter(row) for row in rows], int(total)

    async def hasten(
        self, organization_id: str, integration_id: str | None, letter_ids: Sequence[str], now: datetime
    ) -> list[DeadLetter]:
        """Make letters due and return them; those that only the source can mend are left out. Idempotent: yes."""
        mine = [*_of(organization_id, integration_id, letter_ids), ~dead_letters.c.final]
        statement = select(dead_letters).where(*mine).order_by(dead_letters.c.letter_id).limit(MOST_LISTED)
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
            for start in range(0, len(rows), _CHUNK):
                ids = [row.letter_id for row in rows[start : start + _CHUNK]]
                chosen = (dead_letters.c.organization_id == organization_id, dead_letters.c.letter_id.in_(ids))
                await connection.execute(update(dead_letters).where(*chosen).values(due_at=now))
        return [self._letter(row) for row in rows]

    async def decide(self, decision: LetterDecision, letter_id: str, now: datetime) -> list[DeadLetter]:
        """Note which side of a record wins, make its letter due and return it; nothing where nobody is asked.

        Idempotent: yes, the last word counts until it is carried out.
        """
        table = dead_letters.c
        chosen = (
            table.organization_id == decision.organization_id,
            table.letter_id == letter_id,
            table.asks.is_not(None),
        )
        words = {"decision": decision.winner.value, "decided_by": decision.decided_by, "due_at": now}
        async with self._database.begin() as connection:
            await connection.execute(update(dead_letters).where(*chosen).values(words))
            rows = (await connection.execute(select(dead_letters).where(*chosen))).all()
        return [self._letter(row) for row in rows]

    async def _known(
        self, connection: AsyncConnection, organization_id: str, letter_ids: Sequence[str]
    ) -> Mapping[str, Row[tuple[object, ...]]]:
        table = dead_letters.c
        statement = select(dead_letters).where(
            table.organization_id == organization_id, table.letter_id.in_(letter_ids)
        )
        return {row.letter_id: row for row in (await connection.execute(statement.with_for_update())).all()}

    def _row(
        self,
        outbox: Outbox,
        run_id: str,
        letter_id: str,
        item: Undelivered,
        known: Row[tuple[object, ...]] | None,
        now: datetime,
    ) -> dict[str, Any]:
        scope = outbox.scope
        # A decision holds for the state of the target that it was asked about.
        decided = known if known is not None and item.asks and known.asks == item.asks else None
        attempts = 1 if known is None else known.attempts + (known.run_id != run_id)
        due_at = None if item.final or item.asks else next_attempt(now, attempts)
        place = place_of(scope.organization_id, letter_id)
        plain = json.dumps({"reason": item.reason, "source": item.source}).encode()
        return {
            "organization_id": scope.organization_id,
            "letter_id": letter_id,
            "integration_id": scope.integration_id,
            "object_type": scope.object_type,
            "report_id": outbox.report_id,
            "record_id": item.record_id,
            "status": item.status.value,
            "attempts": attempts,
            "run_id": run_id,
            "final": item.final,
            "first_at": now if known is None else utc(known.first_at),
            "last_at": now,
            "due_at": decided.due_at if decided is not None else due_at,
            "strategy": item.strategy.value,
            "asks": item.asks or None,
            "decision": decided.decision if decided is not None else None,
            "decided_by": decided.decided_by if decided is not None else None,
            "sealed": self._sealer.seal(scope.organization_id, plain, place),
        }

    def _opened(self, row: Row[tuple[object, ...]]) -> Mapping[str, object]:
        place = place_of(row.organization_id, row.letter_id)
        found: Mapping[str, object] = json.loads(self._sealer.open(row.organization_id, row.sealed, place))
        return found

    def _letter(self, row: Row[tuple[object, ...]]) -> DeadLetter:
        return DeadLetter(
            letter_id=row.letter_id,
            integration_id=row.integration_id,
            object_type=row.object_type,
            report_id=row.report_id,
            record_id=row.record_id,
            status=RecordStatus(row.status),
            reason=str(self._opened(row)["reason"]),
            attempts=row.attempts,
            run_id=row.run_id,
            first_at=utc(row.first_at),
            last_at=utc(row.last_at),
            due_at=utc(row.due_at) if row.due_at else None,
            asks=row.asks is not None,
            decision=Side(row.decision) if row.decision else None,
            decided_by=row.decided_by,
            conflict_resolution=ConflictResolutionStrategy(row.strategy),
            final=row.final,
        )


def next_attempt(now: datetime, attempts: int) -> datetime | None:
    """Return from when on a letter is tried again, None once it has been tried too often.

    Args:
        now: of the last attempt.
        attempts: so far, at least 1.
    """
    if attempts >= _MOST_ATTEMPTS:
        return None
    pause: timedelta = _FIRST_PAUSE * 2 ** (attempts - 1)
    return now.astimezone(UTC) + min(pause, _LONGEST_PAUSE)


def place_of(organization_id: str, letter_id: str) -> str:
    """Return what a sealed letter is bound to: it opens nowhere else."""
    return f"dead-letter|{organization_id}|{letter_id}"


async def _drop(connection: AsyncConnection, organization_id: str, integration_id: str) -> None:
    await connection.execute(delete(dead_letters).where(*_of(organization_id, integration_id, [])))


def _of(organization_id: str, integration_id: str | None, letter_ids: Sequence[str]) -> list[ColumnElement[bool]]:
    mine: list[ColumnElement[bool]] = [dead_letters.c.organization_id == organization_id]
    if integration_id is not None:
        mine.append(dead_letters.c.integration_id == integration_id)
    if letter_ids:
        mine.append(dead_letters.c.letter_id.in_(letter_ids))
    return mine
