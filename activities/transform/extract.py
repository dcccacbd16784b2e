"""Source file -> judged rows -> Parquet parts, in DuckDB with bounded memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from activities.transform import protection, quality
from activities.transform.identifiers import literal, quote
from activities.transform.memory import within
from activities.transform.reading import broken_lines, numbered_rows, reading
from activities.transform.star import FIELDS
from contracts.dataset import SourceFormat
from contracts.errors import InvalidInput
from contracts.etl import Layer
from contracts.integration import FieldMapping

_MEMORY = "320MB"
"""Five million rows do not fit with 128 MB, and gain no time by more; JSON is read 2,048 lines at once."""
PART_ROWS = 250_000
WITHHELD = "withheld: the source has personal columns"
_GROUP_ROWS = 20_480
_PARQUET = f"FORMAT PARQUET, COMPRESSION ZSTD, ROW_GROUP_SIZE {_GROUP_ROWS}"
_CHANGED = FIELDS[-1]
_TEXTS = ", ".join(quote(field.column) for field in FIELDS)


@dataclass(frozen=True)
class Part:
    """One Parquet file of a layer."""

    layer: Layer
    path: Path
    rows: int


@dataclass(frozen=True)
class Guard:
    """How personal values are kept: who seals them, which source columns are personal, and a private directory."""

    sealing: protection.Sealing
    personal: Sequence[str]
    scratch: Path


@dataclass(frozen=True)
class Window:
    """The time within which a row's last change lies: from `since` until before `before`, open where None."""

    since: datetime | None
    before: datetime | None


@dataclass(frozen=True)
class Judgement:
    """What the rules found in the whole source, and the digests of both layers."""

    total: int
    failed: int
    reasons: dict[str, int]
    raw_digest: str
    staging_digest: str


