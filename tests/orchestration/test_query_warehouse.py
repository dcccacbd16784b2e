"""QueryWarehouse: its decisions with fake activities."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.boundary import as_application_error
from contracts.analytics import AnalyticsQuery, QueryColumn, QueryResult, QueryTarget
from contracts.errors import InvalidInput, WedSyncError
from contracts.names import DATA_QUEUE, ORCHESTRATION_QUEUE, system_queue
from tests.support.temporal import polling, time_skipping
from workflows.query_warehouse import QueryWarehouse

QUERY = AnalyticsQuery.model_validate(
    {
        "queryId": "query-1",
        "organizationId": "lumen-studios",
        "targetIntegration": {"integrationId": "snowflake-main"},
        "statement": "SELECT WEDDING_ID FROM WEDDING_MARTS.FACT_WEDDINGS",
    }
)


@asynccontextmanager
async def server() -> AsyncIterator[Client]:
    async with time_skipping() as environment:
        yield environment.client


def workers(client: Client, activities: list[Any]) -> AbstractAsyncContextManager[None]:
    return polling(client, [QueryWarehouse], activities, DATA_QUEUE, system_queue("snowflake"))


class FakeAnalytics:
    """A warehouse that answers, or refuses."""

    def __init__(self, refusal: WedSyncError | None = None) -> None:
        self.refusal = refusal
        self.asked: list[str] = []

    def activities(self) -> list[Any]:
        return [self.check, self.query]

    @activity.defn(name="analytics.check")
    async def check(self, query: AnalyticsQuery) -> QueryTarget:
        return QueryTarget(platform="snowflake")

    @activity.defn(name="analytics.query")
    async def query(self, query: AnalyticsQuery) -> QueryResult:
        self.asked.append(activity.info().task_queue)
        if self.refusal:
            raise as_application_error(self.refusal)
        columns = [QueryColumn(name="WEDDING_ID", type="text")]
        return QueryResult(query_id=query.query_id, columns=columns, rows=[["wed-1"]], row_count=1)


async def run(fake: FakeAnalytics) -> QueryResult:
    async with server() as client, workers(client, fake.activities()):
        return await client.execute_workflow(
            QueryWarehouse.run, QUERY, id=f"query-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
        )


async def test_a_question_is_put_in_the_warehouses_own_queue():
    fake = FakeAnalytics()
    assert (await run(fake)).rows == [["wed-1"]]
    assert fake.asked == [system_queue("snowflake")]


async def test_a_question_that_is_not_allowed_is_asked_once():
    fake = FakeAnalytics(InvalidInput("query_not_a_select", "The query is not one SELECT."))
    with pytest.raises(WorkflowFailureError) as caught:
        await run(fake)
    assert isinstance(caught.value.cause, ApplicationError)
    assert (caught.value.cause.details[0]["code"], len(fake.asked)) == ("query_not_a_select", 1)
