"""One report on its way from the source into staged parts, resumable after every page."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from activities.ports.sources import SourcePage
from activities.storage.dead_letters import DueLetter
from activities.sync_parts import Parts, StagedRecord
from activities.transform.conflicts import changed_at
from activities.transform.drift import count_kinds, drift_of, known_fields, objection
from activities.transform.files import MALFORMED, PAGE_ROWS
from activities.transform.records import Mapper, Record, Rules, Selection, content, digest, record_id
from contracts.dataset import DatasetRef, DataSource, SourceFormat
from contracts.errors import InvalidInput, Owner, Permanent, Transient, WedSyncError
from contracts.integration import FieldMapping, TransformationRule
from contracts.sync import Books, DataFilter
from contracts.sync_schema import KnownFields, SchemaPolicy
from contracts.sync_steps import MAX_INLINE_PARTS, ExtractedReport, ExtractProgress

_MOST_IDLE_PAGES = 20
_MOST_CIRCLES = 4
"""Attempts in a row that end in a circle before it is taken for lasting."""
_NO_ID = "it has no opaque id of at most 64 characters"


class RecordPlan(Protocol):
    """What an extraction needs to know."""

    @property
    def source(self) -> DataSource:
        """Where the records come from."""

    @property
    def filters(self) -> Sequence[DataFilter]:
        """Which records belong to the extract."""

    @property
    def rules(self) -> Sequence[TransformationRule]:
        """Which of those are good."""

    @property
    def mapping(self) -> Sequence[FieldMapping]:
        """What is made of the good ones."""

    @property
    def schema_policy(self) -> SchemaPolicy:
        """What becomes of records whose fields are not those known."""

    @property
    def known_fields(self) -> KnownFields:
        """The fields of earlier extracts; none where nobody compares."""

    @property
    def record_ids(self) -> Sequence[str]:
        """The only records wanted; all when empty."""


class Seen:
    """The ids and contents already taken, on disk, so that memory does not grow with the report."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "seen.db", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (key TEXT PRIMARY KEY) WITHOUT ROWID")

    @contextmanager
    def page(self) -> Iterator[None]:
        """Write what the block notes at its end, which is far faster than one by one."""
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.execute("COMMIT")

    def fresh(self, key: str) -> bool:
        """Note `key` and return whether it was not known before."""
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,)).rowcount == 1

    def note(self, keys: Sequence[str]) -> None:
        """Note all of `keys`."""
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?)", ((key,) for key in keys))

    def close(self) -> None:
        """Release the file."""
        self._database.close()


