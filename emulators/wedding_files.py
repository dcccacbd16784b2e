"""Writes generated weddings to CSV, NDJSON or Parquet files in bounded memory."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from emulators.wedding_rows import RAW_COLUMNS, DataSet, records, table
from emulators.weddings import FIELDS

FORMATS = ("csv", "ndjson", "parquet")
CHUNK = 50_000
"""Rows held in memory at once; also the size of a Parquet row group."""
_LAYOUTS: dict[str, Mapping[str, str]] = {"report": {field: field for field in FIELDS}, "raw-csv": RAW_COLUMNS}


def chunks(data: DataSet, columns: Mapping[str, str], size: int = CHUNK) -> Iterator[pa.RecordBatch]:
    """All rows of a data set as record batches of at most `size` rows."""
    for start in range(0, data.rows, size):
        yield table(data, data.weddings(range(start, min(start + size, data.rows))), columns)


def write(data: DataSet, path: Path, *, file_format: str, layout: str = "report") -> None:
    """Write a whole data set to one file, visible under its name only when complete.

    Args:
        data: What to generate.
        path: The file to create or replace.
        file_format: One of `FORMATS`.
        layout: `report` (the API's fields) or `raw-csv` (snake_case columns as a supplier's export has them).
    """
    columns = _LAYOUTS[layout]
    partial = path.with_name(path.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    if file_format == "ndjson":
        _write_ndjson(data, partial, columns)
    else:
        schema = table(data, data.weddings([]), columns).schema
        opened: Any = (
            pq.ParquetWriter(partial, schema, compression="zstd")
            if file_format == "parquet"
            else pa_csv.CSVWriter(partial, schema)
        )
        with opened as writer:
            for batch in chunks(data, columns):
                writer.write_batch(batch)
    partial.replace(path)


def _write_ndjson(data: DataSet, path: Path, columns: Mapping[str, str]) -> None:
    step = CHUNK // 10
    with path.open("w", encoding="utf-8") as out:
        for start in range(0, data.rows, step):
            weddings = data.weddings(range(start, min(start + step, data.rows)))
            for record in records(data, weddings, list(columns.values())):
                named = dict(zip(columns, record.values(), strict=True))
                out.write(json.dumps(named, ensure_ascii=False, separators=(",", ":")) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """The command line `python -m emulators.weddings`; prints what it wrote as one JSON line."""
    parser = argparse.ArgumentParser(prog="emulators.weddings", description="Write generated weddings to a file.")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--dirty-ratio", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--format", choices=FORMATS, default="csv")
    parser.add_argument("--layout", choices=sorted(_LAYOUTS), default="report")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    data = DataSet(options.rows, options.seed, options.dirty_ratio)
    try:
        dirt = data.dirt
    except ValueError as error:
        parser.error(str(error))
    write(data, options.out, file_format=options.format, layout=options.layout)
    summary = {"rows": data.rows, "dirtyRows": dirt.count, "dirtyByReason": dirt.counts(), "file": options.out.name}
    print(json.dumps(summary))  # noqa: T201
    return 0
