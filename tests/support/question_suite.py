"""What every warehouse connector promises of a tenant's question, as tests that a connector's own class inherits."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from activities.connectors.warehouse.model import FACT_TABLE, MARTS
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse, WarehouseSession
from activities.ports.analytics import AnalyticsConnector, QueryAnswer
from contracts.analytics import AnalyticsQuery
from contracts.errors import InvalidInput, Permanent
from tests.support.admissions import Counting

FACTS = FACT_TABLE.name
_PATIENCE_S = 300
GUESTS = {"wed-0": 80, "wed-1": 90, "wed-2": 100, "wed-3": 110}
_COLUMNS = "WEDDING_SK, WEDDING_ID, SUPPLIER_SK, CLIENT_SK, VENUE_SK, DATE_SK, WEDDING_DATE, GUEST_COUNT, TOTAL_REVENUE"
_ALL = ", ".join(f"{FACTS} f{at}" for at in range(20))
ENDLESS = f"SELECT COUNT(*) FROM {_ALL} WHERE f0.GUEST_COUNT > f1.GUEST_COUNT"
"""Counts more combinations of rows than any stand-in ever will."""


def question(statement: str, max_rows: int = 100, timeout_s: int = 60, **parameters: Any) -> AnalyticsQuery:
    return AnalyticsQuery.model_validate(
        {
            "queryId": "query-1",
            "organizationId": "lumen",
            "targetIntegration": {"integrationId": "warehouse-main"},
            "statement": statement,
            "parameters": parameters,
            "maxRows": max_rows,
            "timeoutS": timeout_s,
        }
    )


async def asked(connector: Any, folder: Path, query: AnalyticsQuery) -> tuple[QueryAnswer, list[list[Any]]]:
    path = folder / "rows.ndjson"
    answer = await connector.query(query, path)
    return answer, [json.loads(line) for line in path.read_text().splitlines()]


async def filled(connector: SqlWarehouse) -> SqlWarehouse:
    """Give the warehouse four facts, without the load that usually brings them."""

    def fill(session: WarehouseSession) -> None:
        dialect = connector.dialect
        session.run("test", dialect.create_schema(MARTS))
        session.run("test", dialect.create_table(FACT_TABLE))
        for number, (wedding, guests) in enumerate(GUESTS.items()):
            values = f"{number}, '{wedding}', 1, 1, 1, 20270612, CAST('2027-06-12' AS DATE), {guests}, 1000.50"
            columns = f"{_COLUMNS}, BATCH_ID, ROW_NUMBER"
            session.run("test", f"INSERT INTO {FACTS} ({columns}) VALUES ({values}, 'etl-1', {number})")

    await connector._in_session(1, "test", lambda _, session: fill(session))
    return connector


class QuestionSuite:
    """The promises; a subclass named `Test...` says whose they are and gives the fixture `stand`."""

    endless: ClassVar[str] = ENDLESS
    """A question that the stand-in does not end by itself."""

    def connector(self, stand: Any) -> SqlWarehouse:
        """Return an open connector to the stand-in."""
        raise NotImplementedError

    def reached(self, stand: Any) -> int:
        """Return how many requests or statements the stand-in has seen."""
        raise NotImplementedError

    def delayed(self, stand: Any) -> None:
        """Have the stand-in work on the endless question for ever, where it would not by itself."""

    async def ended(self, stand: Any) -> bool:
        """Return whether the stand-in has ended the endless question, where its own error is not the proof."""
        return True

    @pytest.fixture
    async def connected(self, stand):
        return await filled(self.connector(stand))

    async def test_a_question_is_answered_in_json_with_the_kinds_of_its_columns(self, connected, tmp_path):
        assert isinstance(connected, AnalyticsConnector)
        columns = "WEDDING_ID, GUEST_COUNT, TOTAL_REVENUE, WEDDING_DATE"
        statement = f"SELECT {columns} FROM {FACTS} WHERE GUEST_COUNT = 90"
        answer, rows = await asked(connected, tmp_path, question(statement))
        assert [column.type for column in answer.columns] == ["text", "number", "number", "date"]
        assert rows == [["wed-1", 90, 1000.5, "2027-06-12"]]

    async def test_values_are_bound_in_their_places_and_never_read_as_sql(self, connected, tmp_path):
        chosen = "(WEDDING_ID = :id OR GUEST_COUNT > :most) AND SUPPLIER_SK = :sk"
        statement = f"SELECT WEDDING_ID FROM {FACTS} WHERE {chosen}"
        _, found = await asked(connected, tmp_path, question(statement, id="wed-0", most=100, sk=1))
        _, tricked = await asked(connected, tmp_path, question(statement, id="x' OR '1' = '1", most=100, sk=1))
        assert (sorted(found), tricked) == ([["wed-0"], ["wed-3"]], [["wed-3"]])

    async def test_a_day_given_as_text_is_compared_as_a_day(self, connected, tmp_path):
        """As the published example does."""
        statement = f"SELECT COUNT(*) FROM {FACTS} WHERE WEDDING_DATE >= :since"
        found = [await asked(connected, tmp_path, question(statement, since=f"2027-06-{day}")) for day in (12, 13)]
        assert [rows for _, rows in found] == [[[4]], [[0]]]

    async def test_a_text_arrives_as_it_was_given(self, connected, tmp_path):
        text = "O'Brien \\' \"50%\" ? :id @p0 $1 -- é"
        statement = f"SELECT CONCAT(WEDDING_ID, :text) FROM {FACTS} WHERE GUEST_COUNT = 80"
        _, rows = await asked(connected, tmp_path, question(statement, text=text))
        assert rows == [["wed-0" + text]]

    async def test_a_value_that_is_null_matches_nothing(self, connected, tmp_path):
        _, rows = await asked(connected, tmp_path, question(f"SELECT 1 FROM {FACTS} WHERE GUEST_COUNT = :n", n=None))
        assert rows == []

    async def test_a_percent_sign_survives_the_binding(self, connected, tmp_path):
        statement = f"SELECT COUNT(*) FROM {FACTS} WHERE WEDDING_ID LIKE 'wed-%'"
        _, bare = await asked(connected, tmp_path, question(statement))
        _, bound = await asked(connected, tmp_path, question(f"{statement} AND GUEST_COUNT > :least", least=1))
        assert bare == bound == [[4]]

    @pytest.mark.parametrize(("most", "expected"), [(3, (3, True)), (4, (4, False)), (5, (4, False))])
    async def test_rows_beyond_the_limit_are_left_out_and_told(self, connected, tmp_path, most, expected):
        answer, rows = await asked(connected, tmp_path, question(f"SELECT WEDDING_ID FROM {FACTS}", most))
        assert (answer.rows, answer.truncated, len(rows)) == (*expected, expected[0])

    async def test_a_question_that_is_not_allowed_never_reaches_the_warehouse(self, connected, stand, tmp_path):
        before = self.reached(stand)
        for statement in (f"DELETE FROM {FACTS}", "SELECT * FROM WEDDING_RAW.WEDDINGS", "SELECT SLEEP(9)"):
            with pytest.raises(InvalidInput):
                await asked(connected, tmp_path, question(statement))
        assert self.reached(stand) == before

    async def test_a_column_that_is_not_there_is_the_askers_mistake(self, connected, tmp_path):
        with pytest.raises(Permanent):
            await asked(connected, tmp_path, question(f"SELECT NOWHERE FROM {FACTS}"))

    async def test_a_question_whose_time_is_up_is_ended_at_the_warehouse(self, connected, stand, tmp_path):
        self.delayed(stand)
        with pytest.raises(Permanent) as caught:
            await asked(connected, tmp_path, question(self.endless, timeout_s=1))
        assert caught.value.detail.code == "query_timeout"
        async with asyncio.timeout(_PATIENCE_S):
            while not await self.ended(stand):  # noqa: ASYNC110 - the stand-in tells nobody
                await asyncio.sleep(0.05)

    async def test_every_request_of_a_question_was_admitted(self, connected, stand, tmp_path):
        admission = Counting()
        connected._connection = replace(connected._connection, admission=admission)
        before = self.reached(stand)
        await asked(connected, tmp_path, question(f"SELECT WEDDING_ID FROM {FACTS}"))
        made = self.reached(stand) - before
        assert 0 < made <= admission.calls
