"""The Snowflake connector against the stand-in: idempotent layers, versions in dimensions, typed errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretStr

from activities.connectors.warehouse.dialect import name_of
from activities.connectors.warehouse.model import FACT_TABLE, RAW_TABLE
from activities.connectors.warehouse.snowflake import Snowflake
from activities.ports.connection import Connection
from contracts.errors import AuthExpired, InvalidInput, Permanent, Transient
from contracts.etl import Layer
from tests.support.admissions import Counting
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.question_suite import FACTS, QuestionSuite, asked, question
from tests.support.snowflake_account import Account
from tests.support.warehouse_suite import WEDDINGS, WarehouseSuite, batch, layer, load

pytestmark = pytest.mark.timeout(600)


OPENED: list[Snowflake] = []


def snowflake_at(account: Account, password: str = "sandbox", url: str | None = None, **settings: str) -> Snowflake:
    """Return the connector to the stand-in's account."""
    known = {"account": "sandbox", "warehouse": "COMPUTE_WH", "database": "WEDSYNC", **settings}
    credential = {"user": SecretStr("sandbox"), "password": SecretStr(password)}
    place = ("lumen", "snowflake-main", "snowflake", url or account.url)
    made = Snowflake(Connection(*place, known, credential, outbound=IN_DEVELOPMENT))
    OPENED.append(made)
    return made


@pytest.fixture(autouse=True)
async def _sessions_end_with_their_test():
    yield
    while OPENED:
        await OPENED.pop().aclose()


@pytest.fixture
def stand(account: Account) -> Account:
    return account


class TestSnowflake(WarehouseSuite):
    """Snowflake keeps what every warehouse promises."""

    seams = 19

    def connector(self, stand: Account) -> Snowflake:
        return snowflake_at(stand)


async def test_steps_that_follow_one_another_log_in_once(account):
    connector = snowflake_at(account)
    await connector.provision()
    await connector.build_analytics(batch())
    assert account.logins() == 1


async def test_every_request_was_admitted(account, tmp_path):
    connector, admission = snowflake_at(account), Counting()
    connector._connection = replace(connector._connection, admission=admission)
    for step in (
        connector.probe,
        connector.provision,
        lambda: load(connector, tmp_path, WEDDINGS, batch()),
        lambda: connector.build_analytics(batch()),
        lambda: connector.optimize(batch()),
    ):
        admission.calls, before = 0, account.calls()
        await step()
        assert account.calls() - before <= admission.calls


async def test_a_session_that_the_account_has_ended_is_opened_anew(account):
    connector = snowflake_at(account)
    await connector.provision()
    account.reset()
    assert FACT_TABLE.name in (await connector.provision()).created


async def test_a_probe_proves_the_credential_though_a_session_is_idle(account):
    connector = snowflake_at(account)
    await connector.provision()
    await connector.probe()
    assert account.logins() == 2


async def test_a_refused_password_asks_the_tenant_to_connect_again(account):
    with pytest.raises(AuthExpired):
        await snowflake_at(account, password="wrong").probe()


async def test_an_account_that_does_not_answer_is_tried_again(account):
    with pytest.raises(Transient):
        await snowflake_at(account, url="http://127.0.0.1:9").probe()


async def test_f64_a_hostile_database_name_reaches_no_statement(account):
    with pytest.raises(InvalidInput):
        await snowflake_at(account, database='x"; DROP TABLE T').probe()


async def test_marts_without_their_tables_name_the_missing_object(account):
    with pytest.raises(Permanent) as caught:
        await snowflake_at(account).load_marts(batch())
    assert caught.value.detail.code == "object_missing"


async def test_f21_a_lost_answer_to_the_commit_of_raw_doubles_nothing(account, tmp_path):
    connector = snowflake_at(account)
    await connector.provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)
    account.drop_after("COMMIT")
    with pytest.raises(Transient):
        await connector.load_layer(batch(), files)
    assert (await connector.load_layer(batch(), files)).rows == account.counts()[RAW_TABLE.name] == 4


async def test_f21_a_lost_answer_to_the_commit_of_the_marts_keeps_the_counts_of_the_run(account, tmp_path):
    connector = snowflake_at(account)
    await connector.provision()
    for name in Layer:
        await connector.load_layer(batch(), layer(tmp_path, name, WEDDINGS))
    account.drop_after("COMMIT")
    with pytest.raises(Transient):
        await connector.load_marts(batch())
    loaded = await connector.load_marts(batch())
    assert (loaded.created, loaded.standing, account.counts()[FACT_TABLE.name]) == (4, 4, 4)


@pytest.mark.parametrize("name", ['x"; DROP TABLE T', "a b", "", "x`y", "$$", "\u201cx\u201d", "1x"])
def test_f64_a_name_outside_the_allow_list_is_no_identifier(name):
    with pytest.raises(InvalidInput):
        name_of(name)


class TestSnowflakeQuestions(QuestionSuite):
    """Snowflake answers questions as every warehouse does, and ends a statement by itself."""

    def connector(self, stand: Account) -> Snowflake:
        return snowflake_at(stand)

    def reached(self, stand: Account) -> int:
        return stand.calls()

    async def test_a_question_leaves_no_session_for_loads_to_find(self, connected, stand, tmp_path):
        await connected.aclose()
        logins = stand.logins()
        await asked(connected, tmp_path, question(f"SELECT 1 FROM {FACTS}"))
        await connected.probe()
        assert stand.logins() == logins + 2
