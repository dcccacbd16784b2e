"""The loader of every warehouse: layers, marts and analytics over one session, each step found again when repeated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from activities.connectors.warehouse.analytics import analytics, usual_query
from activities.connectors.warehouse.dialect import path_part
from activities.connectors.warehouse.marts import PARTS, Marts
from activities.connectors.warehouse.model import (
    ANALYTICS,
    DIMENSIONS,
    FACT_TABLE,
    FIRST_DAY,
    FOREVER,
    LOADS_TABLE,
    LOCKS,
    LOCKS_TABLE,
    RAW_TABLE,
    SCHEMAS,
    STAGING_TABLE,
    TABLES,
    Table,
)
from activities.connectors.warehouse.steps import MARTS_LAYER, Steps
from activities.ports.warehouse import LayerFiles
from contracts.errors import Owner, Permanent, WedSyncError
from contracts.etl import EtlBatch, Layer, LayerLoaded, MartsLoaded, Optimized, TableOptimization, TablesBuilt
from contracts.integration import ProvisionResult

_LAYERS = {Layer.RAW: RAW_TABLE, Layer.STAGING: STAGING_TABLE}


class Loader(Steps):
    """The steps of a load, each found again when repeated."""

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
            Permanent: `rows_miscounted`, the load does not count as done.
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
        noted = (layer, MARTS_LAYER, *PARTS) if layer == Layer.STAGING.upper() else (layer,)
        for name in noted:
            self._session.run(f"{layer}.forget", f"DELETE FROM {LOADS_TABLE.name} WHERE {mine} AND LAYER = '{name}'")

    def load_marts(self, batch: EtlBatch) -> MartsLoaded:
        """Bring the batch into dimensions and facts; a finished batch is not brought again."""
        return Marts(self._session, self._dialect, self._system).load(batch)

    def build_analytics(self, batch: EtlBatch) -> TablesBuilt:
        """Replace the ANALYTICS tables when the marts have changed since they were built."""
        queries = analytics(self._dialect)
        found = self._rows("marks.read", f"SELECT NAME, CHANGES FROM {LOCKS_TABLE.name}")
        marks = {str(name): int(count) for name, count in found}
        columns = self._rows("schema.read", self._dialect.existing_columns([ANALYTICS]))
        existing = {f"{schema}.{table}".upper() for schema, table, _ in columns}
        changes = marks[MARTS_LAYER]
        current = changes == marks["ANALYTICS"] and queries.keys() <= existing
        if not current:
            for table, query in queries.items():
                for statement in self._dialect.replace(table, query):
                    self._session.run(f"{table}.replace", statement)
            self._session.run(
                "marks.write",
                f"UPDATE {LOCKS_TABLE.name} SET CHANGES = {changes}, HOLDER = {self._dialect.text(batch.etl_id)} "
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

    def _finished(self, batch: EtlBatch, layer: str, digest: str) -> bool:
        text = self._dialect.text
        statement = (
            f"SELECT COUNT(*) FROM {LOADS_TABLE.name} WHERE BATCH_ID = {text(batch.etl_id)} "
            f"AND LAYER = {text(layer)} AND DIGEST = {text(digest)}"
        )
        return self._number("loads.read", statement) > 0

    def _miscounted(self, table: Table, held: int, expected: int) -> Permanent:
        return Permanent(
            "rows_miscounted",
            f"{table.name} holds {held} rows of this load where {expected} were sent; the load was not finished.",
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
