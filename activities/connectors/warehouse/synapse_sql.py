"""How a dedicated SQL pool of Synapse spells the loader's statements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.model import DATES_TABLE, DIMENSIONS, FACT_TABLE, Column, Table, Type

_UNITS_PER_CHARACTER = 2
_BINARY = "COLLATE Latin1_General_100_BIN2"
_DISTRIBUTED = {
    FACT_TABLE.name: "WEDDING_ID",
    DATES_TABLE.name: "DATE_SK",
    **{dimension.table.name: dimension.key for dimension in DIMENSIONS},
}
"""Target of a MERGE -> the column it is matched on: a target has to be distributed, and by what no MERGE changes."""


class SynapseSql(Dialect):
    """Transact-SQL of a dedicated SQL pool.

    Source: Microsoft Learn, Synapse Analytics: CREATE TABLE, CREATE TABLE AS SELECT, MERGE, RENAME, "Collation", "Use
    transactions in a SQL pool", PERCENTILE_CONT. Never run against a real pool.
    """

    types: ClassVar[dict[Type, str]] = {
        **Dialect.types,
        Type.TEXT: "NVARCHAR(MAX)",
        Type.TIMESTAMP: "DATETIME2(6)",
        Type.BOOLEAN: "BIT",
    }

    def type_of(self, column: Column) -> str:
        """Give texts room in UTF-16 and let them differ by case, which a pool's own collation overlooks."""
        if column.type is not Type.TEXT:
            return self.types[column.type]
        length = str(_UNITS_PER_CHARACTER * column.length) if column.length else "MAX"
        return f"NVARCHAR({length}) {_BINARY}"

    def create_schema(self, schema: str) -> str:
        """Ask first, because T-SQL has no IF NOT EXISTS here."""
        return f"IF SCHEMA_ID(N'{schema}') IS NULL EXEC(N'CREATE SCHEMA {schema}')"

    def create_table(self, table: Table) -> str:
        """Distribute the star by the keys of its merges; the loader's own tables stay heaps."""
        key = _DISTRIBUTED.get(table.name)
        place = f"HASH({key}), CLUSTERED COLUMNSTORE INDEX" if key else "ROUND_ROBIN, HEAP"
        created = f"CREATE TABLE {table.name} ({self.columns(table)}) WITH (DISTRIBUTION = {place})"
        return f"IF OBJECT_ID(N'{table.name}', N'U') IS NULL {created}"

    def add_column(self, table: Table, column: Column) -> str:
        """Leave the word COLUMN out."""
        return f"ALTER TABLE {table.name} ADD {column.name} {self.type_of(column)}"

    def instant(self, value: datetime) -> str:
        """Write it in the one form that no language setting reads otherwise."""
        return f"CAST('{value:%Y-%m-%dT%H:%M:%S}' AS {self.types[Type.TIMESTAMP]})"

    def part(self, name: str, day: str) -> str:
        """Use DATEPART."""
        return f"DATEPART({name}, {day})"

    def weekday(self, day: str) -> str:
        """Count from a Monday: DATEPART(weekday) depends on DATEFIRST."""
        return f"(DATEDIFF(DAY, CAST('1900-01-01' AS DATE), {day}) % 7 + 1)"

    def boolean(self, condition: str) -> str:
        """Make a bit of a condition, which is no value in T-SQL."""
        return f"CAST(CASE WHEN {condition} THEN 1 ELSE 0 END AS BIT)"

    def month(self, day: str) -> str:
        """Put the day together."""
        return f"DATEFROMPARTS(YEAR({day}), MONTH({day}), 1)"

    def average(self, number: str) -> str:
        """Use FLOAT."""
        return f"AVG(CAST({number} AS FLOAT))"

    def median(self, number: str) -> str:
        """Take what `median_join` found, one value for all of a group."""
        del number
        return "MAX(m.MEDIAN)"

    def median_join(self, number: str, facts: str, key: str, group: str) -> str:
        """Find the medians by a window, because PERCENTILE_CONT is no aggregate here."""
        name = key.partition(".")[2]
        window = f"PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY {number}) OVER (PARTITION BY {group})"
        return f" JOIN (SELECT {key}, {window} AS MEDIAN {facts}) m ON m.{name} = {key}"

    def merge(self, table: Table, source: Table, key: str) -> str:
        """End with the semicolon that a MERGE needs."""
        return f"{super().merge(table, source, key)};"

    def replace(self, table: str, select: str) -> list[str]:
        """Let a new table take the place of the old one by renaming; DDL is in no transaction, so each step repeats."""
        name = table.rpartition(".")[2]
        return [
            *(_dropped(f"{table}_NEXT"), _made(f"{table}_NEXT", select), _dropped(f"{table}_OLD")),
            f"IF OBJECT_ID(N'{table}', N'U') IS NOT NULL RENAME OBJECT {table} TO {name}_OLD",
            *(f"RENAME OBJECT {table}_NEXT TO {name}", _dropped(f"{table}_OLD")),
        ]

    def arrangements(self, table: Table) -> list[tuple[str, str]]:
        """Rebuild the columnstore, which many small writes leave in pieces, then count the values for the planner."""
        return [
            ("columnstore rebuilt", f"ALTER INDEX ALL ON {table.name} REBUILD"),
            ("statistics renewed", f"UPDATE STATISTICS {table.name}"),
        ]

    def copy_into(self, table: Table, urls: Sequence[str], signature: str) -> str:
        """Return the COPY of Parquet files, whose columns are taken in their order."""
        files = ", ".join(f"'{url}'" for url in urls)
        access = f"CREDENTIAL = (IDENTITY = 'Shared Access Signature', SECRET = '{signature}')"
        return (
            f"COPY INTO {table.name} ({', '.join(table.names)}) FROM {files} "
            f"WITH (FILE_TYPE = 'PARQUET', MAXERRORS = 0, {access})"
        )


def _dropped(table: str) -> str:
    return f"IF OBJECT_ID(N'{table}', N'U') IS NOT NULL DROP TABLE {table}"


def _made(table: str, select: str) -> str:
    return f"CREATE TABLE {table} WITH (DISTRIBUTION = ROUND_ROBIN, CLUSTERED COLUMNSTORE INDEX) AS {select}"
