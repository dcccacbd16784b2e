"""Parquet to Tableau's .hyper extract, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pantab
import pyarrow as pa
import pyarrow.parquet as pq
from tableauhyperapi import TableName

from activities.ports.datasets import DatasetColumn
from activities.transform.parquet import batches

TABLE = TableName("Extract", "Extract")
"""The table Tableau expects in a published extract."""

_BATCH_ROWS = 10_000
_TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "decimal": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


def write_hyper(files: Sequence[Path], columns: Sequence[DatasetColumn], target: Path) -> int:
    """Write the rows of Parquet files into a new .hyper file and return how many there are.

    Memory is bounded by a batch of 10,000 rows and the Hyper process.

    Args:
        files: local Parquet files that hold `columns`.
        columns: names and types of the extract's columns.
        target: the file to write; it must not exist.
    """
    schema = pa.schema([(column.name, _TYPES[column.type]) for column in columns])
    reader = pa.RecordBatchReader.from_batches(schema, _batches(files, schema))
    # An empty log_config keeps the Hyper process from leaving a log in the working directory.
    pantab.frame_to_hyper(reader, target, table=TABLE, process_params={"log_config": ""})
    return sum(pq.read_metadata(path).num_rows for path in files)


def _batches(files: Sequence[Path], schema: Any) -> Iterator[Any]:
    for path in files:
        for batch in batches(path, _BATCH_ROWS, schema.names):
            yield from pa.Table.from_batches([batch]).select(schema.names).cast(schema).to_batches()
