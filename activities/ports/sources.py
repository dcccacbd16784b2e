"""The Protocols of connectors that are read from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from activities.ports.connector import Connector
from contracts.wedding import WeddingEvent


@dataclass(frozen=True)
class SourcePage:
    """One page of records; `cursor` resumes after it, None on the last page."""

    records: Sequence[Mapping[str, JsonValue]]
    cursor: str | None
    as_of: str | None = None


@runtime_checkable
class SourceConnector(Connector, Protocol):
    """A source of report records, and of the newest facts of a wedding (capability `source`)."""

    def pages(
        self,
        report_id: str,
        *,
        cursor: str | None = None,
        updated_since: str | None = None,
        record_ids: Sequence[str] = (),
    ) -> AsyncIterator[SourcePage]:
        """Yield the report's pages from `cursor` on.

        Args:
            report_id: the report.
            cursor: where an earlier reading stopped.
            updated_since: ISO instant; only records changed at or after it.
            record_ids: only these records, where any are named.

        Raises:
            InvalidInput: no such report.
        """
        ...

    async def wedding(self, wedding_id: str) -> WeddingEvent:
        """Return a wedding as it is now, restated with the newest event about each fact and the last one's number.

        Raises:
            InvalidInput: no such wedding.
            Transient: no usable answer.
        """
        ...


@runtime_checkable
class TableConnector(Connector, Protocol):
    """A database whose tables are read as reports, which its integration's settings define (capability `tables`)."""

    async def columns(self, report_id: str) -> Sequence[str]:
        """Return the names of the report's columns, in order.

        Raises:
            InvalidInput: no such report.
            Permanent: the table or a column of the report is not there, or may not be read.
        """
        ...

    async def export(self, report_id: str, into: Path, since: datetime | None, before: datetime | None) -> None:
        """Write the report's rows, as they stand in one moment, into a CSV file with a header.

        Args:
            report_id: a report of the settings.
            into: the file.
            since: only rows changed at or after this instant.
            before: only rows changed before this instant.

        Raises:
            InvalidInput: no such report, or it has no column that tells when a row changed.
            Transient: the database does not answer.
        """
        ...
