"""What an emulated Databricks workspace knows of its catalogs, and what it says of objects that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import duckdb

from emulators.databricks_sql import RefusedError, Statement

CATALOGS = ("wedsync", "harbour")
DEFAULT_SCHEMA = "default"
BOOKS = "_copied"
"""The table in which a catalog keeps which files were copied where."""
_ERRORS: tuple[tuple[type[Exception], str, str], ...] = (
    (duckdb.TransactionException, "DELTA_CONCURRENT_APPEND", "2D521"),
    (duckdb.OutOfRangeException, "NUMERIC_VALUE_OUT_OF_RANGE", "22003"),
    (duckdb.ConversionException, "CAST_INVALID_INPUT", "22018"),
    (duckdb.CatalogException, "UNRESOLVED_ROUTINE", "42883"),
    (duckdb.BinderException, "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703"),
    (duckdb.ParserException, "PARSE_SYNTAX_ERROR", "42601"),
    (duckdb.IOException, "PATH_NOT_FOUND", "42K03"),
    (duckdb.NotImplementedException, "UNSUPPORTED_FEATURE", "0A000"),
)


@contextmanager
def transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what the block did, or nothing of it."""
    cursor.begin()
    try:
        yield
        cursor.commit()
    except BaseException:
        with suppress(duckdb.TransactionException):
            cursor.rollback()
        raise


def tables_of(cursor: duckdb.DuckDBPyConnection) -> set[tuple[str, ...]]:
    """Catalog, schema and name of every table."""
    names = "SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE table_name <> ?"
    return set(cursor.execute(names, [BOOKS]).fetchall())


def has_schema(cursor: duckdb.DuckDBPyConnection, catalog: str, schema: str) -> bool:
    """Whether a schema exists."""
    question = "SELECT 1 FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?"
    return bool(cursor.execute(question, [catalog, schema]).fetchall())


def resolved(statement: Statement, catalog: str, schema: str) -> Statement:
    """The statement with its target's full name."""
    if not statement.target:
        return statement
    context = (catalog,) if statement.object_type == "schema" else (catalog, schema)
    wanted = len(context) + 1
    missing = wanted - len(statement.target)
    return replace(statement, target=(*context[:missing], *statement.target)[-wanted:])


def require_objects(cursor: duckdb.DuckDBPyConnection, statement: Statement, catalog: str, schema: str) -> None:
    """Name what is missing the way Databricks does, which DuckDB's errors do not tell apart."""
    known = tables_of(cursor)
    for name in statement.reads:
        if (*(catalog, schema)[: 3 - len(name)], *name) not in known:
            raise missing_table()
    if statement.kind in {"insert", "update", "delete", "merge", "copy", "alter"} and statement.target not in known:
        raise missing_table()
    if statement.kind == "create" and statement.object_type != "schema":
        inside = statement.target[0], statement.target[1]
        if not has_schema(cursor, *inside):
            raise RefusedError("SCHEMA_NOT_FOUND", "42704", "The schema does not exist.")


def missing_table() -> RefusedError:
    """The refusal for a table that does not exist."""
    return RefusedError("TABLE_OR_VIEW_NOT_FOUND", "42P01", "The table or view cannot be found.")


def refusal_of(error: duckdb.Error, statement: Statement) -> RefusedError:
    """The condition and SQL state that Databricks would give for what DuckDB raised."""
    if isinstance(error, duckdb.ConstraintException):
        if "NOT NULL" in str(error):
            return RefusedError("DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "23502", "A column that is NOT NULL got a null.")
        return RefusedError("DELTA_EXCEED_CHAR_VARCHAR_LIMIT", "22001", "A text is longer than its column allows.")
    if isinstance(error, duckdb.InvalidInputException) and statement.kind == "merge":
        return RefusedError(
            "DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE", "21506", "Several source rows match one row."
        )
    for kind, condition, state in _ERRORS:
        if isinstance(error, kind):
            return RefusedError(condition, state, f"{type(error).__name__}: {error}")
    return RefusedError("INTERNAL_ERROR", "XX000", f"{type(error).__name__}: {error}")
