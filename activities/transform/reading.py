"""How DuckDB reads a source file: its columns, its rows numbered, and the lines that are no rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from activities.transform import quality
from activities.transform.identifiers import literal, quote
from contracts.dataset import SourceFormat
from contracts.errors import InvalidInput

_DELIMITERS = (",", ";", "\t", "|")


@contextmanager
def reading(file_format: SourceFormat) -> Iterator[None]:
    """Say of a file that DuckDB cannot read why that is.

    Raises:
        InvalidInput: `file_unreadable`, it is not of its format, or `records_too_large` for the memory of a load.
    """
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise InvalidInput(
            "records_too_large",
            "The source's records are too long to be read within a load's memory.",
            action="Shorten their longest fields, or send the file as CSV or Parquet.",
        ) from None
    except (duckdb.Error, csv.Error, UnicodeError):
        raise _not_readable(file_format) from None


def columns_of(connection: duckdb.DuckDBPyConnection, path: Path, file_format: SourceFormat) -> list[str]:
    """Return the names of the file's columns.

    Raises:
        InvalidInput: the file is not of that format, or has no columns.
    """
    with reading(file_format):
        if file_format is SourceFormat.NDJSON:
            rows = connection.execute(
                f"SELECT DISTINCT unnest(json_keys(json)) AS name FROM {_ndjson(path)} "
                "WHERE json_type(json) = 'OBJECT' ORDER BY name"
            ).fetchall()
            names = [str(name) for (name,) in rows]
        elif file_format is SourceFormat.CSV:
            _, names = _csv_heading(path)
        else:
            reader = f"read_parquet({literal(str(path))})"
            described = connection.execute(f"SELECT * FROM {reader} LIMIT 0").description or []
            names = [str(item[0]) for item in described]
    if not names or len({name.lower() for name in names}) != len(names):
        raise _not_readable(file_format)
    return names


def numbered_rows(path: Path, file_format: SourceFormat, names: Sequence[str]) -> str:
    """Return the SELECT of the file's rows as texts, each with its number."""
    number = f"row_number() OVER () AS {quality.ROW}"
    if file_format is SourceFormat.CSV:
        return f"SELECT {number}, * FROM {_csv(path, names)}"
    if file_format is SourceFormat.NDJSON:
        shape = "{" + ", ".join(f'{_json_text(name)}: "VARCHAR"' for name in names) + "}"
        columns = ", ".join(quote(name) for name in names)
        return (
            f"SELECT {quality.ROW}, {columns} FROM (SELECT {quality.ROW}, unnest(record) FROM "
            f"(SELECT {number}, from_json(json, {literal(shape)}) AS record, json FROM {_ndjson(path)}) "
            "WHERE json_type(json) = 'OBJECT')"
        )
    texts = ", ".join(f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}" for name in names)
    return f"SELECT {number}, {texts} FROM read_parquet({literal(str(path))})"


def broken_lines(path: Path, file_format: SourceFormat) -> str:
    """Return the SELECT of the lines that cannot be split into columns; for CSV, once its rows have been read."""
    if file_format is SourceFormat.CSV:
        return "SELECT any_value(csv_line) AS line FROM reject_errors GROUP BY file_id, line ORDER BY line"
    if file_format is SourceFormat.NDJSON:
        return (
            f"SELECT coalesce(CAST(json AS VARCHAR), 'not JSON') AS line FROM {_ndjson(path)} "
            "WHERE json IS NULL OR json_type(json) <> 'OBJECT'"
        )
    return "SELECT '' AS line WHERE FALSE"


def _ndjson(path: Path) -> str:
    return f"read_ndjson_objects({literal(str(path))}, ignore_errors = true)"


def _csv(path: Path, names: Sequence[str]) -> str:
    # Detection by content would take a ragged line at the end for the heading.
    delimiter, _ = _csv_heading(path)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    return (
        f"read_csv({literal(str(path))}, auto_detect = false, header = true, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', columns = {{{columns}}}, store_rejects = true, rejects_limit = 0)"
    )


def _csv_heading(path: Path) -> tuple[str, list[str]]:
    """Return the delimiter that splits the first line most often, and the names that the line holds."""
    best: tuple[str, list[str]] = (",", [])
    for delimiter in _DELIMITERS:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            names = next(csv.reader(lines, delimiter=delimiter), [])
        if len(names) > len(best[1]):
            best = (delimiter, [name.strip() or f"column{number}" for number, name in enumerate(names, 1)])
    return best


def _json_text(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _not_readable(file_format: SourceFormat) -> InvalidInput:
    return InvalidInput(
        "file_unreadable",
        f"The source file cannot be read as {file_format.value.upper()} with distinct column names.",
        action="Check the file and the `format` of the request.",
    )
