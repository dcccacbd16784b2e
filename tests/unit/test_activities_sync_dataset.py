"""Extracts become typed files, however many columns they have."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from activities.sync_dataset import build_dataset

ROWS, COLUMNS = 3_000, 75


def test_an_extract_of_many_columns_is_typed_within_its_memory(tmp_path: Path) -> None:
    values = {f"column{number}": number / 2 for number in range(COLUMNS - 1)}
    lines = [{"id": f"wed-{row}", "properties": {**values, "note": f"wedding {row}"}} for row in range(ROWS)]
    part = tmp_path / "part.ndjson"
    part.write_text("".join(json.dumps(line) + "\n" for line in lines))
    dataset = build_dataset([part], list(lines[0]["properties"]), tmp_path)
    assert (dataset.books.updated, len(dataset.columns)) == (ROWS, COLUMNS)
    assert {column.type for column in dataset.columns} == {"decimal", "text"}
    table = pq.read_table(dataset.path)
    assert table["note"].to_pylist() == [f"wedding {row}" for row in range(ROWS)]
    assert set(table["column9"].to_pylist()) == {4.5}


def test_an_empty_and_a_missing_value_are_none(tmp_path: Path) -> None:
    part = tmp_path / "part.ndjson"
    lines = [{"a/b": 1, "c": "x"}, {"a/b": None, "c": ""}, {"c": None}]
    part.write_text("".join(json.dumps({"id": str(n), "properties": line}) + "\n" for n, line in enumerate(lines)))
    dataset = build_dataset([part], ["a/b", "c"], tmp_path)
    assert pq.read_table(dataset.path).to_pylist() == [{"a/b": 1, "c": "x"}, *[{"a/b": None, "c": None}] * 2]
