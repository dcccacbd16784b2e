"""The Databricks connector against the stand-in: the promises of every warehouse, and what is Databricks' own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from activities.connectors.warehouse import databricks_query, databricks_session
from activities.connectors.warehouse.databricks import Databricks
from activities.connectors.warehouse.databricks_failures import failure
from activities.connectors.warehouse.model import FACT_TABLE, RAW_TABLE
from activities.ports.connection import Connection
from activities.transport.oauth import OAuthClient, TokenEndpoint
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Permanent, RateLimited, Transient
from contracts.etl import Layer
from tests.support.admissions import Counting
from tests.support.emulators import Emulators
from tests.support.loopback import IN_DEVELOPMENT, loopback_client
from tests.support.question_suite import QuestionSuite, asked, question
from tests.support.warehouse_suite import CHANGED, WEDDINGS, WarehouseSuite, batch, content, layer, load

EMULATED = ("databricks",)
pytestmark = pytest.mark.timeout(600)
TOKEN = "sandbox-databricks-token"


class Catalog:
    """One catalog of the emulated workspace, as the suite sees a warehouse."""

    def __init__(self, emulators: Emulators, catalog: str = "wedsync") -> None:
        self.emulators, self.catalog = emulators, catalog

    @property
    def url(self) -> str:
        return self.emulators.base_url("databricks")

    def rows(self, table: str) -> list[dict[str, Any]]:
        found = self.emulators.objects("databricks", f"{self.catalog}.{table.lower()}")
        return [{name.upper(): value for name, value in row.items()} for row in found]

    def writes(self) -> int:
        return sum(effect["objectType"] != "files" for effect in self.emulators.effects("databricks"))

    def reset(self) -> None:
        self.emulators.reset()


def databricks_at(stand: Catalog, token: str = TOKEN, url: str | None = None, **settings: str) -> Databricks:
    known = {"warehouseId": "sandboxwarehouse0", "catalog": stand.catalog, **settings}
    place = ("lumen", "databricks-main", "databricks", url or stand.url)
    made = Databricks(Connection(*place, known, {"accessToken": SecretStr(token)}, outbound=IN_DEVELOPMENT))
    OPENED.append(made)
    return made


OPENED: list[Databricks] = []


@pytest.fixture(autouse=True)
async def _sessions_end_with_their_test():
    yield
    while OPENED:
        await OPENED.pop().aclose()


@pytest.fixture
def stand(emulators: Emulators) -> Catalog:
    return Catalog(emulators)


class TestDatabricks(WarehouseSuite):
    """Databricks keeps what every warehouse promises."""

    seams = 17

    def connector(self, stand: Catalog) -> Databricks:
        return databricks_at(stand)


async def insistently(step: Callable[[], Awaitable[Any]]) -> int:
    """Repeat a step, as Temporal does, until it ends; returns how often it was lost."""
    for lost in count():
        try:
            await step()
        except Transient:
            continue
        return lost
    raise AssertionError


async def two_loads(stand: Catalog, folder: Path) -> int:
    connector, lost = databricks_at(stand), await insistently(databricks_at(stand).provision)
    for given, weddings in ((batch(), WEDDINGS), (batch("etl-2", "run-2", "2027-02-01"), CHANGED)):
        for name in Layer:
            files = layer(folder, name, weddings, given.etl_id)
            lost += await insistently(partial(connector.load_layer, given, files))
        lost += await insistently(partial(connector.load_marts, given))
        lost += await insistently(partial(connector.build_analytics, given))
    return lost


async def test_f21_answers_that_are_lost_anywhere_double_nothing(stand, tmp_path):
    assert await two_loads(stand, tmp_path) == 0
    expected = content(stand)
    stand.reset()
    stand.emulators.fault("databricks", "drop_after_effect", probability=0.15, seed=5, count=20)
    assert await two_loads(stand, tmp_path) >= 10
    assert content(stand) == expected
    assert len(stand.rows(RAW_TABLE.name)) == len(WEDDINGS) + len(CHANGED)


async def test_f21_a_lost_answer_to_a_write_leaves_its_outcome_open(stand):
    connector = databricks_at(stand)
    stand.emulators.fault("databricks", "drop_after_effect", method="POST", path="statements", count=2)
    with pytest.raises(Transient) as caught:
        await connector.probe()
    assert not isinstance(caught.value, OutcomeUnknown)
    with pytest.raises(OutcomeUnknown):
        await connector._in_session(1, "test", lambda _, session: session.run("test", "CREATE SCHEMA lost"))


async def test_files_that_changed_under_their_name_are_loaded_again(stand, tmp_path):
    connector = databricks_at(stand)
    await connector.provision()
    await connector.load_layer(batch(), layer(tmp_path, Layer.RAW, WEDDINGS))
    await connector.load_layer(batch(), layer(tmp_path, Layer.RAW, CHANGED))
    assert {row["GUEST_COUNT"] for row in stand.rows(RAW_TABLE.name)} == {"90"}


async def test_two_tenants_in_one_workspace_do_not_meet(stand, tmp_path):
    other = Catalog(stand.emulators, "harbour")
    for catalog, weddings in ((stand, WEDDINGS), (other, CHANGED)):
        connector = databricks_at(catalog)
        await connector.provision()
        await load(connector, tmp_path, weddings, batch())
    assert [len(catalog.rows(FACT_TABLE.name)) for catalog in (stand, other)] == [4, 2]


async def test_staged_files_are_gone_when_their_rows_stand(stand, tmp_path):
    connector = databricks_at(stand)
    await connector.provision()
    await connector.load_layer(batch(), layer(tmp_path, Layer.RAW, WEDDINGS))
    files = [effect for effect in stand.emulators.effects("databricks") if effect["objectType"] == "files"]
    assert [effect["kind"] for effect in files] == ["file.written", "file.deleted"]


async def test_a_warehouse_that_is_starting_is_waited_for(stand):
    stand.emulators.control("databricks", "warehouse", {"startsInS": 1})
    assert (await databricks_at(stand).probe()).ok


async def test_a_statement_that_takes_longer_than_one_request_is_looked_at_until_it_ends(stand, monkeypatch):
    monkeypatch.setattr(databricks_session, "_WAIT_S", 0)
    monkeypatch.setattr(databricks_session, "_LOOK_EVERY_S", 0.02)
    connector = databricks_at(stand)
    assert FACT_TABLE.name in (await connector.provision()).created


async def test_a_statement_without_end_is_told_to_stop(stand, monkeypatch):
    monkeypatch.setattr(databricks_session, "_WAIT_S", 0)
    monkeypatch.setattr(databricks_session, "STATEMENT_TIMEOUT_S", 0)
    stand.emulators.control("databricks", "warehouse", {"startsInS": 3600})
    with pytest.raises(OutcomeUnknown):
        await databricks_at(stand).provision()
    assert any(request["path"].endswith("/cancel") for request in stand.emulators.requests("databricks"))


async def test_every_request_was_admitted(stand, tmp_path):
    connector, admission = databricks_at(stand), Counting()
    connector._connection = replace(connector._connection, admission=admission)
    for step in (
        connector.probe,
        connector.provision,
        lambda: load(connector, tmp_path, WEDDINGS, batch()),
        lambda: connector.build_analytics(batch()),
        lambda: connector.optimize(batch()),
    ):
        admission.calls, before = 0, len(stand.emulators.requests("databricks"))
        await step()
        assert len(stand.emulators.requests("databricks")) - before <= admission.calls


@pytest.mark.parametrize(
    ("status", "expected"), [(429, RateLimited), (503, Transient), (504, Transient), (403, Permanent)]
)
async def test_a_refused_request_says_what_recovers(stand, status, expected):
    stand.emulators.fault("databricks", "status", status=status, retryAfter=3, count=1)
    with pytest.raises(expected):
        await databricks_at(stand).probe()


async def test_an_invalid_token_asks_the_tenant_to_connect_again(stand):
    with pytest.raises(AuthExpired):
        await databricks_at(stand, token="wrong").probe()


async def test_a_service_principal_gets_a_token_that_the_warehouse_takes(stand):
    place = ("lumen", "databricks-main", "databricks", stand.url)
    app = OAuthClient("sandbox-databricks-client", SecretStr("sandbox-databricks-secret"))
    endpoint = TokenEndpoint(Connection(*place, outbound=IN_DEVELOPMENT), Databricks.manifest.oauth, app)
    grant = await endpoint.client_credentials()
    await endpoint.aclose()
    assert (await databricks_at(stand, token=grant.access_token).probe()).ok


async def test_a_workspace_that_does_not_answer_is_tried_again(stand):
    with pytest.raises(Transient):
        await databricks_at(stand, url="http://127.0.0.1:9").probe()


async def test_marts_without_their_tables_name_the_missing_object(stand):
    with pytest.raises(Permanent) as caught:
        await databricks_at(stand).load_marts(batch())
    assert caught.value.detail.code == "object_missing"


@pytest.mark.parametrize("setting", ["warehouseId", "catalog"])
async def test_f64_a_hostile_name_in_the_settings_reaches_no_statement(stand, setting):
    with pytest.raises(InvalidInput):
        await databricks_at(stand, **{setting: "x`; DROP TABLE T"}).probe()


@pytest.mark.parametrize(
    ("code", "state", "expected"),
    [
        ("BAD_REQUEST", "2D521", "warehouse_busy"),
        ("BAD_REQUEST", "42501", "missing_permission"),
        ("BAD_REQUEST", "42K03", "staged_file_missing"),
        ("BAD_REQUEST", "22018", "statement_refused"),
        ("TEMPORARILY_UNAVAILABLE", "", "vendor_unavailable"),
    ],
)
def test_a_failed_statement_is_told_by_its_code_and_state(code, state, expected):
    status = {"state": "FAILED", "error": {"error_code": code, "message": "whatever"}, "sql_state": state}
    assert failure({"status": status}, "facts.merge").detail.code == expected


class TestDatabricksQuestions(QuestionSuite):
    """Databricks answers questions as every warehouse does, and cancels a statement when it is told to."""

    def connector(self, stand: Catalog) -> Databricks:
        return databricks_at(stand)

    def reached(self, stand: Catalog) -> int:
        return len(stand.emulators.requests("databricks"))

    async def ended(self, stand: Catalog) -> bool:
        [told] = [one["path"] for one in stand.emulators.requests("databricks") if one["path"].endswith("/cancel")]
        statement = told.removesuffix("/cancel").rpartition("/")[2]
        with loopback_client(stand.url) as client:
            path = f"/api/2.0/sql/statements/{statement}"
            answer = client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).raise_for_status().json()
        return answer["status"]["state"] == "CANCELED"

    async def test_an_answer_of_too_many_bytes_is_cut_and_told(self, connected, tmp_path, monkeypatch):
        monkeypatch.setattr(databricks_query, "_MOST_BYTES", 64)
        answer, rows = await asked(connected, tmp_path, question(f"SELECT * FROM {FACT_TABLE.name}"))
        assert (answer.truncated, len(rows) < 4) == (True, True)
