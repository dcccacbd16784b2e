"""What a statement did to the objects of an emulated Snowflake account."""

# fakesnow offers no public way to the parts of its cursor.
# ruff: noqa: SLF001

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc
from fakesnow.cursor import FakeSnowflakeCursor
from statements import Statement


def affected_rows(cursor: FakeSnowflakeCursor, statement: Statement) -> int:
    """Rows a DML statement changed; a COPY counts the rows of its loaded files."""
    table = cursor._arrow_table
    if statement.kind != "copy" or table is None:
        return int(cursor._rowcount or 0)
    return int(pc.sum(table["rows_loaded"]).as_py() or 0) if "rows_loaded" in table.column_names else 0


def definition(cursor: FakeSnowflakeCursor, statement: Statement) -> Any:
    """Something that changes when the object is created, dropped or replaced, None when it does not exist."""
    database, schema, name = qualified(cursor, statement)
    lookups: dict[str, tuple[str, list[Any]]] = {
        "table": (
            """SELECT table_oid FROM duckdb_tables()
            WHERE table_name = ? AND (temporary OR (schema_name = ? AND database_name = ?))""",
            [name, schema, database],
        ),
        "view": (
            "SELECT view_oid FROM duckdb_views() WHERE view_name = ? AND schema_name = ? AND database_name = ?",
            [name, schema, database],
        ),
        "schema": (
            "SELECT oid FROM duckdb_schemas() WHERE schema_name = ? AND database_name = ?",
            [name, schema if "." in statement.object_name else database],
        ),
        "stage": (
            """SELECT created_on FROM _fs_global._fs_information_schema._fs_stages
            WHERE name = ? AND schema_name = ? AND database_name = ?""",
            [name, schema, database],
        ),
    }
    if statement.object_type not in lookups:
        return None
    with cursor._duck_conn.cursor() as reader:
        sql, values = lookups[statement.object_type]
        return reader.execute(sql, values).fetchone()


def table_rows(cursor: FakeSnowflakeCursor, statement: Statement) -> int | None:
    """Rows of a table that was just created from a query, None for anything else."""
    if statement.kind != "create" or statement.object_type != "table" or statement.temporary:
        return None
    database, schema, name = qualified(cursor, statement)
    with cursor._duck_conn.cursor() as reader:
        found = reader.execute(f'SELECT count(*) FROM "{database}"."{schema}"."{name}"').fetchall()
    return int(found[0][0])


def qualified(cursor: FakeSnowflakeCursor, statement: Statement) -> tuple[str | None, str | None, str]:
    """Database, schema and name of the statement's object, completed from the session."""
    *rest, name = statement.object_name.split(".")
    schema = rest[-1] if rest else cursor._conn.schema
    return (rest[-2] if len(rest) > 1 else cursor._conn.database), schema, name


def is_temporary(cursor: FakeSnowflakeCursor, statement: Statement) -> bool:
    """Whether the statement's table is a temporary one, which ends with its connection."""
    name = statement.object_name.rpartition(".")[2]
    sql = "SELECT 1 FROM duckdb_tables() WHERE temporary AND table_name = ?"
    table = cursor._arrow_table
    found = cursor._duck_conn.execute(sql, [name]).fetchone() is not None
    cursor._arrow_table = table
    return found
