"""How every connection stands with its vendor, one row each, changed by one worker at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Double, Integer, Row, Select, String, Table, Text, Update, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from activities.ports.manifest import RateLimit
from activities.storage.database import Database, metadata
from activities.transport.limits import Reason, Refusal, Standing

limits = Table(
    "connection_limits",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("place", String(64), nullable=False),
    Column("requests", Integer),
    Column("per_s", Double),
    Column("standing", Text, nullable=False),
)

Clock = Callable[[], float]


@dataclass(frozen=True)
class Place:
    """A connection, and where it leads.

    Args:
        organization_id: whose it is.
        integration_id: which of theirs.
        address: an opaque word for platform and base URL; another one begins with a clean standing. Empty for whoever
            only looks, wherever it leads.
        limit: what the connector's manifest says.
    """

    organization_id: str
    integration_id: str
    address: str
    limit: RateLimit


@dataclass(frozen=True)
class Admitted:
    """A decision; `troubled` says whether the connection's next success is worth noting."""

    refusal: Refusal | None
    limit: RateLimit
    troubled: bool


@dataclass(frozen=True)
class Known:
    """What is stored about a connection; `own` is the account's own limit, if it has one."""

    standing: Standing
    own: RateLimit | None
    now: float


class LimitStore:
    """Standings of connections.

    Time is the database's where it is a server, so that no worker's clock counts; beside a file, the machine's.

    Args:
        database: the store.
        clock: replaces the time, in tests.
    """

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock
        # SQLite has one writer: waiting here is fair, waiting for its lock is not.
        self._turns = asyncio.Semaphore(1 if database.backend == "sqlite" else 16)

    async def admit(self, place: Place, calls: int, *, urgent: bool) -> Admitted:
        """Count `calls` if there is room for them, in one transaction."""
        async with self._locked(place) as (connection, known):
            limit = known.own or place.limit
            decided = known.standing.admitted(limit, known.now, calls, urgent=urgent)
            if isinstance(decided, Standing):
                await self._write(connection, place, decided)
                return Admitted(None, limit, decided.troubled)
            if urgent and decided.reason is Reason.LIMIT:
                await self._write(connection, place, known.standing.claimed(known.now + decided.wait_s))
            return Admitted(decided, limit, known.standing.troubled)

    async def give_back(self, place: Place, calls: int) -> None:
        """Uncount `calls`."""
        await self._change(place, lambda standing, _: standing.given_back(calls))

    async def limited(self, place: Place, told_s: float) -> None:
        """Pause the connection as the vendor asked."""
        await self._change(place, lambda standing, now: standing.limited(now, told_s))

    async def failed(self, place: Place) -> None:
        """Note a failure of the vendor."""
        await self._change(place, lambda standing, now: standing.failed(now))

    async def answered(self, place: Place) -> None:
        """Note that the vendor answered."""
        await self._change(place, lambda standing, now: standing.answered(now))

    async def set_own(self, place: Place, own: RateLimit | None) -> None:
        """Give the connection a limit of its own, or with None the manifest's again."""
        async with self._locked(place) as (connection, _):
            values = {"requests": own and own.requests, "per_s": own and own.per_s}
            # Slots of another width mean nothing: the window begins full, which is never too much.
            limit = own or place.limit
            full = Standing().admitted(limit, await self._now(connection), limit.requests, urgent=True)
            standing = full if isinstance(full, Standing) else Standing()
            await connection.execute(_at(place).values(**values, standing=standing.dumped()))

    async def known(self, place: Place) -> Known:
        """Return what is stored; nothing is changed."""
        async with self._database.begin() as connection:
            now = await self._now(connection)
            row = (await connection.execute(_row_of(place))).one_or_none()
        return _known(row, place, now)

    async def _change(self, place: Place, change: Callable[[Standing, float], Standing]) -> None:
        async with self._locked(place) as (connection, known):
            await self._write(connection, place, change(known.standing, known.now))

    @asynccontextmanager
    async def _locked(self, place: Place) -> AsyncIterator[tuple[AsyncConnection, Known]]:
        """Yield the row of a place, which nobody else changes meanwhile; it is made when it is missing."""
        mine = {"organization_id": place.organization_id, "integration_id": place.integration_id}
        claim = self._database.insert(limits).values(**mine, place=place.address, standing="{}")
        # Writing first takes the lock on every database; the columns are returned as the write found them.
        claim = claim.on_conflict_do_update(index_elements=list(mine), set_={"requests": limits.c.requests})
        claim = claim.returning(
            limits.c.place, limits.c.requests, limits.c.per_s, limits.c.standing, self._instant().label("now")
        )
        async with self._turns, self._database.begin() as connection:
            row = (await connection.execute(claim)).one()
            yield connection, _known(row, place, float(row.now) if self._remote else self._local())

    @property
    def _remote(self) -> bool:
        return self._clock is None and self._database.backend != "sqlite"

    def _instant(self) -> ColumnElement[Any]:
        return func.extract("epoch", func.clock_timestamp()) if self._remote else literal(0)

    def _local(self) -> float:
        return time.time() if self._clock is None else self._clock()

    async def _now(self, connection: AsyncConnection) -> float:
        if not self._remote:
            return self._local()
        return float((await connection.execute(select(self._instant()))).scalar_one())

    @staticmethod
    async def _write(connection: AsyncConnection, place: Place, standing: Standing) -> None:
        await connection.execute(_at(place).values(place=place.address, standing=standing.dumped()))


def _at(place: Place) -> Update:
    return update(limits).where(
        limits.c.organization_id == place.organization_id, limits.c.integration_id == place.integration_id
    )


def _row_of(place: Place) -> Select[Any]:
    columns = (limits.c.place, limits.c.requests, limits.c.per_s, limits.c.standing)
    return select(*columns).where(
        limits.c.organization_id == place.organization_id, limits.c.integration_id == place.integration_id
    )


def _known(row: Row[Any] | None, place: Place, now: float) -> Known:
    if row is None:
        return Known(Standing(), None, now)
    own = RateLimit(row.requests, row.per_s) if row.requests and row.per_s else None
    mine = place.address in {"", row.place}
    return Known(Standing.loaded(row.standing) if mine else Standing(), own, now)
