"""The data of the emulated Databricks workspace, without its HTTP."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emulators.databricks_execution import Done
from emulators.databricks_lakehouse import Lakehouse
from emulators.databricks_sql import RefusedError


def test_tables_files_and_what_was_copied_survive_a_restart(tmp_path: Path) -> None:
    copy = "COPY INTO raw.t FROM '/Volumes/wedsync/raw/files/one.parquet' FILEFORMAT = PARQUET"
    first = Lakehouse(tmp_path)
    for statement in ("CREATE SCHEMA raw", "CREATE VOLUME raw.files", "CREATE TABLE raw.t (id STRING)"):
        run_alone(first, statement)
    pq.write_table(pa.table({"id": ["s1"]}), first.place("/Volumes/wedsync/raw/files/one.parquet"))
    run_alone(first, copy)
    first.close()
    second = Lakehouse(tmp_path)
    assert run_alone(second, copy).effect is None
    assert second.rows("wedsync.raw.t", 10) == [{"id": "s1"}]
    second.close()


def test_of_two_writers_of_one_row_one_fails_with_a_conflict(tmp_path: Path) -> None:
    lakehouse = Lakehouse(tmp_path)
    run_alone(lakehouse, "CREATE TABLE t AS SELECT 1 AS a")
    with lakehouse.session() as other:
        other.begin()
        other.execute('UPDATE wedsync."default".t SET a = 2')
        with pytest.raises(RefusedError) as caught:
            run_alone(lakehouse, "UPDATE t SET a = 3")
    assert caught.value.state == "2D521"
    lakehouse.close()


def run_alone(lakehouse: Lakehouse, statement: str) -> Done:
    with lakehouse.session() as session:
        return lakehouse.run(session, statement, "wedsync", "default", {})