class Extraction:
    """Takes pages, stages parts of at most 1,000 records, and says after each page where to resume.

    Args:
        plan: filters, rules and mapping.
        parts: where the run's parts are staged.
        folder: a private scratch directory.
        progress: the resume point of an earlier attempt, or a fresh one.
        resumable: whether a later attempt may go on from here; without, nothing is staged for it alone.
    """

    def __init__(
        self, plan: RecordPlan, parts: Parts, folder: Path, progress: ExtractProgress, *, resumable: bool = True
    ) -> None:
        self._plan = plan
        self._parts = parts
        self._resumable = resumable
        self._selection = Selection(plan.filters)
        self._rules = Rules(plan.rules)
        self._seen = Seen(folder)
        self._buffer: list[StagedRecord] = []
        self._cursors = {progress.cursor}
        self._mapper: Mapper | None = None
        self._unmapped = ""
        self._idle = 0
        self._quarantines = plan.schema_policy is SchemaPolicy.QUARANTINE
        self._needed = {item.source for item in plan.mapping if item.source} or set(plan.known_fields)
        self.progress = progress

    async def restore(self) -> None:
        """Read back what an earlier attempt staged: the ids it took, and the records that fill no part yet."""
        progress = self.progress
        staged = [ref for segment in progress.segments for ref in await self._parts.read(segment, DatasetRef)]
        for ref in [*staged, *progress.parts]:
            await asyncio.to_thread(self._remember, await self._parts.read(ref, StagedRecord))
        if progress.tail is not None:
            self._buffer = await self._parts.read(progress.tail, StagedRecord)
            await asyncio.to_thread(self._remember, self._buffer)

    async def take(self, page: SourcePage) -> ExtractProgress:
        """Select, map and stage one page; return the point from which a lost worker resumes.

        Raises:
            InvalidInput: a column that a filter or the mapping needs is missing.
            Transient: `source_cursor_repeated`, the source leads in a circle; `source_without_end`, it goes on without
                saying anything new. Permanent, when it has been so for several attempts.
        """
        if page.cursor is not None and page.cursor in self._cursors:
            raise self._endless("source_cursor_repeated", "handed out a cursor twice, which would read a page for ever")
        self._cursors.add(page.cursor)
        before = len(self._buffer)
        await asyncio.to_thread(self._absorb, page.records)
        added = self._buffer[before:]
        self._idle = 0 if added or self._anything_new(page.records) else self._idle + 1
        if self._idle > _MOST_IDLE_PAGES:
            raise self._endless(
                "source_without_end", f"handed out {self._idle} pages in a row with nothing new on them"
            )
        self._advance(
            cursor=page.cursor,
            done=page.cursor is None,
            position=self.progress.position + len(page.records),
            read=self.progress.read + len(added),
            rejected=self.progress.rejected + sum(bool(row.rejected) for row in added),
            watermark=self.progress.watermark or _instant(page.as_of),
        )
        await self._keep_tail()
        return self.progress

    async def take_letters(self, letters: Sequence[DueLetter]) -> ExtractProgress:
        """Map and stage the dead letters that are due, after the source's end: what it handed over itself is newer."""
        before = len(self._buffer)
        await asyncio.to_thread(self._absorb_letters, letters)
        added = self._buffer[before:]
        taken = Books(read=len(added), rejected=sum(bool(row.rejected) for row in added))
        self._advance(
            read=self.progress.read + taken.read, rejected=self.progress.rejected + taken.rejected, retried=taken
        )
        await self._keep_tail()
        return self.progress

    def _anything_new(self, records: Sequence[Record]) -> bool:
        # Records outside the filters are not among those taken, but they are progress.
        return sum(self._seen.fresh(f"~{digest(record)}") for record in records) > 0

    def _endless(self, code: str, what: str) -> WedSyncError:
        lasting = self.progress.budget.stalled >= _MOST_CIRCLES
        return (Permanent if lasting else Transient)(
            code,
            f"The report's source {what}.",
            owner=Owner.OPERATOR,
            action="If this lasts, report it to the owner of the source.",
            operation="sync.extract",
        )

    async def _keep_tail(self) -> None:
        while len(self._buffer) >= PAGE_ROWS:
            await self._stage(PAGE_ROWS)
        if self._resumable:
            tail = await self._parts.write(f"parts/tail-{self.progress.position}.ndjson", self._buffer)
            self._advance(tail=tail)

    async def close(self) -> ExtractedReport:
        """Stage the last part and return the extract."""
        if self._buffer:
            await self._stage(len(self._buffer))
        self._seen.close()
        progress, named = self.progress, len(set(self._plan.record_ids))
        sparse = self._plan.source.format is SourceFormat.NDJSON
        found = known_fields(progress.kinds)
        return ExtractedReport(
            parts=await self._parts.listed(progress.parts, progress.segments),
            read=progress.read,
            rejected=progress.rejected,
            columns=[item.target for item in self._plan.mapping] or progress.columns,
            # What was named says nothing about the rest of the report.
            watermark=None if named else progress.watermark,
            found_fields=found,
            drift=drift_of(self._plan.known_fields, found, sparse=sparse),
            absent=max(0, named - progress.read),
            retried=progress.retried or Books(),
        )

    async def _stage(self, size: int) -> None:
        number = len(self.progress.parts) + MAX_INLINE_PARTS * len(self.progress.segments)
        ref = await self._parts.write(f"parts/{number:06d}.ndjson", self._buffer[:size])
        del self._buffer[:size]
        parts = [*self.progress.parts, ref]
        if len(parts) == MAX_INLINE_PARTS:
            segment = await self._parts.write(f"parts/segment-{len(self.progress.segments):06d}.ndjson", parts)
            self._advance(parts=[], segments=[*self.progress.segments, segment])
        else:
            self._advance(parts=parts)

    def _advance(self, **changes: object) -> None:
        self.progress = self.progress.model_copy(update=changes)

    def _remember(self, rows: Sequence[StagedRecord]) -> None:
        for row in rows:
            self._seen.fresh(row.id)
            self._seen.fresh(f"={row.digest}")

    def _absorb(self, records: Sequence[Record]) -> None:
        self._bind(records)
        taken: list[tuple[StagedRecord, Record]] = []
        with self._seen.page():
            for offset, record in enumerate(records):
                row = self._identified(record, self.progress.position + offset) if self._wanted(record) else None
                if row is not None:
                    taken.append((row, record))
        good = [(row, record) for row, record in taken if not row.rejected]
        if good and self._mapper is not None:
            _map(self._mapper, good)
        elif self._unmapped:
            for row, _ in good:
                row.rejected = self._unmapped
        for row, record in taken:
            row.changed_at = changed_at(record)
            if self._resumable and (self._plan.mapping or row.rejected):
                row.source = json.dumps(record, separators=(",", ":"), default=str)
        self._buffer += [row for row, _ in taken]

    def _wanted(self, record: Record) -> bool:
        named = self._plan.record_ids
        if named and record_id(record) not in named:
            return False
        return MALFORMED in record or self._selection.takes(record)

    def _absorb_letters(self, letters: Sequence[DueLetter]) -> None:
        alike: dict[tuple[str, ...], list[tuple[StagedRecord, Record]]] = {}
        for letter in letters:
            record: Record = json.loads(letter.source)
            identity = record_id(record)
            known_id = identity or letter.record_id
            if not self._seen.fresh(known_id) or not self._selection.takes(record):
                continue
            row = StagedRecord(id=known_id, digest=digest(record), source=letter.source, anonymous=not identity)
            row.decision, row.asks, row.changed_at = letter.decision, letter.asks, changed_at(record)
            row.rejected = _NO_ID if identity is None else self._rules.objection(record)
            self._buffer.append(row)
            if not row.rejected:
                alike.setdefault(tuple(record), []).append((row, record))
        for columns, rows in alike.items():
            try:
                _map(Mapper(self._plan.mapping, columns), rows)
            except InvalidInput as error:
                # The letters are from before a change of the mapping or of the report; the others go on.
                for row, _ in rows:
                    row.rejected = error.detail.message

    def _bind(self, records: Sequence[Record]) -> None:
        found = list(dict.fromkeys(name for record in records for name in record if name != MALFORMED))
        known = self.progress.columns
        # Lines of NDJSON may leave fields out; elsewhere every page shows every column, so a lost one is drift.
        sparse = self._plan.source.format is SourceFormat.NDJSON
        columns = list(dict.fromkeys([*known, *found])) if sparse or not found else found
        if columns and (self._mapper is None or columns != known):
            self._rebind(columns)
            self._advance(columns=list(dict.fromkeys([*known, *columns])))
        self._advance(kinds=count_kinds(records, found, self.progress.kinds))

    def _rebind(self, columns: Sequence[str]) -> None:
        """Bind filters and mapping to the columns there are; what a quarantined report lacks is its records' fault.

        Raises:
            InvalidInput: `missing_column`.
        """
        self._mapper, self._unmapped = None, ""
        try:
            self._selection.check(columns)
            self._mapper = Mapper(self._plan.mapping, columns)
        except InvalidInput as error:
            if not self._quarantines:
                raise
            self._unmapped = error.detail.message

    def _misfit(self, record: Record) -> str:
        return objection(record, self._plan.known_fields, self._needed) if self._quarantines else ""

    def _identified(self, record: Record, position: int) -> StagedRecord | None:
        """Return the record under its id, None when pages overlap and it is already taken."""
        found, is_writable = content(record)
        if not self._seen.fresh(f"={found}"):
            return None
        row = StagedRecord(id=f"record-{position + 1}", digest=found, anonymous=True)
        identity = record_id(record)
        if MALFORMED in record:
            row.rejected, row.final = str(record[MALFORMED]), True
        elif not is_writable:
            row.rejected, row.final = "its text is not valid Unicode", True
        elif identity is None:
            row.rejected = _NO_ID
        elif not self._seen.fresh(identity):
            row.id, row.rejected = identity, "duplicate: another record of this run has the same id"
            row.anonymous, row.final = False, True
        else:
            row.id, row.rejected, row.anonymous = identity, self._misfit(record) or self._rules.objection(record), False
        return row


def _map(mapper: Mapper, rows: Sequence[tuple[StagedRecord, Record]]) -> None:
    mapped = mapper.map([record for _, record in rows])
    for (row, _), (properties, problem) in zip(rows, mapped, strict=True):
        row.rejected = problem
        row.properties = {} if problem else properties


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
