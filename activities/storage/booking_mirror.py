"""A mirror of the sessions that a booking system keeps, for systems that cannot say who is free.

It holds opaque ids and times only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Boolean, Column, ColumnElement, Date, DateTime, Index, String, Table, delete, select

from activities.ports.bookings import AssignmentRow, BookingRow, Row, SessionRow
from activities.storage.database import Database, metadata, utc


def _owned(name: str, key: str, *columns: Column[Any] | Index) -> Table:
    return Table(
        name,
        metadata,
        Column("organization_id", String(64), primary_key=True),
        Column("integration_id", String(64), primary_key=True),
        Column(key, String(64), primary_key=True),
        *columns,
    )


mirror_bookings = _owned(
    "mirror_bookings",
    "booking_id",
    Column("closed", Boolean, nullable=False),
    Column("day", Date),
    Column("version", String(64), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)
mirror_sessions = _owned(
    "mirror_sessions",
    "session_id",
    Column("booking_id", String(64), nullable=False, index=True),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("version", String(64), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    Index("ix_mirror_sessions_time", "organization_id", "integration_id", "starts_at"),
)
mirror_assignments = _owned(
    "mirror_assignments",
    "assignment_id",
    Column("booking_id", String(64), nullable=False),
    Column("resource_id", String(64), nullable=False, index=True),
    Column("kind", String(64), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)
mirror_reads = Table(
    "mirror_reads",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("read_at", DateTime(timezone=True), nullable=False),
    Column("whole_at", DateTime(timezone=True), nullable=False),
)
_TABLES = {
    BookingRow: (mirror_bookings, "booking_id"),
    SessionRow: (mirror_sessions, "session_id"),
    AssignmentRow: (mirror_assignments, "assignment_id"),
}


@dataclass(frozen=True)
class MirroredSession:
    """A session of an open booking, with a resource that it takes."""

    session_id: str
    booking_id: str
    resource_id: str
    starts_at: datetime
    ends_at: datetime
    time_zone: str
    confirmed: bool
    version: str


@dataclass(frozen=True)
class MirrorReads:
    """When the mirror was last brought up to date, and when it was last read as a whole."""

    read_at: datetime
    whole_at: datetime


class BookingMirror:
    """The mirror of one booking system of one organisation.

    Args:
        database: the store.
        organization_id: whose.
        integration_id: of which system.
    """

    def __init__(self, database: Database, organization_id: str, integration_id: str) -> None:
        self._database = database
        self._owner = {"organization_id": organization_id, "integration_id": integration_id}

    async def put(self, rows: Sequence[Row], at: datetime) -> None:
        """Take over what the system says. Idempotent: yes, by the system's ids."""
        async with self._database.begin() as connection:
            for kind, (table, key) in _TABLES.items():
                mine = {vars(row)[key]: row for row in rows if isinstance(row, kind)}
                gone = [name for name, row in mine.items() if getattr(row, "gone", False)]
                if gone:
                    await connection.execute(delete(table).where(*self._mine(table), table.c[key].in_(gone)))
                kept = [self._values(row, at) for name, row in mine.items() if name not in gone]
                if kept:
                    await connection.execute(self._upsert(table, key, kept))

    def _values(self, row: Row, at: datetime) -> dict[str, object]:
        columns = {name: value for name, value in vars(row).items() if name not in {"gone", "changed_at"}}
        return {**self._owner, **columns, "seen_at": at}

    def _upsert(self, table: Table, key: str, rows: Sequence[dict[str, object]]) -> Any:
        statement = self._database.insert(table).values(rows)
        changed = {name: statement.excluded[name] for name in rows[0] if name not in {*self._owner, key}}
        return statement.on_conflict_do_update(index_elements=[*self._owner, key], set_=changed)

    async def days(self, booking_ids: Sequence[str]) -> dict[str, date]:
        """Return the days of bookings, by id, as far as they are known."""
        table = mirror_bookings
        statement = select(table.c.booking_id, table.c.day).where(
            *self._mine(table), table.c.booking_id.in_(booking_ids), table.c.day.is_not(None)
        )
        async with self._database.begin() as connection:
            return {row.booking_id: row.day for row in await connection.execute(statement)}

    async def reads(self) -> MirrorReads | None:
        """Return how fresh the mirror is, None when nothing was ever read."""
        table = mirror_reads
        async with self._database.begin() as connection:
            row = (
                await connection.execute(select(table.c.read_at, table.c.whole_at).where(*self._mine(table)))
            ).one_or_none()
        return MirrorReads(utc(row.read_at), utc(row.whole_at)) if row else None

    async def finished(self, at: datetime, *, whole: bool) -> None:
        """Note a reading that began at `at`; after a whole one, what it did not see is gone."""
        values = {"read_at": at} | ({"whole_at": at} if whole else {})
        statement = self._database.insert(mirror_reads).values(**self._owner, read_at=at, whole_at=at)
        statement = statement.on_conflict_do_update(index_elements=list(self._owner), set_=values)
        async with self._database.begin() as connection:
            if whole:
                for table, _ in _TABLES.values():
                    await connection.execute(delete(table).where(*self._mine(table), table.c.seen_at < at))
            await connection.execute(statement)

    async def sessions(
        self, resource_ids: Sequence[str], starts_at: datetime, ends_at: datetime
    ) -> list[MirroredSession]:
        """Return the sessions of open bookings that take one of the resources in a time, in order."""
        return await self._sessions(
            mirror_assignments.c.resource_id.in_(resource_ids),
            mirror_sessions.c.starts_at < ends_at,
            mirror_sessions.c.ends_at > starts_at,
        )

    async def sessions_of(self, booking_ids: Sequence[str], resource_id: str) -> list[MirroredSession]:
        """Return the sessions of bookings that take a resource, in order."""
        return await self._sessions(
            mirror_assignments.c.resource_id == resource_id, mirror_sessions.c.booking_id.in_(booking_ids)
        )

    async def like(self, resource_id: str) -> list[str]:
        """Return the resources that do what this one does, without it."""
        table = mirror_assignments
        kinds = select(table.c.kind).where(*self._mine(table), table.c.resource_id == resource_id)
        statement = (
            select(table.c.resource_id)
            .where(*self._mine(table), table.c.kind.in_(kinds), table.c.resource_id != resource_id)
            .distinct()
            .order_by(table.c.resource_id)
        )
        async with self._database.begin() as connection:
            return list((await connection.execute(statement)).scalars())

    async def _sessions(self, *wanted: ColumnElement[bool]) -> list[MirroredSession]:
        session, booking, assignment = mirror_sessions, mirror_bookings, mirror_assignments
        joined = session.join(booking, _same(session, booking) & (session.c.booking_id == booking.c.booking_id)).join(
            assignment, _same(session, assignment) & (session.c.booking_id == assignment.c.booking_id)
        )
        statement = (
            select(session, assignment.c.resource_id)
            .select_from(joined)
            .where(*self._mine(session), booking.c.closed.is_(False), *wanted)
            .order_by(session.c.starts_at, session.c.session_id)
            .distinct()
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            MirroredSession(
                session_id=row.session_id,
                booking_id=row.booking_id,
                resource_id=row.resource_id,
                starts_at=utc(row.starts_at),
                ends_at=utc(row.ends_at),
                time_zone=row.time_zone,
                confirmed=row.confirmed,
                version=row.version,
            )
            for row in rows
        ]

    def _mine(self, table: Table) -> list[ColumnElement[bool]]:
        return [table.c[name] == value for name, value in self._owner.items()]


def _same(one: Table, other: Table) -> ColumnElement[bool]:
    owner = one.c.organization_id == other.c.organization_id
    return owner & (one.c.integration_id == other.c.integration_id)
