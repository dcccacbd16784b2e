"""Parquet files read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def batches(path: Path, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows in their order, at most `rows` at once, with these columns or all.

    Raises:
        ArrowException: it is no Parquet file, or lacks a column.
    """
    try:
        # Read ahead, a file would be in memory as a whole.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=rows, columns=None if columns is None else list(columns))
    finally:
        pa.default_memory_pool().release_unused()