@contextmanager
def engine(scratch: Path, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database that spills to `scratch` and can open nothing else but the file's directory.

    Raises:
        Permanent: `memory_exceeded`, rows that could be read do not fit into memory.
    """
    with duckdb.connect() as connection:
        # Work is shared out by row groups: small ones let two threads work on a load of usual size.
        connection.execute(f"ATTACH {literal(str(scratch / 'work.duckdb'))} AS work (ROW_GROUP_SIZE {_GROUP_ROWS})")
        connection.execute("USE work")
        # Nobody opens it again.
        connection.execute("SET checkpoint_threshold = '1TB'")
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        directories = ", ".join(literal(str(path)) for path in (scratch, path.parent))
        for setting in (
            f"memory_limit = '{_MEMORY}'",
            "threads = 2",
            # Rows carry their number: keeping their order as well would leave a thread idle.
            "preserve_insertion_order = false",
            # A file's size is guessed far too small: in every join the smaller side is written last.
            "disabled_optimizers = 'join_order,build_side_probe_side'",
            f"temp_directory = {literal(str(scratch / 'spill'))}",
            f"allowed_directories = [{directories}]",
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            connection.execute(f"SET {setting}")
        with within(_MEMORY, "Load the rows a part at a time, by changedSince and changedBefore, meanwhile."):
            yield connection


def judge(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    file_format: SourceFormat,
    names: Sequence[str],
    mapping: Sequence[FieldMapping],
    guard: Guard | None = None,
    window: Window | None = None,
) -> Judgement:
    """Map every row of the file, apply the rules, and leave the tables `judged` and `rejected`.

    Lines that cannot be split into columns are rejected rows, numbered after all others. What is protected stands in
    neither table, and lines that nobody can tell the columns of are withheld. Rows that changed outside of the window
    are no part of the load; rows that do not say when they changed are rejected by every load with a window.

    Raises:
        InvalidInput: the mapping does not fit the columns, the file is not of that format, or it has no rows.
    """
    planned = quality.plan_fields(mapping, names)
    needed = [field.name for field in FIELDS if any(item.required and item.target == field.name for item in mapping)]
    if window is not None:
        needed.append(_CHANGED.name)
    with reading(file_format):
        # A view: keeping the text of every column beside what is made of it costs more than reading some rows twice.
        connection.execute(f"CREATE TEMP VIEW source AS {numbered_rows(path, file_format, names)}")
        connection.execute(f"CREATE TABLE judged AS {quality.judged_rows(planned, needed)}")
        connection.execute(f"CREATE TABLE broken AS {broken_lines(path, file_format)}")
        if window is not None:
            connection.execute(f"DELETE FROM judged WHERE NOT ({_within(window)})")
    shown = list(names)
    if guard is not None:
        named = quality.named_fields(mapping)
        shown = protection.shown_columns(named, planned, names, guard.personal)
        if len(shown) < len(names):
            connection.execute(f"UPDATE broken SET line = {literal(WITHHELD)}")
        protection.protect(connection, guard.scratch, named, guard.sealing)
    with reading(file_format):
        _reject(connection, shown)
    reasons = connection.execute(
        f"SELECT unnest(string_split({quality.REASONS}, ',')) AS rule, count(*) FROM rejected GROUP BY 1 ORDER BY 1"
    ).fetchall()
    total, failed, raw_digest, staging_digest = _counted(connection)
    if total == 0 and window is None:
        raise InvalidInput("source_empty", "The source has no rows.", action="Check that the export is complete.")
    return Judgement(total, failed, {str(rule): int(count) for rule, count in reasons}, raw_digest, staging_digest)


def _within(window: Window) -> str:
    """Return the condition that a row of `judged` changed within the window, or does not say when."""
    changed = quality.typed(_CHANGED)
    bounds = [
        f"{changed} {operator} TIMESTAMP {literal(f'{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}')}"
        for operator, instant in ((">=", window.since), ("<", window.before))
        if instant is not None
    ]
    return f"coalesce({' AND '.join(bounds)}, TRUE)"


def _reject(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
    """Leave the bad rows of `judged` in `rejected` as they came, and append the lines that are no rows to both."""
    row, reasons = quality.ROW, quality.REASONS
    connection.execute(
        f"UPDATE judged SET {reasons} = {literal(quality.DUPLICATE)} WHERE {row} IN ({quality.duplicates()})"
    )
    connection.execute(f"CREATE TABLE rejected AS SELECT {row}, {reasons}, '' AS record FROM judged WHERE FALSE")
    record = ", ".join(f"{literal(name)}, source.{quote(name)}" for name in names)
    if _number(connection, f"SELECT count(*) FROM judged WHERE {reasons} <> ''"):
        connection.execute(
            f"INSERT INTO rejected SELECT {row}, bad.{reasons}, CAST(json_object({record}) AS VARCHAR) "
            f"FROM source JOIN (SELECT {row}, {reasons} FROM judged WHERE {reasons} <> '') AS bad USING ({row})"
        )
    last = _number(connection, f"SELECT coalesce(max({row}), 0) FROM judged")
    connection.execute(
        f"INSERT INTO rejected SELECT {last} + row_number() OVER (), {literal(quality.UNREADABLE_ROW)}, "
        "CAST(to_json(line) AS VARCHAR) FROM broken"
    )
    connection.execute(
        f"INSERT INTO judged ({row}, {reasons}) SELECT {row}, {reasons} FROM rejected WHERE {row} > {last}"
    )


def write_parts(
    connection: duckdb.DuckDBPyConnection, folder: Path, batch_id: str, loaded_at: datetime, part_rows: int = PART_ROWS
) -> Iterator[Part]:
    """Write both layers as Parquet parts of at most `part_rows` rows each, yielding every file once it is complete."""
    total = _number(connection, f"SELECT coalesce(max({quality.ROW}), 0) FROM judged")
    lineage = f"{literal(batch_id)} AS BATCH_ID, judged.{quality.ROW} AS ROW_NUMBER"
    for index, first in enumerate(range(1, total + 1, part_rows)):
        within = f"judged.{quality.ROW} BETWEEN {first} AND {first + part_rows - 1}"
        raw = (
            f"SELECT {lineage}, {_TEXTS}, nullif(judged.{quality.REASONS}, '') AS REJECTED_BECAUSE, "
            f"rejected.record AS REJECTED_RECORD, TIMESTAMP '{loaded_at:%Y-%m-%d %H:%M:%S}' AS LOADED_AT "
            f"FROM judged LEFT JOIN rejected USING ({quality.ROW}) WHERE {within}"
        )
        staging = quality.typed_rows(lineage, f"{within} AND {quality.REASONS} = ''")
        for layer, select in ((Layer.RAW, raw), (Layer.STAGING, staging)):
            path = folder / f"{layer}-{index:05d}.parquet"
            rows = _copy(connection, select, path, _PARQUET)
            if rows:
                yield Part(layer, path, rows)


def write_quarantine(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Write the rejected rows as NDJSON {rowNumber, reasons, record} in the order of their numbers; returns how many.

    A few at a time: records are as long as their sources make them, and are sorted in memory.
    """
    slices = connection.execute(
        f"SELECT {quality.ROW} // {_GROUP_ROWS} AS slice FROM rejected GROUP BY slice ORDER BY slice"
    ).fetchall()
    written = 0
    piece = path.with_name(f"{path.name}.piece")
    with path.open("wb") as whole:
        for (number,) in slices:
            first = int(number) * _GROUP_ROWS
            select = (
                f"SELECT {quality.ROW} AS \"rowNumber\", string_split({quality.REASONS}, ',') AS reasons, record "
                f"FROM rejected WHERE {quality.ROW} BETWEEN {first} AND {first + _GROUP_ROWS - 1} ORDER BY 1"
            )
            written += _copy(connection, select, piece, "FORMAT JSON")
            with piece.open("rb") as part:
                shutil.copyfileobj(part, whole)
    return written


def _copy(connection: duckdb.DuckDBPyConnection, select: str, path: Path, options: str) -> int:
    return _number(connection, f"COPY ({select}) TO {literal(str(path))} ({options})")


def _counted(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, str, str]:
    """Return the numbers of rows and of rejected rows, and the digests of RAW and of STAGING."""
    content = f"bit_xor(hash({quality.ROW}, {quality.REASONS}, {_TEXTS}))"
    good = f"FILTER (WHERE {quality.REASONS} = '')"
    total, failed, *digests = connection.execute(
        f"SELECT count(*), count(*) - count(*) {good}, md5(concat_ws('/', count(*), {content})), "
        f"md5(concat_ws('/', count(*) {good}, {content} {good})) FROM judged"
    ).fetchall()[0]
    return int(total), int(failed), str(digests[0]), str(digests[1])


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0
