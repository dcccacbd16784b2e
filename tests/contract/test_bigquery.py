"""The BigQuery connector against the stand-in: the promises of every warehouse, and what is BigQuery's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from pydantic import SecretStr

from activities.connectors.warehouse.bigquery import BigQuery
from activities.connectors.warehouse.model import FACT_TABLE, RAW_TABLE
from activities.ports.connection import Connection
from contracts.errors import AuthExpired, InvalidInput, Permanent, RateLimited, Transient
from contracts.etl import Layer
from tests.support.admissions import Counting
from tests.support.bigquery_project import BigQueryProcess, service_account_key
from tests.support.loopback import IN_DEVELOPMENT
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

    seams = 31

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
