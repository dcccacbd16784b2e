"""Parquet files are read a batch at a time, however large they are."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from activities.transform.parquet import batches

GROUPS, GROUP_ROWS = 40, 20_000
NOISE = 64


def test_f15_a_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "weddings.parquet"
    with pq.ParquetWriter(path, pa.schema([("number", pa.int64()), ("noise", pa.binary(NOISE))])) as writer:
        for group in range(GROUPS):
            numbers = pa.array(range(group * GROUP_ROWS, (group + 1) * GROUP_ROWS))
            noise = pa.array([os.urandom(NOISE) for _ in range(GROUP_ROWS)], pa.binary(NOISE))
            writer.write_table(pa.table([numbers, noise], names=["number", "noise"]))
    before, most, read = pa.total_allocated_bytes(), 0, 0
    for batch in batches(path, 1_000, ["number", "noise"]):
        assert batch["number"][0].as_py() == read
        read += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert read == GROUPS * GROUP_ROWS
    assert most < path.stat().st_size / 4
