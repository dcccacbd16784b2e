"""The steps of a load in one session of a warehouse, and what a session is to them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.model import LOADS_TABLE, Table
from contracts.etl import EtlBatch

MARTS_LAYER = "MARTS"
Counts = tuple[int, int, int]
"""Facts created, facts updated, versions added."""


class SqlSession(Protocol):
    """One session at a warehouse, used by one step at a time."""

    def run(self, operation: str, sql: str, *, writes: bool = True) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows, none for a statement that yields none.

        Args:
            operation: what is done, for errors, such as `facts.merge`.
            sql: the statement.
            writes: whether a lost answer leaves the outcome open.

        Raises:
            WedSyncError: classified by the driver's or the service's error codes.
        """
        ...

    def transaction(self, operation: str) -> AbstractContextManager[None]:
        """Commit what the block did, or roll all of it back; no more than the block where there are none.

        Raises:
            OutcomeUnknown: the answer to the commit was lost.
        """
        ...

    def stage(self, operation: str, directory: str, files: Sequence[Path]) -> None:
        """Put local files where the warehouse reads them, under `directory` and their own names; replaces."""
        ...

    def append(self, operation: str, table: Table, batch_id: str, directory: str, names: Sequence[str]) -> None:
        """Append the staged files' rows, all of one batch, to a table of the same columns.

        Where there are no transactions, they replace the batch's rows in one statement.
        """
        ...

    def unstage(self, operation: str, directory: str, names: Sequence[str]) -> None:
        """Remove staged files."""
        ...


class Steps:
    """What the steps of a load share.

    Args:
        session: the open session.
        dialect: how its warehouse spells statements.
        system: the warehouse's name, for errors.
    """

    def __init__(self, session: SqlSession, dialect: Dialect, system: str) -> None:
        self._session = session
        self._dialect = dialect
        self._system = system

    def _held(self, table: Table, batch: EtlBatch) -> int:
        mine = f"BATCH_ID = {self._dialect.text(batch.etl_id)}"
        return self._number("rows.count", f"SELECT COUNT(*) FROM {table.name} WHERE {mine}")

    def _record(self, batch: EtlBatch, layer: str, digest: str | None, rows: int, counts: Counts = (0, 0, 0)) -> None:
        text = self._dialect.text
        values = [
            *(text(batch.etl_id), text(layer), "NULL" if digest is None else text(digest), text(batch.run_id)),
            *(self._dialect.day(batch.as_of), "COALESCE(MAX(SEQUENCE), 0) + 1", str(rows), *map(str, counts)),
            self._dialect.instant(datetime.now(UTC)),
        ]
        self._session.run(
            "loads.write", self._dialect.insert(LOADS_TABLE, f"SELECT {', '.join(values)} FROM {LOADS_TABLE.name}")
        )

    def _counts(self, tables: Sequence[str]) -> dict[str, int]:
        counts = " UNION ALL ".join(f"SELECT '{table}', COUNT(*) FROM {table}" for table in tables)
        return {str(table): int(rows) for table, rows in self._rows("rows.count", counts)}

    def _number(self, operation: str, sql: str) -> int:
        return int(self._rows(operation, sql)[0][0])

    def _rows(self, operation: str, sql: str) -> list[tuple[Any, ...]]:
        return self._session.run(operation, sql, writes=False)
