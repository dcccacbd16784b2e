"""The BigQuery connector against the stand-in: the promises of every warehouse, and what is BigQuery's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from activities.connectors.warehouse import bigquery_query
from activities.connectors.warehouse.bigquery import BigQuery
from activities.connectors.warehouse.model import FACT_TABLE, RAW_TABLE
from activities.connectors.warehouse.sql_warehouse import WarehouseSession
from activities.ports.connection import Connection
from activities.transform.analytics_sql import BoundQuery
from contracts.errors import AuthExpired, InvalidInput, Permanent, RateLimited, Transient
from contracts.etl import Layer
from tests.support.admissions import Counting
from tests.support.bigquery_project import BigQueryProcess, service_account_key
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.question_suite import QuestionSuite, question
from tests.support.question_suite import asked as question_asked
from tests.support.warehouse_suite import CHANGED, WEDDINGS, WarehouseSuite, batch, layer, load

pytestmark = pytest.mark.timeout(600)
OPENED: list[BigQuery] = []


class Project:
    """One project of the stand-in, as the suite sees a warehouse."""

    def __init__(self, process: BigQueryProcess, project: str = "wedsync") -> None:
        self.process, self.project = process, project

    @property
    def control(self):
        return self.process.control

    def rows(self, table: str) -> list[dict[str, Any]]:
        return self.control.objects("bigquery", f"{self.project}.{table}")

    def writes(self) -> int:
        return len(self.control.effects("bigquery"))

    def reset(self) -> None:
        self.control.reset()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryProcess]:
    started = BigQueryProcess(tmp_path_factory.mktemp("bigquery"))
    yield started
    started.stop()


@pytest.fixture
def stand(process: BigQueryProcess) -> Project:
    process.control.reset()
    return Project(process)


@pytest.fixture(autouse=True)
async def _sessions_end_with_their_test():
    yield
    while OPENED:
        await OPENED.pop().aclose()


def bigquery_at(stand: Project, url: str | None = None, key: str | None = None, **settings: str) -> BigQuery:
    known = {"project": stand.project, **settings}
    credential = {"serviceAccountKey": SecretStr(key or json.dumps(service_account_key()))}
    place = ("lumen", "bigquery-main", "bigquery", url or stand.process.url)
    made = BigQuery(Connection(*place, known, credential, outbound=IN_DEVELOPMENT))
    OPENED.append(made)
    return made


class TestBigQuery(WarehouseSuite):
    """BigQuery keeps what every warehouse promises."""

    seams = 59

    def connector(self, stand: Project) -> BigQuery:
        return bigquery_at(stand)

    async def test_a_table_of_an_earlier_release_gets_the_columns_it_lacks(self, stand):
        connector = self.connector(stand)
        await connector.provision()
        name = FACT_TABLE.name
        for statement in (
            f"CREATE TABLE WEDDING_MARTS.EARLIER AS SELECT * EXCEPT (SOURCE_UPDATED_AT) FROM {name}",
            f"DROP TABLE {name}",
            f"CREATE TABLE {name} AS SELECT * FROM WEDDING_MARTS.EARLIER",
        ):
            await asked(connector, statement)
        await connector.provision()
        await asked(connector, f"SELECT SOURCE_UPDATED_AT FROM {name}")

    async def test_optimising_leaves_every_row_as_it_is_and_tells_what_it_brought(self, stand, tmp_path):
        """BigQuery keeps partitions and clusters by itself, so there is nothing to tell."""
        connector = self.connector(stand)
        assert (await connector.optimize(batch())).optimizations == []


async def asked(connector: BigQuery, statement: str) -> list[tuple[Any, ...]]:
    return await connector._in_session(1, "test", lambda _, session: session.run("test", statement))


async def test_f21_jobs_whose_answers_are_lost_are_found_and_not_repeated(stand, tmp_path):
    connector = bigquery_at(stand)
    await connector.provision()
    stand.control.fault("bigquery", "drop_after_effect", method="POST", path="jobs", probability=0.4, seed=2, count=25)
    loaded = await load(connector, tmp_path, WEDDINGS, batch())
    assert (loaded.created, loaded.standing, len(stand.rows(RAW_TABLE.name))) == (4, 4, 4)
    assert sum(request["status"] == 0 for request in stand.control.requests("bigquery")) > 10


async def test_a_file_that_an_earlier_attempt_has_loaded_is_not_loaded_again_while_its_table_stands(stand, tmp_path):
    connector = bigquery_at(stand)
    await connector.provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)

    def take(session: WarehouseSession) -> None:
        session.stage("test", "lumen/etl-1", files.files)
        session.append("test", RAW_TABLE, "etl-1", "lumen/etl-1", [path.name for path in files.files])

    for jobs in (1, 1):
        await connector._in_session(1, "test", lambda _, session: take(session))
        assert loads(stand) == jobs
    names = [path.name for path in files.files]
    await connector._in_session(1, "test", lambda _, session: session.unstage("test", "lumen/etl-1", names))
    await connector._in_session(1, "test", lambda _, session: take(session))
    assert (loads(stand), len(stand.rows(RAW_TABLE.name))) == (2, 4)


def loads(stand: Project) -> int:
    return sum(effect["kind"] == "job.load" for effect in stand.control.effects("bigquery"))


async def test_two_tenants_at_one_bigquery_do_not_meet(stand, tmp_path):
    other = Project(stand.process, "harbour")
    for project, weddings in ((stand, WEDDINGS), (other, CHANGED)):
        connector = bigquery_at(project)
        await connector.provision()
        await connector.load_layer(batch(), layer(tmp_path, Layer.RAW, weddings))
    assert [len(project.rows(RAW_TABLE.name)) for project in (stand, other)] == [4, 2]


async def test_every_request_was_admitted(stand, tmp_path):
    connector, admission = bigquery_at(stand), Counting()
    connector._connection = replace(connector._connection, admission=admission)
    for step in (
        connector.probe,
        connector.provision,
        partial(connector.load_layer, batch(), layer(tmp_path, Layer.RAW, WEDDINGS)),
        partial(connector.load_layer, batch(), layer(tmp_path, Layer.STAGING, WEDDINGS)),
        partial(connector.load_marts, batch()),
        partial(connector.build_analytics, batch()),
    ):
        admission.calls, before = 0, len(stand.control.requests("bigquery"))
        await step()
        assert len(stand.control.requests("bigquery")) - before <= admission.calls


@pytest.mark.parametrize(
    ("status", "expected"), [(429, RateLimited), (503, Transient), (403, Permanent), (401, AuthExpired)]
)
async def test_a_refused_request_says_what_recovers(stand, status, expected):
    stand.control.fault("bigquery", "status", method="POST", status=status, count=1)
    with pytest.raises(expected):
        await bigquery_at(stand).probe()


async def test_a_refused_key_asks_the_tenant_to_connect_again(stand):
    key = json.dumps({**service_account_key(), "client_email": "stranger@example.org"})
    with pytest.raises(AuthExpired):
        await bigquery_at(stand, key=key).probe()


@pytest.mark.parametrize("key", ["", "[]", "{}", "no json"])
async def test_a_credential_that_is_no_key_asks_the_tenant_to_connect_again(stand, key):
    with pytest.raises(AuthExpired):
        await bigquery_at(stand, key=key or " ").probe()


async def test_f61_a_key_that_names_another_token_address_is_not_sent_there(stand):
    key = json.dumps({**service_account_key(), "token_uri": "http://127.0.0.1:9/token"})
    assert (await bigquery_at(stand, key=key).probe()).ok


async def test_a_project_that_does_not_answer_is_tried_again(stand):
    with pytest.raises(Transient):
        await bigquery_at(stand, url="http://127.0.0.1:9").probe()


async def test_marts_without_their_tables_name_the_missing_object(stand):
    with pytest.raises(Permanent) as caught:
        await bigquery_at(stand).load_marts(batch())
    assert caught.value.detail.code == "object_missing"


@pytest.mark.parametrize("setting", ["project", "location"])
async def test_f64_a_hostile_name_in_the_settings_reaches_no_statement(stand, setting):
    with pytest.raises(InvalidInput):
        await bigquery_at(stand, **{setting: "x`; DROP TABLE T"}).probe()


class TestBigQueryQuestions(QuestionSuite):
    """BigQuery answers questions as every warehouse does, and stops a job by itself, or when it is told to."""

    endless = f"SELECT COUNT(*) FROM {FACT_TABLE.name}"

    def connector(self, stand: Project) -> BigQuery:
        return bigquery_at(stand)

    def reached(self, stand: Project) -> int:
        return len(stand.control.requests("bigquery"))

    def delayed(self, stand: Project) -> None:
        stand.process.lasting()

    async def ended(self, stand: Project) -> bool:
        return [status["state"] for status in stand.process.lasted()] == ["DONE"]

    async def test_a_job_that_does_not_stop_by_itself_is_cancelled(self, connected, stand, tmp_path, monkeypatch):
        monkeypatch.setattr(bigquery_query, "_GRACE_S", 0)
        stand.process.lasting(deaf=True)
        with pytest.raises(Permanent) as caught:
            await question_asked(connected, tmp_path, question(self.endless, timeout_s=1))
        assert caught.value.detail.code == "query_timeout"
        assert await self.ended(stand)

    async def test_a_question_that_would_cost_more_than_is_allowed_is_refused(self, connected, stand, tmp_path):
        frugal = bigquery_at(stand, maximumBytesBilled="1000")
        with pytest.raises(Permanent) as caught:
            await question_asked(frugal, tmp_path, question(f"SELECT WEDDING_ID FROM {FACT_TABLE.name}"))
        assert caught.value.detail.code == "query_too_expensive"

    async def test_what_bigquery_takes_for_no_query_is_planned_and_not_run(self, connected, stand, tmp_path):
        bound = BoundQuery(f"DELETE FROM {FACT_TABLE.name} WHERE TRUE", ())
        with pytest.raises(InvalidInput) as caught:
            bigquery_query.ask(connected._connection, question("SELECT 1"), bound, tmp_path / "rows.ndjson")
        assert caught.value.detail.code == "query_not_a_select"
        assert len(stand.rows(FACT_TABLE.name)) == 4
