"""How a warehouse spells the few kinds of statement that the loader sends it; a subclass says where it differs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import ClassVar

from activities.connectors.warehouse.model import Column, Table, Type
from contracts.errors import InvalidInput

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,254}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,254}")


class Dialect:
    """Standard SQL with MERGE, window functions and schemas, as far as the five warehouses agree.

    No value of a row ever stands in a statement: only ids, days and instants of the load itself, each by an allow-list.
    """

    types: ClassVar[dict[Type, str]] = {
        Type.TEXT: "VARCHAR",
        Type.INTEGER: "BIGINT",
        Type.MONEY: "DECIMAL(12,2)",
        Type.SCORE: "DECIMAL(3,2)",
        Type.DATE: "DATE",
        Type.TIMESTAMP: "TIMESTAMP",
        Type.BOOLEAN: "BOOLEAN",
    }
    transactional: ClassVar[bool] = True
    """Whether several statements can be one transaction; else each is repeatable by itself."""

    def type_of(self, column: Column) -> str:
        """Return the type of a column, without its nullability."""
        length = f"({column.length})" if column.type is Type.TEXT and column.length else ""
        return f"{self.types[column.type]}{length}"

    def create_schema(self, schema: str) -> str:
        """Return the statement that creates a schema where it is missing."""
        return f"CREATE SCHEMA IF NOT EXISTS {schema}"

    def create_table(self, table: Table) -> str:
        """Return the statement that creates a table where it is missing, and leaves one that exists as it is."""
        return f"CREATE TABLE IF NOT EXISTS {table.name} ({self.columns(table)})"

    def columns(self, table: Table) -> str:
        """Return the body of a CREATE TABLE."""
        return ", ".join(
            f"{column.name} {self.type_of(column)}{' NOT NULL' if column.required else ''}" for column in table.columns
        )

    def add_column(self, table: Table, column: Column) -> str:
        """Return the statement that adds a column to a table that exists."""
        return f"ALTER TABLE {table.name} ADD COLUMN {column.name} {self.type_of(column)}"

    def existing_columns(self, schemas: Sequence[str]) -> str:
        """Return the query for (schema, table, column) of what exists; letter case is the warehouse's own."""
        names = ", ".join(f"'{schema}'" for schema in schemas)
        return (
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS "
            f"WHERE UPPER(TABLE_SCHEMA) IN ({names})"
        )

    def text(self, value: str) -> str:
        """Return an opaque id or a plain word as a literal.

        Raises:
            InvalidInput: it is neither.
        """
        return f"'{word(value)}'"

    def day(self, value: date | str) -> str:
        """Return a day as a literal."""
        return f"CAST('{value}' AS {self.types[Type.DATE]})"

    def instant(self, value: datetime) -> str:
        """Return an instant in UTC as a literal, to the second."""
        return f"CAST('{value:%Y-%m-%d %H:%M:%S}' AS {self.types[Type.TIMESTAMP]})"

    def null(self, kind: Type) -> str:
        """Return NULL of a type."""
        return f"CAST(NULL AS {self.types[kind]})"

    def part(self, name: str, day: str) -> str:
        """Return the YEAR, QUARTER, MONTH or DAY of a day as a number."""
        return f"EXTRACT({name} FROM {day})"

    def weekday(self, day: str) -> str:
        """Return the ISO day of the week of a day: Monday is 1."""
        return f"EXTRACT(ISODOW FROM {day})"

    def boolean(self, condition: str) -> str:
        """Return a condition as a value."""
        return f"({condition})"

    def month(self, day: str) -> str:
        """Return the first day of the month of a day."""
        return f"CAST(DATE_TRUNC('month', {day}) AS {self.types[Type.DATE]})"

    def average(self, number: str) -> str:
        """Return the mean of numbers, not rounded to whole ones."""
        return f"AVG(CAST({number} AS DOUBLE PRECISION))"

    def median(self, number: str) -> str:
        """Return the exact, interpolated median of a group."""
        return f"PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY {number})"

    def median_join(self, number: str, facts: str, key: str, group: str) -> str:
        """Return a join that gives each fact the median of its group, where a median is no aggregate; else nothing.

        Args:
            number: what the median is of.
            facts: the FROM clause it is added to.
            key: the column that names a fact.
            group: what the facts are grouped by.
        """
        del number, facts, key, group
        return ""

    def refill(self, table: Table, select: str) -> list[str]:
        """Return the statements that replace the content of one of the loader's own tables."""
        return [self.clear(table), self.insert(table, select)]

    def clear(self, table: Table) -> str:
        """Return the statement that empties one of the loader's own tables."""
        return f"DELETE FROM {table.name} WHERE 1 = 1"

    def insert(self, table: Table, select: str) -> str:
        """Return the statement that appends what a query yields, column by column."""
        return f"INSERT INTO {table.name} ({', '.join(table.names)}) {select}"

    def merge(self, table: Table, source: Table, key: str) -> str:
        """Return the MERGE of the rows of a table of the same columns, matched on `key`; `source` may have more."""
        changes = ", ".join(f"{name} = n.{name}" for name in table.names if name != key)
        return (
            f"MERGE INTO {table.name} t USING {source.name} n ON t.{key} = n.{key} "
            f"WHEN MATCHED THEN UPDATE SET {changes} "
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(table.names)}) "
            f"VALUES ({', '.join(f'n.{name}' for name in table.names)})"
        )

    def replace(self, table: str, select: str) -> list[str]:
        """Return the statements that replace a table by what a query yields, never leaving it empty in between."""
        return [f"CREATE OR REPLACE TABLE {table} AS {select}"]

    def arrangements(self, table: Table) -> list[tuple[str, str]]:
        """Return (what is done, statement) pairs that keep a large table quick to ask, run outside transactions."""
        return [("statistics renewed", f"ANALYZE {table.name}")]

    def figures(self, table: Table) -> tuple[tuple[str, ...], str]:
        """Return the names of the warehouse's figures of a table, and the query for them, which may yield no row."""
        return ("rows",), f"SELECT COUNT(*) FROM {table.name}"

    def lock(self, table: Table, name: str, holder: str) -> str:
        """Return the statement that makes this transaction the only one to change a layer."""
        return f"UPDATE {table.name} SET HOLDER = {self.text(holder)} WHERE NAME = {self.text(name)}"


def word(text: str) -> str:
    """Return an opaque id or a plain file name as it is.

    Raises:
        InvalidInput: it is neither.
    """
    if not _WORD.fullmatch(text):
        raise InvalidInput("identifier_refused", "An id is not usable at a warehouse.", action="Use opaque ids.")
    return text


def path_part(text: str) -> str:
    """Return an opaque id or a plain file name as one part of a path.

    Raises:
        InvalidInput: it is neither.
    """
    return word(text).replace(":", "_")


def name_of(text: str) -> str:
    """Return the name of a database, warehouse, role, schema or bucket as a tenant gives it.

    Raises:
        InvalidInput: it holds anything but letters, digits, `_` and `$`.
    """
    if not _NAME.fullmatch(text):
        raise InvalidInput(
            "identifier_refused",
            "A name in the integration's settings holds characters that are not allowed.",
            action="Use letters, digits, `_` and `$` only, beginning with a letter or `_`.",
        )
    return text
