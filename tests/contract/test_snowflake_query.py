"""Questions to Snowflake, against the stand-in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from activities.connectors.warehouse.model import FACT_TABLE
from activities.connectors.warehouse.snowflake import Snowflake
from activities.ports.analytics import AnalyticsConnector, QueryAnswer
from contracts.analytics import AnalyticsQuery
from contracts.errors import InvalidInput, Permanent
from tests.contract.test_snowflake import snowflake_at
from tests.support.snowflake_account import Account
from tests.support.warehouse_suite import WEDDINGS, batch, load

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def connector(account: Account, tmp_path: Path) -> AsyncIterator[Snowflake]:
    made = snowflake_at(account)
    await made.provision()
    await load(made, tmp_path, WEDDINGS, batch())
    yield made
    await made.aclose()


def question(statement: str, max_rows: int = 100, **parameters: Any) -> AnalyticsQuery:
    return AnalyticsQuery.model_validate(
        {
            "queryId": "query-1",
            "organizationId": "lumen",
            "targetIntegration": {"integrationId": "snowflake-main"},
            "statement": statement,
            "parameters": parameters,
            "maxRows": max_rows,
        }
    )


async def asked(connector: Snowflake, folder: Path, query: AnalyticsQuery) -> tuple[QueryAnswer, list[list[Any]]]:
    path = folder / "rows.ndjson"
    answer = await connector.query(query, path)
    return answer, [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_question_is_answered_in_json_with_the_kinds_of_its_columns(connector: Snowflake, tmp_path: Path):
    assert isinstance(connector, AnalyticsConnector)
    statement = f"SELECT WEDDING_ID, GUEST_COUNT, TOTAL_REVENUE, WEDDING_DATE FROM {FACT_TABLE.name} ORDER BY 1 LIMIT 1"
    answer, rows = await asked(connector, tmp_path, question(statement))
    assert [column.type for column in answer.columns] == ["text", "number", "number", "date"]
    assert rows == [["wed-0", 80, 1000.5, "2027-06-12"]]


async def test_values_are_bound_and_never_read_as_sql(connector: Snowflake, tmp_path: Path):
    statement = f"SELECT WEDDING_ID FROM {FACT_TABLE.name} WHERE WEDDING_ID = :id AND GUEST_COUNT >= :least"
    _, found = await asked(connector, tmp_path, question(statement, id="wed-2", least=80))
    _, tricked = await asked(connector, tmp_path, question(statement, id="x' OR '1' = '1", least=0))
    assert (found, tricked) == ([["wed-2"]], [])


async def test_a_percent_sign_survives_the_binding(connector: Snowflake, tmp_path: Path):
    statement = f"SELECT COUNT(*) FROM {FACT_TABLE.name} WHERE WEDDING_ID LIKE 'wed-%'"
    _, bare = await asked(connector, tmp_path, question(statement))
    _, bound = await asked(connector, tmp_path, question(f"{statement} AND GUEST_COUNT > :least", least=1))
    assert bare == bound == [[4]]


@pytest.mark.parametrize(("most", "expected"), [(3, (3, True)), (4, (4, False)), (5, (4, False))])
async def test_rows_beyond_the_limit_are_left_out_and_told(
    connector: Snowflake, tmp_path: Path, most: int, expected: tuple[int, bool]
):
    answer, rows = await asked(connector, tmp_path, question(f"SELECT WEDDING_ID FROM {FACT_TABLE.name}", most))
    assert (answer.rows, answer.truncated, len(rows)) == (*expected, expected[0])


async def test_a_question_that_is_not_allowed_never_reaches_the_account(
    connector: Snowflake, account: Account, tmp_path: Path
):
    calls, before = account.calls(), account.counts()
    for statement in (f"DELETE FROM {FACT_TABLE.name}", "SELECT * FROM WEDDING_RAW.WEDDINGS", "SELECT SYSTEM$WAIT(9)"):
        with pytest.raises(InvalidInput):
            await connector.query(question(statement), tmp_path / "rows.ndjson")
    assert (account.calls(), account.counts()) == (calls, before)


async def test_a_column_that_is_not_there_is_the_askers_mistake(connector: Snowflake, tmp_path: Path):
    with pytest.raises(Permanent):
        await connector.query(question(f"SELECT NOWHERE FROM {FACT_TABLE.name}"), tmp_path / "rows.ndjson")


async def test_a_question_leaves_no_session_for_loads_to_find(connector: Snowflake, account: Account, tmp_path: Path):
    logins = account.logins()
    await asked(connector, tmp_path, question(f"SELECT 1 FROM {FACT_TABLE.name}"))
    await connector.build_analytics(batch())
    assert account.logins() == logins + 1
