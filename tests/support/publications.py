"""Data sets to publish, and the memory of publications that are taken up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from activities.ports.datasets import DatasetColumn, PublishRequest

TYPES = {pa.string(): "text", pa.int64(): "integer", pa.float64(): "decimal", pa.bool_(): "boolean"}
TYPES |= {pa.date32(): "date", pa.timestamp("us"): "timestamp"}


class Remembered:
    """The progress of one publication over its attempts, which waits for nobody."""

    def __init__(self) -> None:
        self.text = ""
        self.pauses = 0

    async def noted(self) -> str:
        return self.text

    async def note(self, text: str) -> None:
        self.text = text

    async def pause(self) -> None:
        self.pauses += 1


def publication(
    folder: Path, values: Mapping[str, Sequence[Any]] | pa.Table, *, name: str, request_id: str = "request-1"
) -> PublishRequest:
    """Return the request to publish these columns, with a memory of its own."""
    table = values if isinstance(values, pa.Table) else pa.table(dict(values))
    path = folder / f"{request_id}.parquet"
    pq.write_table(table, path)
    columns = [DatasetColumn(field.name, TYPES[field.type]) for field in table.schema]
    return PublishRequest(name, [path], columns, request_id, scratch_dir=folder, progress=Remembered())
