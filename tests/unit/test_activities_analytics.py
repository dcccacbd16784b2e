"""A long answer travels by reference, a short one inline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.analytics import Analytics
from activities.ports.analytics import QueryAnswer
from activities.security.envelope import MasterKey
from activities.storage.staging import Staging
from contracts.analytics import AnalyticsQuery, QueryColumn, QueryResult

QUERY = AnalyticsQuery.model_validate(
    {
        "queryId": "query-1",
        "organizationId": "lumen-studios",
        "targetIntegration": {"integrationId": "snowflake-main"},
        "statement": "SELECT 1",
    }
)


class Warehouse:
    """Answers with numbered rows of a given width, and stands for the access to itself."""

    def __init__(self, rows: int, width: int = 1) -> None:
        self._rows, self._width = rows, width

    async def connector(self, *_: Any) -> Warehouse:
        return self

    async def query(self, query: AnalyticsQuery, into: Path) -> QueryAnswer:
        into.write_text("".join(json.dumps([number, "canary" * self._width]) + "\n" for number in range(self._rows)))
        columns = [QueryColumn(name="N", type="number"), QueryColumn(name="T", type="text")]
        return QueryAnswer(columns, self._rows, truncated=False)


async def answered(folder: Path, warehouse: Warehouse) -> tuple[QueryResult, Staging]:
    staging = Staging(f"file://{folder}/objects", MasterKey(bytes(32)), folder / "scratch")
    return await ActivityEnvironment().run(Analytics(warehouse, staging).query, QUERY), staging  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [0, 1, 1_000])
async def test_up_to_a_thousand_rows_are_in_the_answer(tmp_path: Path, rows: int):
    result, _ = await answered(tmp_path, Warehouse(rows))
    assert (len(result.rows), result.row_count, result.rows_ref) == (rows, rows, None)


@pytest.mark.parametrize("warehouse", [Warehouse(1_001), Warehouse(100, width=1_000)], ids=["many", "wide"])
async def test_more_lies_sealed_in_the_object_store(tmp_path: Path, warehouse: Warehouse):
    result, staging = await answered(tmp_path, warehouse)
    assert result.rows_ref is not None
    assert result.rows == []
    clear = [path for path in tmp_path.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]
    lines = (await staging.fetch(result.rows_ref, tmp_path)).read_text().splitlines()
    assert (clear, len(lines)) == ([], result.row_count)
