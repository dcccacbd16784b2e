"""A whole extract as one typed Parquet file: types found from the values, misfits rejected by name of column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from activities.ports.datasets import DatasetColumn
from activities.transform.identifiers import literal, quote
from activities.transform.memory import within
from contracts.errors import InvalidInput
from contracts.sync import Books, RecordResult, RecordStatus

_NUMBER = r"^-?(0|[1-9][0-9]*)$"
_SQL_TYPES = {
    "integer": "BIGINT",
    "decimal": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "text": "VARCHAR",
}
_FITTING_SHARE = 0.95
"""A column has a type when at least this share of its values reads as that type; the others are misfits."""
_ROWS = 5_000
_MEMORY = "192MB"
_GROUP_ROWS = 20_480
"""Rows of a Parquet row group, which is whole in memory before it is written."""
_ID, _REJECTED, _REASON = '"~id"', '"~rejected"', '"~reason"'
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Dataset:
    """A local Parquet file of `columns`, the books of its rows and a local NDJSON file with every outcome."""

    path: Path
    columns: Sequence[DatasetColumn]
    books: Books
    outcomes: Path


def build_dataset(parts: Sequence[Path], columns: Sequence[str], folder: Path) -> Dataset:
    """Write the accepted records of plain NDJSON parts into one Parquet file, in bounded memory.

    Args:
        parts: files of staged records.
        columns: the data set's columns, which are properties of the records.
        folder: a private scratch directory that holds `parts` too.

    Raises:
        InvalidInput: no column, or a column name with control characters.
        Permanent: `memory_exceeded`.
    """
    if not columns or any(_UNSAFE.search(name) for name in columns):
        raise InvalidInput("columns_missing", "The report has no columns to publish.", action="Check the report's id.")
    limits: dict[str, str | bool | int | float | list[str]] = {
        "threads": "2",
        "memory_limit": _MEMORY,
        "temp_directory": str(folder / "spill"),
    }
    with (
        within(_MEMORY, "Publish a part of the report, by dataFilters, meanwhile."),
        closing(duckdb.connect(":memory:", config=limits)) as connection,
    ):
        connection.execute(_view(parts, columns))
        types = _types(connection, columns)
        connection.execute(_typed(columns, types))
        target = folder / "dataset.parquet"
        shown = ", ".join(quote(name) for name in columns)
        connection.execute(
            f"COPY (SELECT {shown} FROM typed WHERE {_REASON} = '') TO {literal(str(target))} "
            f"(FORMAT parquet, ROW_GROUP_SIZE {_GROUP_ROWS})"
        )
        outcomes = folder / "outcomes.ndjson"
        books = _outcomes(connection, outcomes)
    return Dataset(target, [DatasetColumn(name, types[name]) for name in columns], books, outcomes)


def _view(parts: Sequence[Path], columns: Sequence[str]) -> str:
    files = ", ".join(literal(str(path)) for path in parts)
    # All values by one reading: one for each column takes memory by the square of their number.
    pointers = ", ".join(literal(_pointer(name)) for name in columns)
    values = ", ".join(f"nullif(found[{number}], '') AS {quote(name)}" for number, name in enumerate(columns, 1))
    shape = "{'id': 'VARCHAR', 'rejected': 'VARCHAR', 'properties': 'JSON'}"
    source = f"read_json([{files}], format = 'newline_delimited', columns = {shape})"
    rows = f"SELECT id, rejected, json_extract_string(properties, [{pointers}]) AS found FROM {source}"
    return f"CREATE VIEW source AS SELECT id AS {_ID}, coalesce(rejected, '') AS {_REJECTED}, {values} FROM ({rows})"


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _types(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> dict[str, str]:
    measures = ["1"]
    for name in columns:
        column = quote(name)
        measures.append(f"count({column})")
        measures += [f"count({_cast(column, kind)})" for kind in _SQL_TYPES if kind != "text"]
    row = connection.execute(f"SELECT {', '.join(measures)} FROM source WHERE {_REJECTED} = ''").fetchone() or ()
    kinds = [kind for kind in _SQL_TYPES if kind != "text"]
    width = len(kinds) + 1
    found = {}
    for position, name in enumerate(columns):
        filled, *fitting = row[1 + position * width : 1 + (position + 1) * width]
        fits = [kind for kind, count in zip(kinds, fitting, strict=True) if filled and count >= _FITTING_SHARE * filled]
        found[name] = fits[0] if fits else "text"
    return found


def _cast(column: str, kind: str) -> str:
    """Return the reading of a text column as `kind`, NULL for misfits."""
    if kind == "integer":
        return f"CASE WHEN regexp_matches({column}, {literal(_NUMBER)}) THEN try_cast({column} AS BIGINT) END"
    if kind == "decimal":
        # Text with leading zeros is a code, not a number.
        return f"CASE WHEN NOT regexp_matches({column}, '^-?0[0-9]') THEN try_cast({column} AS DOUBLE) END"
    if kind == "boolean":
        return f"CASE lower({column}) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
    if kind == "date":
        return f"CASE WHEN length({column}) = 10 THEN try_cast({column} AS DATE) END"
    if kind == "timestamp":
        return f"CASE WHEN length({column}) > 10 THEN try_cast({column} AS TIMESTAMP) END"
    return column


def _typed(columns: Sequence[str], types: dict[str, str]) -> str:
    values = [f"{_cast(quote(name), types[name])} AS {quote(name)}" for name in columns]
    misfits = [
        f"CASE WHEN {quote(name)} IS NOT NULL AND ({_cast(quote(name), types[name])}) IS NULL THEN {literal(name)} END"
        for name in columns
        if types[name] != "text"
    ]
    listed = f"concat_ws(', ', {', '.join(misfits)})" if misfits else "''"
    reason = (
        f"CASE WHEN {_REJECTED} <> '' THEN {_REJECTED} "
        f"WHEN {listed} <> '' THEN 'value of another type: ' || {listed} ELSE '' END"
    )
    return f"CREATE VIEW typed AS SELECT {_ID}, {reason} AS {_REASON}, {', '.join(values)} FROM source"


def _outcomes(connection: duckdb.DuckDBPyConnection, path: Path) -> Books:
    cursor = connection.execute(f"SELECT {_ID}, {_REASON} FROM typed")
    updated = rejected = 0
    with path.open("w", encoding="utf-8") as file:
        while rows := cursor.fetchmany(_ROWS):
            for identity, reason in rows:
                status = RecordStatus.REJECTED if reason else RecordStatus.UPDATED
                rejected += bool(reason)
                updated += not reason
                result = RecordResult(record_id=identity, status=status, reason=reason)
                file.write(result.model_dump_json(exclude_defaults=True) + "\n")
    return Books(read=updated + rejected, updated=updated, rejected=rejected)
