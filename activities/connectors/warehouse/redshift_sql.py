"""How Redshift spells the loader's statements."""

from __future__ import annotations

from typing import ClassVar

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.model import Column, Table, Type

_LONGEST = 65_535
_BYTES_PER_CHARACTER = 4


class RedshiftSql(Dialect):
    """Redshift's spelling.

    Source: Amazon Redshift Database Developer Guide: CREATE TABLE, MERGE (no alias of the target, the source a table),
    "Character types" (a length counts bytes), "Date parts" (no ISO day of the week), ALTER TABLE RENAME.
    """

    types: ClassVar[dict[Type, str]] = {**Dialect.types, Type.TEXT: f"VARCHAR({_LONGEST})"}

    def type_of(self, column: Column) -> str:
        """Give texts room for as many characters as their length says, each of which may have four bytes."""
        if column.type is Type.TEXT and column.length:
            return f"VARCHAR({_BYTES_PER_CHARACTER * column.length})"
        return self.types[column.type]

    def create_table(self, table: Table) -> str:
        """Sort by what the rows are usually asked by, and leave their distribution to Redshift."""
        order = f" COMPOUND SORTKEY ({', '.join(table.clustered_by)})" if table.clustered_by else ""
        return f"{super().create_table(table)} DISTSTYLE AUTO{order}"

    def weekday(self, day: str) -> str:
        """Count from a Monday."""
        return f"(MOD(DATEDIFF(day, CAST('1900-01-01' AS DATE), {day}), 7) + 1)"

    def merge(self, table: Table, source: Table, key: str) -> str:
        """Name the target by itself, because it can have no alias."""
        target = table.name.rpartition(".")[2]
        changes = ", ".join(f"{name} = n.{name}" for name in table.names if name != key)
        return (
            f"MERGE INTO {table.name} USING {source.name} n ON {target}.{key} = n.{key} "
            f"WHEN MATCHED THEN UPDATE SET {changes} "
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(table.names)}) "
            f"VALUES ({', '.join(f'n.{name}' for name in table.names)})"
        )

    def refill(self, table: Table, select: str) -> list[str]:
        """Make the table anew: what is deleted keeps its place until a VACUUM, and TRUNCATE commits."""
        columns = ", ".join(table.names)
        return [f"DROP TABLE IF EXISTS {table.name}", f"CREATE TABLE {table.name} ({columns}) AS {select}"]

    def arrangements(self, table: Table) -> list[tuple[str, str]]:
        """Sort the rows and give deleted ones' place back, then count the values for the planner."""
        return [("vacuumed", f"VACUUM FULL {table.name}"), *super().arrangements(table)]

    def figures(self, table: Table) -> tuple[tuple[str, ...], str]:
        """Ask SVV_TABLE_INFO, which shows a user only what he may see."""
        schema, _, name = table.name.lower().partition(".")
        query = (
            "SELECT COALESCE(unsorted, 0), COALESCE(stats_off, 0) FROM svv_table_info "
            f"WHERE \"schema\" = '{schema}' AND \"table\" = '{name}'"
        )
        return ("unsortedPercent", "statisticsOffPercent"), query

    def replace(self, table: str, select: str) -> list[str]:
        """Let a new table take the place of the old one in one transaction, which includes DDL at Redshift."""
        name = table.rpartition(".")[2]
        return [
            *("BEGIN", f"DROP TABLE IF EXISTS {table}_NEXT", f"CREATE TABLE {table}_NEXT AS {select}"),
            *(f"DROP TABLE IF EXISTS {table}", f"ALTER TABLE {table}_NEXT RENAME TO {name}", "COMMIT"),
        ]
