"""Source file -> judged rows -> Parquet parts, in DuckDB with bounded memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from activities.transform import quality
from activities.transform.identifiers import literal, quote
from activities.transform.star import FIELDS
from contracts.dataset import SourceFormat
from contracts.errors import InvalidInput
from contracts.etl import Layer
from contracts.integration import FieldMapping

MEMORY_LIMIT = "256MB"
PART_ROWS = 250_000
_DELIMITERS = (",", ";", "\t", "|")
_TEXTS = ", ".join(quote(field.column) for field in FIELDS)


@dataclass(frozen=True)
class Part:
    """One Parquet file of a layer."""

    layer: Layer
    path: Path
    rows: int


@dataclass(frozen=True)
class Judgement:
    """What the rules found in the whole source, and the digests of both layers."""

    total: int
    failed: int
    reasons: dict[str, int]
    raw_digest: str
    staging_digest: str


@contextmanager
def engine(scratch: Path, readable: Sequence[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database in `scratch` that spills there and can open nothing else but the `readable` files."""
    with duckdb.connect(scratch / "work.duckdb") as connection:
        directories = ", ".join(literal(str(path)) for path in (scratch, *(path.parent for path in readable)))
        for setting in (
            f"memory_limit = '{MEMORY_LIMIT}'",
            "threads = 2",
            f"temp_directory = {literal(str(scratch / 'spill'))}",
            f"allowed_directories = [{directories}]",
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            connection.execute(f"SET {setting}")
        yield connection


def columns_of(connection: duckdb.DuckDBPyConnection, path: Path, file_format: SourceFormat) -> list[str]:
    """Return the names of the file's columns.

    Raises:
        InvalidInput: the file is not of that format, or has no columns.
    """
    try:
        if file_format is SourceFormat.NDJSON:
            rows = connection.execute(
                "SELECT DISTINCT unnest(json_keys(json)) AS name "
                f"FROM read_ndjson_objects({literal(str(path))}, ignore_errors = true) "
                "WHERE json_type(json) = 'OBJECT' ORDER BY name"
            ).fetchall()
            names = [str(name) for (name,) in rows]
        elif file_format is SourceFormat.CSV:
            _, names = _csv_heading(path)
        else:
            reader = f"read_parquet({literal(str(path))})"
            described = connection.execute(f"SELECT * FROM {reader} LIMIT 0").description or []
            names = [str(item[0]) for item in described]
    except (duckdb.Error, csv.Error, UnicodeError):
        raise _not_readable(file_format) from None
    if not names or len({name.lower() for name in names}) != len(names):
        raise _not_readable(file_format)
    return names


def read(connection: duckdb.DuckDBPyConnection, path: Path, file_format: SourceFormat, names: Sequence[str]) -> int:
    """Read the file into the table `source`, every column as text, and return its number of rows.

    Lines that cannot be split into columns become rows of the table `broken`.

    Raises:
        InvalidInput: the file is not of that format, or has no rows.
    """
    columns = ", ".join(quote(name) for name in names)
    connection.execute("CREATE TABLE broken (line VARCHAR)")
    try:
        if file_format is SourceFormat.CSV:
            reader = _csv(path, names)
            connection.execute(f"CREATE TABLE source AS SELECT row_number() OVER () AS {quality.ROW}, * FROM {reader}")
            connection.execute(
                "INSERT INTO broken SELECT any_value(csv_line) FROM reject_errors GROUP BY file_id, line ORDER BY line"
            )
        elif file_format is SourceFormat.NDJSON:
            _read_ndjson(connection, path, names, columns)
        else:
            texts = ", ".join(f"CAST({quote(name)} AS VARCHAR) AS {quote(name)}" for name in names)
            connection.execute(
                f"CREATE TABLE source AS SELECT row_number() OVER () AS {quality.ROW}, {texts} "
                f"FROM read_parquet({literal(str(path))})"
            )
    except duckdb.Error:
        raise _not_readable(file_format) from None
    total = _number(connection, "SELECT (SELECT count(*) FROM source) + (SELECT count(*) FROM broken)")
    if total == 0:
        raise InvalidInput("source_empty", "The source has no rows.", action="Check that the export is complete.")
    return total


def _read_ndjson(connection: duckdb.DuckDBPyConnection, path: Path, names: Sequence[str], columns: str) -> None:
    shape = "{" + ", ".join(f'{_json_text(name)}: "VARCHAR"' for name in names) + "}"
    connection.execute(
        f"CREATE TABLE source AS SELECT {quality.ROW}, {columns} FROM (SELECT {quality.ROW}, unnest(record) FROM "
        f"(SELECT row_number() OVER () AS {quality.ROW}, from_json(json, {literal(shape)}) AS record, json "
        f"FROM read_ndjson_objects({literal(str(path))}, ignore_errors = true)) WHERE json_type(json) = 'OBJECT')"
    )
    connection.execute(
        "INSERT INTO broken SELECT coalesce(CAST(json AS VARCHAR), 'not JSON') "
        f"FROM read_ndjson_objects({literal(str(path))}, ignore_errors = true) "
        "WHERE json IS NULL OR json_type(json) <> 'OBJECT'"
    )


def judge(connection: duckdb.DuckDBPyConnection, mapping: Sequence[FieldMapping], names: Sequence[str]) -> Judgement:
    """Map every row, apply the rules, and leave the tables `judged` and `rejected`.

    Raises:
        InvalidInput: the mapping does not fit the columns.
    """
    planned = quality.plan_fields(mapping, names)
    needed = [field.name for field in FIELDS if any(item.required and item.target == field.name for item in mapping)]
    connection.execute(f"CREATE TABLE judged AS {quality.judged_rows(planned, needed)}")
    connection.execute(
        f"UPDATE judged SET {quality.REASONS} = {literal(quality.DUPLICATE)} "
        f"WHERE {quality.ROW} IN ({quality.duplicates()})"
    )
    connection.execute(
        f"INSERT INTO judged ({quality.ROW}, {quality.REASONS}) "
        f"SELECT (SELECT count(*) FROM source) + row_number() OVER (), {literal(quality.UNREADABLE_ROW)} FROM broken"
    )
    record = ", ".join(f"{literal(name)}, source.{quote(name)}" for name in names)
    connection.execute(
        f"CREATE TABLE rejected AS SELECT judged.{quality.ROW}, judged.{quality.REASONS}, "
        f"CAST(json_object({record}) AS VARCHAR) AS record "
        f"FROM judged JOIN source USING ({quality.ROW}) WHERE judged.{quality.REASONS} <> '' "
        f"UNION ALL SELECT (SELECT count(*) FROM source) + row_number() OVER (), "
        f"{literal(quality.UNREADABLE_ROW)}, CAST(to_json(line) AS VARCHAR) FROM broken"
    )
    connection.execute("DROP TABLE source")
    reasons = connection.execute(
        f"SELECT unnest(string_split({quality.REASONS}, ',')) AS rule, count(*) FROM rejected GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return Judgement(
        total=_number(connection, "SELECT count(*) FROM judged"),
        failed=_number(connection, "SELECT count(*) FROM rejected"),
        reasons={str(rule): int(count) for rule, count in reasons},
        raw_digest=_digest(connection, "TRUE"),
        staging_digest=_digest(connection, f"{quality.REASONS} = ''"),
    )


def write_parts(
    connection: duckdb.DuckDBPyConnection, folder: Path, batch_id: str, loaded_at: datetime, part_rows: int = PART_ROWS
) -> Iterator[Part]:
    """Write both layers as Parquet parts of at most `part_rows` rows each, yielding every file once it is complete."""
    total = _number(connection, f"SELECT coalesce(max({quality.ROW}), 0) FROM judged")
    raw = (
        f"SELECT {literal(batch_id)} AS BATCH_ID, judged.{quality.ROW} AS ROW_NUMBER, {_TEXTS}, "
        f"nullif(judged.{quality.REASONS}, '') AS REJECTED_BECAUSE, record AS REJECTED_RECORD, "
        f"TIMESTAMP '{loaded_at:%Y-%m-%d %H:%M:%S}' AS LOADED_AT "
        f"FROM judged LEFT JOIN rejected USING ({quality.ROW}) WHERE judged.{quality.ROW}"
    )
    staging = (
        f"SELECT {literal(batch_id)} AS BATCH_ID, {quality.ROW} AS ROW_NUMBER, {quality.typed_columns()} "
        f"FROM judged WHERE {quality.REASONS} = '' AND {quality.ROW}"
    )
    for index, first in enumerate(range(1, total + 1, part_rows)):
        bounds = f"BETWEEN {first} AND {first + part_rows - 1}"
        for layer, select in ((Layer.RAW, raw), (Layer.STAGING, staging)):
            path = folder / f"{layer}-{index:05d}.parquet"
            rows = _copy(connection, f"{select} {bounds} ORDER BY ROW_NUMBER", path, "FORMAT PARQUET, COMPRESSION ZSTD")
            if rows:
                yield Part(layer, path, rows)


def write_quarantine(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Write the rejected rows as NDJSON {rowNumber, reasons, record}; returns their number."""
    select = (
        f"SELECT {quality.ROW} AS \"rowNumber\", string_split({quality.REASONS}, ',') AS reasons, record "
        f"FROM rejected ORDER BY 1"
    )
    return _copy(connection, select, path, "FORMAT JSON")


def _copy(connection: duckdb.DuckDBPyConnection, select: str, path: Path, options: str) -> int:
    return _number(connection, f"COPY ({select}) TO {literal(str(path))} ({options})")


def _digest(connection: duckdb.DuckDBPyConnection, condition: str) -> str:
    row = connection.execute(
        f"SELECT md5(concat_ws('/', count(*), bit_xor(hash({quality.ROW}, {quality.REASONS}, {_TEXTS})))) "
        f"FROM judged WHERE {condition}"
    ).fetchone()
    return str(row[0]) if row else ""


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0


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
