"""Receipts of synced records: which fingerprint the vendor has acknowledged, and up to when a report was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, DateTime, String, Table, and_, case, delete, select

from activities.storage.database import Database, metadata
from contracts.sync import RecordStatus

T = TypeVar("T")

_CHUNK = 500
"""Rows per statement: SQLite and PostgreSQL bound the parameters of one."""

record_receipts = Table(
    "record_receipts",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("object_type", String(255), primary_key=True),
    Column("record_id", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("remote_id", String(255)),
    Column("run_id", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("synced_at", DateTime(timezone=True), nullable=False),
    Column("target_fingerprint", String(64)),
    Column("report_id", String(64)),
    Column("source_at", DateTime(timezone=True)),
)

sync_watermarks = Table(
    "sync_watermarks",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("object_type", String(255), primary_key=True),
    Column("report_id", String(64), primary_key=True),
    Column("watermark", DateTime(timezone=True), nullable=False),
)


_KEY = ["organization_id", "integration_id", "object_type", "record_id"]
_SELECTED = select(
    *(
        record_receipts.c[name]
        for name in (
            "record_id",
            "fingerprint",
            "remote_id",
            "run_id",
            "outcome",
            "target_fingerprint",
            "report_id",
            "source_at",
        )
    )
)


@dataclass(frozen=True)
class Scope:
    """The vendor object type of one integration that receipts belong to."""

    organization_id: str
    integration_id: str
    object_type: str


@dataclass(frozen=True)
class Receipt:
    """The vendor's last acknowledgement of one record; `run_id` and `outcome` say which run it was and what it did."""

    record_id: str
    fingerprint: str
    """Of the source's side."""
    remote_id: str | None
    run_id: str
    outcome: RecordStatus
    target_fingerprint: str | None = None
    """Of the target's side, where the two were left to differ."""
    report_id: str | None = None
    """The report that brought the record last."""
    source_at: datetime | None = None
    """When the source changed the version that was brought."""

    @property
    def left_at_target(self) -> str:
        """The fingerprint of what the target was left with."""
        return self.target_fingerprint or self.fingerprint


class Receipts:
    """Receipts and watermarks by organisation and integration; holds opaque ids and digests only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, scope: Scope, record_ids: Sequence[str]) -> Mapping[str, Receipt]:
        """Return the receipts that exist, by record id."""
        found: dict[str, Receipt] = {}
        table = record_receipts.c
        async with self._database.begin() as connection:
            for chunk in _chunks(record_ids):
                rows = await connection.execute(_SELECTED.where(*_of(scope), table.record_id.in_(chunk)))
                for row in rows:
                    found[row[0]] = _receipt(row)
        return found

    async def page(self, scope: Scope, after: str, limit: int) -> list[Receipt]:
        """Return the next receipts in the order of their record ids."""
        table = record_receipts.c
        statement = _SELECTED.where(*_of(scope), table.record_id > after).order_by(table.record_id).limit(limit)
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
        return [_receipt(row) for row in rows]

    async def brought_by(self, scope: Scope, report_id: str, after: str, limit: int) -> list[Receipt]:
        """Return the next receipts of the records that a report brought last, in the order of their record ids."""
        table = record_receipts.c
        mine = (*_of(scope), table.report_id == report_id, table.record_id > after)
        async with self._database.begin() as connection:
            rows = await connection.execute(_SELECTED.where(*mine).order_by(table.record_id).limit(limit))
            return [_receipt(row) for row in rows]

    async def forget(self, scope: Scope, receipts: Sequence[Receipt]) -> None:
        """Drop receipts that still are as they were read, because their records are gone. Idempotent: yes."""
        table = record_receipts.c
        async with self._database.begin() as connection:
            for item in receipts:
                mine = (*_of(scope), table.record_id == item.record_id, table.run_id == item.run_id)
                await connection.execute(delete(record_receipts).where(*mine))

    async def reports(self, organization_id: str, integration_id: str) -> list[str]:
        """Return the reports that an integration has been brought up to date with."""
        table = sync_watermarks.c
        statement = (
            select(table.report_id)
            .where(table.organization_id == organization_id, table.integration_id == integration_id)
            .distinct()
        )
        async with self._database.begin() as connection:
            return [str(row[0]) for row in (await connection.execute(statement)).all()]

    async def record(self, scope: Scope, receipts: Sequence[Receipt]) -> None:
        """Write what the vendor acknowledged. Idempotent: yes, by record id.

        Args:
            scope: where the records stand.
            receipts: at most one per record id.
        """
        now = datetime.now(UTC)
        async with self._database.begin() as connection:
            for chunk in _chunks(receipts):
                statement = self._database.insert(record_receipts).values([_row(scope, item, now) for item in chunk])
                changed = [name for name in _row(scope, receipts[0], now) if name not in _KEY]
                await connection.execute(
                    statement.on_conflict_do_update(
                        index_elements=_KEY,
                        set_={name: statement.excluded[name] for name in changed},
                    )
                )

    async def watermark(self, scope: Scope, report_id: str) -> datetime | None:
        """Return the instant up to which the report has been synced, None before the first run."""
        table = sync_watermarks.c
        statement = select(table.watermark).where(
            table.organization_id == scope.organization_id,
            table.integration_id == scope.integration_id,
            table.object_type == scope.object_type,
            table.report_id == report_id,
        )
        async with self._database.begin() as connection:
            found: datetime | None = (await connection.execute(statement)).scalar()
        return None if found is None else _aware(found)

    async def advance(self, scope: Scope, report_id: str, watermark: datetime) -> None:
        """Move the watermark forward; an earlier instant changes nothing. Idempotent: yes."""
        statement = self._database.insert(sync_watermarks).values(
            organization_id=scope.organization_id,
            integration_id=scope.integration_id,
            object_type=scope.object_type,
            report_id=report_id,
            watermark=watermark.astimezone(UTC),
        )
        current, proposed = sync_watermarks.c.watermark, statement.excluded.watermark
        statement = statement.on_conflict_do_update(
            index_elements=["organization_id", "integration_id", "object_type", "report_id"],
            set_={"watermark": case((and_(current.is_not(None), current > proposed), current), else_=proposed)},
        )
        async with self._database.begin() as connection:
            await connection.execute(statement)


def _of(scope: Scope) -> list[ColumnElement[bool]]:
    table = record_receipts.c
    return [
        table.organization_id == scope.organization_id,
        table.integration_id == scope.integration_id,
        table.object_type == scope.object_type,
    ]


def _row(scope: Scope, receipt: Receipt, now: datetime) -> dict[str, object]:
    return {
        "organization_id": scope.organization_id,
        "integration_id": scope.integration_id,
        "object_type": scope.object_type,
        "record_id": receipt.record_id,
        "fingerprint": receipt.fingerprint,
        "remote_id": receipt.remote_id,
        "run_id": receipt.run_id,
        "outcome": receipt.outcome.value,
        "synced_at": now,
        "target_fingerprint": receipt.target_fingerprint,
        "report_id": receipt.report_id,
        "source_at": receipt.source_at,
    }


def _receipt(row: Any) -> Receipt:
    record_id, fingerprint, remote_id, run_id, outcome, target, report_id, at = row
    known = (record_id, fingerprint, remote_id, run_id, RecordStatus(outcome))
    return Receipt(*known, target, report_id, _aware(at) if at else None)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _chunks(items: Iterable[T]) -> Iterable[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
