"""The loader of every warehouse: layers, marts and analytics over one session, each step found again when repeated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from activities.connectors.warehouse.analytics import analytics, usual_query
from activities.connectors.warehouse.dialect import Dialect, path_part
from activities.connectors.warehouse.model import (
    ANALYTICS,
    DATES_TABLE,
    DIMENSIONS,
    FACT_TABLE,
    FIRST_DAY,
    FOREVER,
    LOADS_TABLE,
    LOCKS,
    LOCKS_TABLE,
    MART_TABLES,
    NEXT_DATES,
    NEXT_FACTS,
    RAW_TABLE,
    SCHEMAS,
    STAGING_TABLE,
    TABLES,
    Dimension,
    Table,
)
from activities.connectors.warehouse.statements import CHANGES, CREATED, UPDATED, Statements, later_loads
from activities.ports.warehouse import LayerFiles
from contracts.errors import Owner, Permanent, WedSyncError
from contracts.etl import EtlBatch, Layer, LayerLoaded, MartsLoaded, Optimized, TableOptimization, TablesBuilt
from contracts.integration import ProvisionResult

_LAYERS = {Layer.RAW: RAW_TABLE, Layer.STAGING: STAGING_TABLE}
_MARTS = "MARTS"


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


class Loader:
    """The steps of a load in one session.

    Args:
        session: the open session.
        dialect: how its warehouse spells statements.
        system: the warehouse's name, for errors.
    """

    def __init__(self, session: SqlSession, dialect: Dialect, system: str) -> None:
        self._session = session
        self._dialect = dialect
        self._system = system

    def provision(self) -> ProvisionResult:
        """Create what is missing, tables that exist getting the columns they lack; nothing is ever replaced."""
        found: dict[str, set[str]] = {}
        for schema, table, column in self._rows("schema.read", self._dialect.existing_columns(SCHEMAS)):
            found.setdefault(f"{schema}.{table}".upper(), set()).add(str(column).upper())
        missing = [table for table in TABLES if table.name not in found]
        if missing:
            for schema in SCHEMAS:
                self._session.run("schema.create", self._dialect.create_schema(schema))
        for table in TABLES:
            if table in missing:
                self._session.run("schema.create", self._dialect.create_table(table))
                continue
            for column in table.columns:
                if column.name not in found[table.name]:
                    self._session.run("schema.extend", self._dialect.add_column(table, column))
        self._first_rows()
        existing = [table.name for table in TABLES if table not in missing]
        return ProvisionResult(created=sorted(table.name for table in missing), existing=sorted(existing))

    def _first_rows(self) -> None:
        """Insert the lock rows and the unknown members where they are missing."""
        if self._number("schema.first_rows", f"SELECT COUNT(*) FROM {LOCKS_TABLE.name}") >= len(LOCKS):
            return
        for dimension in DIMENSIONS:
            first, forever = self._dialect.day(FIRST_DAY), self._dialect.day(FOREVER)
            names = (dimension.key, *dimension.business_key, "EFFECTIVE_DATE", "EXPIRY_DATE", "VERSION")
            unknown = ", ".join(["'(unknown)'"] * dimension.key_fields)
            row = f"SELECT 0, {unknown}, {first}, {forever}, 1"
            self._session.run("schema.first_rows", _unless_there(dimension.table, names, row, f"{dimension.key} = 0"))
        for name in LOCKS:
            row = _unless_there(LOCKS_TABLE, ("NAME", "CHANGES"), f"SELECT '{name}', 0", f"NAME = '{name}'")
            self._session.run("schema.first_rows", row)

    def load_layer(self, batch: EtlBatch, files: LayerFiles) -> LayerLoaded:
        """Load files into RAW or STAGING; found again by digest.

        Raises:
            Permanent: `rows_miscounted`, nothing was committed.
        """
        table, layer = _LAYERS[files.layer], files.layer.upper()
        if self._finished(batch, layer, files.digest):
            return LayerLoaded(rows=self._held(table, batch), replayed=True)
        directory = f"{path_part(batch.organization_id)}/{path_part(batch.etl_id)}"
        names = [path.name for path in files.files]
        if names:
            self._session.stage(f"{layer}.put", directory, files.files)
        with self._session.transaction(f"{layer}.load"):
            self._session.run(f"{layer}.lock", self._dialect.lock(LOCKS_TABLE, layer, batch.etl_id))
            if self._finished(batch, layer, files.digest):
                return LayerLoaded(rows=self._held(table, batch), replayed=True)
            self._forget(batch, layer, table)
            if names:
                self._session.append(f"{layer}.copy", table, batch.etl_id, directory, names)
            held = self._held(table, batch)
            if held != files.rows:
                raise self._miscounted(table, held, files.rows)
            self._record(batch, layer, files.digest, held)
        if names:
            with suppress(WedSyncError):
                self._session.unstage(f"{layer}.remove", directory, names)
        return LayerLoaded(rows=held)

    def _forget(self, batch: EtlBatch, layer: str, table: Table) -> None:
        """Remove an earlier content of the same batch, and what is noted of it, inside the open transaction."""
        mine = f"BATCH_ID = {self._dialect.text(batch.etl_id)}"
        if not self._number(f"{layer}.count", f"SELECT COUNT(*) FROM {LOADS_TABLE.name} WHERE {mine}"):
            return
        self._session.run(f"{layer}.forget", f"DELETE FROM {table.name} WHERE {mine}")
        noted = (layer, _MARTS) if layer == Layer.STAGING.upper() else (layer,)
        for name in noted:
            self._session.run(f"{layer}.forget", f"DELETE FROM {LOADS_TABLE.name} WHERE {mine} AND LAYER = '{name}'")

    def load_marts(self, batch: EtlBatch) -> MartsLoaded:
        """Bring the batch into dimensions and facts; a finished batch is not brought again."""
        rows = self._held(STAGING_TABLE, batch)
        earlier = self._earlier_marts(batch)
        if earlier is None:
            with self._session.transaction("marts.load"):
                self._session.run("marts.lock", self._dialect.lock(LOCKS_TABLE, _MARTS, batch.etl_id))
                earlier = self._earlier_marts(batch)
                if earlier is None:
                    earlier = self._bring(batch, rows)
        run_id, created, updated, versions = earlier
        if run_id != batch.run_id:
            created = updated = versions = 0
        return MartsLoaded(
            created=created,
            updated=updated,
            unchanged=max(rows - created - updated, 0),
            standing=self._number("facts.verify", self._statements(batch).standing()),
            dimension_rows=versions,
            tables=self._counts([table.name for table in MART_TABLES]),
        )

    def _earlier_marts(self, batch: EtlBatch) -> tuple[str, int, int, int] | None:
        found = self._rows(
            "loads.read",
            f"SELECT RUN_ID, ROWS_CREATED, ROWS_UPDATED, DIMENSION_ROWS FROM {LOADS_TABLE.name} "
            f"WHERE BATCH_ID = {self._dialect.text(batch.etl_id)} AND LAYER = '{_MARTS}'",
        )
        return (str(found[0][0]), int(found[0][1]), int(found[0][2]), int(found[0][3])) if found else None

    def _bring(self, batch: EtlBatch, rows: int) -> tuple[str, int, int, int]:
        statements = self._statements(batch)
        if self._refill(NEXT_DATES, statements.dates()):
            self._merge(DATES_TABLE, NEXT_DATES, "DATE_SK")
        versions = changes = 0
        for dimension in DIMENSIONS:
            added, written = self._bring_dimension(statements, dimension)
            versions, changes = versions + added, changes + written
        changes += self._refill(NEXT_FACTS, statements.facts())
        kinds = {str(kind): int(count) for kind, count in self._rows("facts.count", CHANGES)}
        if kinds:
            self._merge(FACT_TABLE, NEXT_FACTS, "WEDDING_ID")
        if changes:
            self._session.run(
                "marts.mark", f"UPDATE {LOCKS_TABLE.name} SET CHANGES = CHANGES + 1 WHERE NAME = '{_MARTS}'"
            )
        counts = kinds.get(CREATED, 0), kinds.get(UPDATED, 0), versions
        self._record(batch, _MARTS, None, rows, counts)
        return batch.run_id, *counts

    def _bring_dimension(self, statements: Statements, dimension: Dimension) -> tuple[int, int]:
        """Write the dimension's versions and lead the facts to them; returns versions added, and written in all."""
        anew = statements.late
        if not self._refill(dimension.incoming, statements.incoming(dimension, anew=anew)):
            return 0, 0
        if not anew and self._number("versions.count", statements.begun_today(dimension)):
            anew = True
            self._refill(dimension.incoming, statements.incoming(dimension, anew=True))
        written = self._refill(dimension.next, statements.versions(dimension, anew=anew))
        [(added, known)] = self._rows("versions.count", statements.new_versions(dimension))
        self._merge(dimension.table, dimension.next, dimension.key)
        if (int(known) or anew) and self._refill(NEXT_FACTS, statements.moved_facts(dimension, anew=anew)):
            self._merge(FACT_TABLE, NEXT_FACTS, "WEDDING_ID")
        if anew:
            self._session.run(f"{dimension.table.name}.drop", statements.drop_versions(dimension))
        return int(added), written

    def build_analytics(self, batch: EtlBatch) -> TablesBuilt:
        """Replace the ANALYTICS tables when the marts have changed since they were built."""
        queries = analytics(self._dialect)
        found = self._rows("marks.read", f"SELECT NAME, CHANGES FROM {LOCKS_TABLE.name}")
        marks = {str(name): int(count) for name, count in found}
        columns = self._rows("schema.read", self._dialect.existing_columns([ANALYTICS]))
        existing = {f"{schema}.{table}".upper() for schema, table, _ in columns}
        current = marks[_MARTS] == marks["ANALYTICS"] and queries.keys() <= existing
        if not current:
            for table, query in queries.items():
                for statement in self._dialect.replace(table, query):
                    self._session.run(f"{table}.replace", statement)
            self._session.run(
                "marks.write",
                f"UPDATE {LOCKS_TABLE.name} SET CHANGES = {marks[_MARTS]}, HOLDER = {self._dialect.text(batch.etl_id)} "
                "WHERE NAME = 'ANALYTICS'",
            )
        return TablesBuilt(tables=self._counts(list(queries)), rebuilt=not current)

    def optimize(self) -> Optimized:
        """Arrange the facts and the versions; the usual query is timed before the first change and after each."""
        tables = (FACT_TABLE, *(dimension.table for dimension in DIMENSIONS))
        changes = [(table, *change) for table in tables for change in self._dialect.arrangements(table)]
        usual = self._usual_query() if changes else {}
        done = []
        for table, action, statement in changes:
            before = usual | self._figures(table)
            self._session.run(f"{table.name}.arrange", statement)
            usual = self._usual_query()
            after = usual | self._figures(table)
            done.append(TableOptimization(table=table.name, action=action, before=before, after=after))
        return Optimized(optimizations=done)

    def _usual_query(self) -> dict[str, float]:
        started = time.perf_counter()
        self._rows("usual_query", usual_query(self._dialect))
        return {"queryMs": round((time.perf_counter() - started) * 1_000, 1)}

    def _figures(self, table: Table) -> dict[str, float]:
        names, query = self._dialect.figures(table)
        found: dict[str, float] = {}
        for row in self._rows(f"{table.name}.figures", query):
            found |= {name: float(value) for name, value in zip(names, row, strict=True)}
        return found

    def _statements(self, batch: EtlBatch) -> Statements:
        late = self._number("loads.read", later_loads(self._dialect, batch.etl_id, batch.as_of)) > 0
        return Statements(self._dialect, batch.etl_id, batch.as_of, datetime.now(UTC), late=late)

    def _refill(self, table: Table, select: str) -> int:
        """Fill one of the loader's own tables anew; returns its rows."""
        for statement in self._dialect.refill(table, select):
            self._session.run(f"{table.name}.fill", statement)
        return self._number(f"{table.name}.count", f"SELECT COUNT(*) FROM {table.name}")

    def _merge(self, table: Table, source: Table, key: str) -> None:
        self._session.run(f"{table.name}.merge", self._dialect.merge(table, source, key))

    def _held(self, table: Table, batch: EtlBatch) -> int:
        mine = f"BATCH_ID = {self._dialect.text(batch.etl_id)}"
        return self._number("rows.count", f"SELECT COUNT(*) FROM {table.name} WHERE {mine}")

    def _finished(self, batch: EtlBatch, layer: str, digest: str) -> bool:
        text = self._dialect.text
        statement = (
            f"SELECT COUNT(*) FROM {LOADS_TABLE.name} WHERE BATCH_ID = {text(batch.etl_id)} "
            f"AND LAYER = {text(layer)} AND DIGEST = {text(digest)}"
        )
        return self._number("loads.read", statement) > 0

    def _record(
        self, batch: EtlBatch, layer: str, digest: str | None, rows: int, counts: tuple[int, int, int] = (0, 0, 0)
    ) -> None:
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

    def _miscounted(self, table: Table, held: int, expected: int) -> Permanent:
        return Permanent(
            "rows_miscounted",
            f"{table.name} holds {held} rows of this load where {expected} were sent; nothing was committed.",
            owner=Owner.ENGINEER,
            action="Compare the staged files with the table and start the load again.",
            system=self._system,
            operation="rows.count",
            evidence={"held": held, "expected": expected},
        )


def _unless_there(table: Table, names: Sequence[str], row: str, there: str) -> str:
    """Return the INSERT of one row unless a row is there already."""
    return (
        f"INSERT INTO {table.name} ({', '.join(names)}) {row} "
        f"FROM (SELECT 1 AS ONE_ROW) o WHERE NOT EXISTS (SELECT 1 FROM {table.name} WHERE {there})"
    )
