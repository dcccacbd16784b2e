"""How a load is brought into dimensions and facts, in one transaction or in statements that can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from activities.connectors.warehouse.model import (
    DATES_TABLE,
    DIMENSIONS,
    FACT_TABLE,
    LOADS_TABLE,
    LOCKS_TABLE,
    MART_TABLES,
    NEXT_DATES,
    NEXT_FACTS,
    STAGING_TABLE,
    Dimension,
    Table,
)
from activities.connectors.warehouse.statements import CHANGES, CREATED, UPDATED, Statements, later_loads
from activities.connectors.warehouse.steps import MARTS_LAYER, Counts, Steps
from contracts.etl import EtlBatch, MartsLoaded


def _part(table: Table) -> str:
    """Return what ETL_LOADS calls the part of a load that writes a table of the marts."""
    return table.name.rpartition(".")[2]


PARTS = tuple(_part(table) for table in (FACT_TABLE, *(dimension.table for dimension in DIMENSIONS)))


class Marts(Steps):
    """The step that brings what STAGING holds of a load into the marts."""

    def load(self, batch: EtlBatch) -> MartsLoaded:
        """Bring the batch into dimensions and facts; a finished batch is not brought again."""
        rows = self._held(STAGING_TABLE, batch)
        earlier = self._earlier_marts(batch)
        if earlier is None:
            with self._session.transaction("marts.load"):
                self._session.run("marts.lock", self._dialect.lock(LOCKS_TABLE, MARTS_LAYER, batch.etl_id))
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
            f"WHERE BATCH_ID = {self._dialect.text(batch.etl_id)} AND LAYER = '{MARTS_LAYER}'",
        )
        return (str(found[0][0]), int(found[0][1]), int(found[0][2]), int(found[0][3])) if found else None

    def _bring(self, batch: EtlBatch, rows: int) -> tuple[str, int, int, int]:
        statements, begun = self._statements(batch), self._begun(batch)
        if self._refill(NEXT_DATES, statements.dates()):
            self._merge(DATES_TABLE, NEXT_DATES, "DATE_SK")
        versions, changes = 0, len(begun)
        for dimension in DIMENSIONS:
            added, written = self._bring_dimension(batch, statements, dimension, begun)
            versions, changes = versions + added, changes + written
        changes += self._refill(NEXT_FACTS, statements.facts())
        kinds = {str(kind): int(count) for kind, count in self._rows("facts.count", CHANGES)}
        created, updated, _ = self._begin(
            batch, FACT_TABLE, begun, (kinds.get(CREATED, 0), kinds.get(UPDATED, 0), 0) if kinds else None
        )
        if kinds:
            self._merge(FACT_TABLE, NEXT_FACTS, "WEDDING_ID")
        if changes:
            self._session.run(
                "marts.mark", f"UPDATE {LOCKS_TABLE.name} SET CHANGES = CHANGES + 1 WHERE NAME = '{MARTS_LAYER}'"
            )
        self._record(batch, MARTS_LAYER, None, rows, (created, updated, versions))
        return batch.run_id, created, updated, versions

    def _bring_dimension(
        self, batch: EtlBatch, statements: Statements, dimension: Dimension, begun: Mapping[str, Counts]
    ) -> tuple[int, int]:
        """Write the dimension's versions and lead the facts to them; returns versions added, and written in all.

        What was begun before is told anew: by what it wrote, its members look unchanged, while facts may still lead to
        the versions before.
        """
        anew = statements.late or _part(dimension.table) in begun
        if not self._refill(dimension.incoming, statements.incoming(dimension, anew=anew)):
            return 0, 0
        if not anew and self._number("versions.count", statements.begun_today(dimension)):
            anew = True
            self._refill(dimension.incoming, statements.incoming(dimension, anew=True))
        written = self._refill(dimension.next, statements.versions(dimension, anew=anew))
        [(added, known)] = self._rows("versions.count", statements.new_versions(dimension))
        *_, noted = self._begin(batch, dimension.table, begun, (0, 0, int(added)))
        self._merge(dimension.table, dimension.next, dimension.key)
        if (int(known) or anew) and self._refill(NEXT_FACTS, statements.moved_facts(dimension, anew=anew)):
            self._merge(FACT_TABLE, NEXT_FACTS, "WEDDING_ID")
        if anew:
            self._session.run(f"{dimension.table.name}.drop", statements.drop_versions(dimension))
        return noted, written

    def _begun(self, batch: EtlBatch) -> dict[str, Counts]:
        """Return what an attempt of this load that did not end had begun to write, by table.

        None where a transaction undid it.
        """
        if self._dialect.transactional:
            return {}
        parts = ", ".join(map(self._dialect.text, PARTS))
        found = self._rows(
            "loads.read",
            f"SELECT LAYER, ROWS_CREATED, ROWS_UPDATED, DIMENSION_ROWS FROM {LOADS_TABLE.name} "
            f"WHERE BATCH_ID = {self._dialect.text(batch.etl_id)} AND LAYER IN ({parts})",
        )
        return {str(part): (int(created), int(updated), int(added)) for part, created, updated, added in found}

    def _begin(self, batch: EtlBatch, table: Table, begun: Mapping[str, Counts], counts: Counts | None) -> Counts:
        """Note what a table is about to get, where no transaction would undo it: written, it is counted as unchanged.

        Returns:
            What was noted first, which is what the load as a whole brings.
        """
        part = _part(table)
        if part in begun:
            return begun[part]
        if counts and not self._dialect.transactional:
            self._record(batch, part, None, 0, counts)
        return counts or (0, 0, 0)

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
