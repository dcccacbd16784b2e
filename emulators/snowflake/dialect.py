"""Corrects fakesnow where its results, errors or files differ from Snowflake's."""

# fakesnow offers no public way to the parts of its cursor.
# ruff: noqa: SLF001

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from fakesnow import arrow, copy_into, server, transforms
from fakesnow.converter import from_binding
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.transforms import stage
from fakesnow.transforms.merge import operations
from snowflake.connector import errors
from sqlglot import Expr, exp
from sqlglot.errors import SqlglotError

_split_autoincrement = transforms.create_table_autoincrement
_MERGE_COUNTS = {"inserted": "INSERT", "updated": "UPDATE", "deleted": "DELETE"}
_ERRORS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (duckdb.TransactionException, 625, "57014", "the statement was aborted by a lock that another transaction holds"),
    (duckdb.ConstraintException, 100072, "22000", "a constraint of the table is violated"),
    (duckdb.OutOfRangeException, 100039, "22003", "a value is out of the range of its column"),
    (duckdb.ConversionException, 100038, "22018", "a value is not recognised as the type of its column"),
    (duckdb.InvalidInputException, 100038, "22018", "a value is not recognised as the type of its column"),
    (duckdb.IOException, 91016, "22000", "a staged file was not found"),
    (SqlglotError, 1003, "42000", "SQL compilation error: the statement could not be parsed"),
)
_UNSUPPORTED = (duckdb.Error, ValueError, AssertionError, KeyError, AttributeError, TypeError, IndexError)


def install() -> None:
    """Put the corrections in place, once per process."""
    arrow.timestamp_to_sf_struct = nullable_timestamp
    copy_into._source_urls = source_urls
    transforms.merge = native_merge
    transforms.create_table_autoincrement = qualified_autoincrement
    server.from_binding = bound_value


def bound_value(binding: dict[str, Any]) -> Any:
    """The Python value of one bound parameter; NULL and decimal numbers included."""
    value = binding["value"]
    if value is None:
        return None
    if binding["type"] == "FIXED" and not value.lstrip("-").isdigit():
        return Decimal(value)
    return from_binding(binding)


def as_snowflake_error(error: Exception) -> Exception:
    """The Snowflake error for what fakesnow or DuckDB raised, decided by its type; a crash of DuckDB stays itself."""
    if isinstance(error, duckdb.FatalException | duckdb.InternalException | duckdb.OutOfMemoryException):
        return error
    for kind, number, state, text in _ERRORS:
        if isinstance(error, kind):
            return errors.ProgrammingError(msg=f"{text}: {error}", errno=number, sqlstate=state)
    if isinstance(error, _UNSUPPORTED):
        text = f"Unsupported feature in this stand-in: {type(error).__name__}: {error}"
        return errors.ProgrammingError(msg=text, errno=2, sqlstate="0A000")
    return error


def source_urls(source: str, files: list[str]) -> list[str]:
    """Where the FILES of a COPY lie on an internal stage.

    Raises:
        ProgrammingError: 091016, a named file is not on the stage.
    """
    base = Path(source)
    for name in files:
        if not stage.is_internal(source) or not (base / name).is_file():
            text = f"Remote file '{name}' was not found."
            raise errors.ProgrammingError(msg=text, errno=91016, sqlstate="22000")
    return [str(base / name) for name in files] or [source]


def native_merge(expression: Expr) -> list[Expr]:
    """MERGE for DuckDB's own MERGE, which is one atomic statement; it returns the action taken per row."""
    if isinstance(expression, exp.Merge):
        for assignment in expression.find_all(exp.EQ):
            if isinstance(assignment.parent, exp.Update) and isinstance(assignment.this, exp.Column):
                assignment.set("this", exp.column(assignment.this.this))
        expression.set("returning", exp.Returning(expressions=[exp.column("merge_action")]))
    return [expression]


def qualified_autoincrement(expression: Expr) -> list[Expr]:
    """CREATE TABLE with AUTOINCREMENT, its sequence beside a qualified table, where every session finds it."""
    statements = _split_autoincrement(expression)
    table = expression.find(exp.Table) if len(statements) > 1 else None
    if table is not None and table.db:
        sequence, create = statements[0].this, statements[1]
        sequence.set("db", table.args["db"].copy())
        for call in create.find_all(exp.Anonymous):
            if call.name == "NEXTVAL":
                call.set("expressions", [exp.Literal.string(f"{table.db}.{sequence.name}")])
    return statements


def count_merge(cursor: FakeSnowflakeCursor) -> None:
    """Replace the actions of a MERGE by the counts that Snowflake returns."""
    table = cursor._arrow_table
    actions = {entry["values"]: entry["counts"] for entry in pc.value_counts(table.column(0)).to_pylist()}
    counts = {
        f"number of rows {name}": actions.get(_MERGE_COUNTS[name], 0)
        for name, clauses in operations(cursor._last_transformed).items()
        if clauses
    }
    cursor._arrow_table = pa.table({name: pa.array([count], type=pa.int64()) for name, count in counts.items()})
    cursor._last_sql = "SELECT " + ", ".join(f"{count}::BIGINT AS '{name}'" for name, count in counts.items())
    cursor._last_params = None
    cursor._rowcount = sum(counts.values())


def nullable_timestamp(ts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Timestamps as the structs of Snowflake's Arrow format, with a null struct for a null."""
    column = ts.combine_chunks() if isinstance(ts, pa.ChunkedArray) else ts
    precise = column.cast(pa.timestamp("us", column.type.tz))
    microseconds = precise.cast(pa.int64())
    epoch = pc.divide(pc.floor_temporal(precise, unit="second").cast(pa.int64()), 1_000_000)
    fraction = pc.multiply(pc.subtract(microseconds, pc.multiply(epoch, 1_000_000)), 1000).cast(pa.int32())
    arrays, names = [pc.fill_null(epoch, 0), pc.fill_null(fraction, 0)], ["epoch", "fraction"]
    if column.type.tz:
        arrays.append(pa.array([1440] * len(column), type=pa.int32()))
        names.append("timezone")
    fields = [pa.field(name, array.type, nullable=True) for name, array in zip(names, arrays, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=pc.is_null(column))
