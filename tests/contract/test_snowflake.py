"""The Snowflake connector against the stand-in: idempotent layers, versions in dimensions, typed errors."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

import duckdb
import pytest
from pydantic import SecretStr

from activities.connectors.warehouse import snowflake_sql as sql
from activities.connectors.warehouse.snowflake import Snowflake
from activities.ports.connection import Connection
from activities.ports.warehouse import LayerFiles, WarehouseConnector
from activities.transform import quality
from activities.transform.star import FIELDS
from contracts.errors import AuthExpired, InvalidInput, Permanent, Transient
from contracts.etl import EtlBatch, Layer
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.snowflake_account import Account

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


def batch(etl_id: str = "etl-1", run_id: str = "run-1", day: str = "2027-01-10") -> EtlBatch:
    return EtlBatch(
        etl_id=etl_id, organization_id="lumen", integration_id="snowflake-main", run_id=run_id,
        as_of=date.fromisoformat(day),
    )  # fmt: skip


def layer(folder: Path, name: Layer, weddings: list[dict[str, str]], etl_id: str = "etl-1") -> LayerFiles:
    """Write the rows as one Parquet part, the way the extract does."""
    path = folder / f"{name}-{etl_id}.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE TABLE judged ({quality.ROW} BIGINT, {', '.join(f'{field.column} VARCHAR' for field in FIELDS)})"
        )
        for number, wedding in enumerate(weddings, 1):
            values = [number, *(wedding.get(field.name) for field in FIELDS)]
            connection.execute(f"INSERT INTO judged VALUES ({', '.join('?' * len(values))})", values)
        lineage = f"'{etl_id}' AS BATCH_ID, {quality.ROW} AS ROW_NUMBER"
        texts = ", ".join(field.column for field in FIELDS)
        select = (
            f"SELECT {lineage}, {texts}, NULL::VARCHAR AS REJECTED_BECAUSE, NULL::VARCHAR AS REJECTED_RECORD, "
            "now()::TIMESTAMP AS LOADED_AT FROM judged"
            if name is Layer.RAW
            else quality.typed_rows(lineage, "TRUE")
        )
        connection.execute(f"COPY ({select}) TO '{path}'")
    digest = hashlib.md5(json.dumps(weddings).encode(), usedforsecurity=False).hexdigest()
    return LayerFiles(name, [path], len(weddings), digest)


WEDDINGS = [
    {
        "weddingId": f"wed-{number}", "weddingDate": "2027-06-12", "guestCount": "80", "totalRevenue": "1000.50",
        "completionStatus": "completed", "supplierId": f"sup-{number % 2}", "supplierName": "Lumen",
        "supplierCategory": "photography", "clientId": f"cl-{number}", "venueId": "ven-1",
    }
    for number in range(4)
]  # fmt: skip


async def load(connector: Snowflake, folder: Path, weddings: list[dict[str, str]], given: EtlBatch):
    for name in Layer:
        await connector.load_layer(given, layer(folder, name, weddings, given.etl_id))
    return await connector.load_marts(given)


async def test_it_is_a_warehouse_that_answers(account):
    connector = snowflake_at(account)
    assert isinstance(connector, WarehouseConnector)
    assert (await connector.probe()).ok


async def test_a_second_provision_changes_nothing(account):
    connector = snowflake_at(account)
    assert sql.FACT_TABLE in (await connector.provision()).created
    before = account.changes()
    assert (await connector.provision()).created == []
    assert account.changes() == before


async def test_steps_that_follow_one_another_log_in_once(account):
    connector = snowflake_at(account)
    await connector.provision()
    await connector.build_analytics(batch())
    assert account.logins() == 1


async def test_a_session_that_the_account_has_ended_is_opened_anew(account):
    connector = snowflake_at(account)
    await connector.provision()
    account.reset()
    assert sql.FACT_TABLE in (await connector.provision()).created


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


async def test_a_load_fills_facts_and_dimensions_once(account, tmp_path):
    connector = snowflake_at(account)
    await connector.provision()
    first = await load(connector, tmp_path, WEDDINGS, batch())
    assert (first.created, first.updated, first.standing, first.dimension_rows) == (4, 0, 4, 2 + 4 + 1)
    before = account.changes()
    again = await load(connector, tmp_path, WEDDINGS, batch(run_id="run-2"))
    assert (again.created, again.updated, again.unchanged, again.standing) == (0, 0, 4, 4)
    assert account.changes() == before


async def test_the_same_rows_under_another_id_leave_every_fact_as_it_is(account, tmp_path):
    connector = snowflake_at(account)
    await connector.provision()
    await load(connector, tmp_path, WEDDINGS, batch())
    again = await load(connector, tmp_path, WEDDINGS, batch("etl-2", "run-2"))
    assert (again.created, again.updated, again.unchanged, again.dimension_rows) == (0, 0, 4, 0)


async def test_a_changed_supplier_gets_a_new_version_and_keeps_the_old_one(account, tmp_path):
    connector = snowflake_at(account)
    await connector.provision()
    await load(connector, tmp_path, WEDDINGS, batch())
    changed = [{**wedding, "supplierCategory": "video"} for wedding in WEDDINGS if wedding["supplierId"] == "sup-0"]
    await load(connector, tmp_path, changed, batch("etl-2", "run-2", "2027-02-01"))
    versions = [
        (row["SUPPLIER_CATEGORY"], row["EFFECTIVE_DATE"], row["EXPIRY_DATE"])
        for row in account.rows("WEDDING_MARTS.DIM_SUPPLIERS")
        if row["SUPPLIER_ID"] == "sup-0"
    ]
    assert sorted(versions) == [("photography", "2027-01-10", "2027-02-01"), ("video", "2027-02-01", sql.FOREVER)]


async def test_a_wedding_without_supplier_points_to_the_unknown_member(account, tmp_path):
    connector = snowflake_at(account)
    await connector.provision()
    await load(connector, tmp_path, [{"weddingId": "wed-1", "weddingDate": "2027-06-12"}], batch())
    fact = account.rows(sql.FACT_TABLE)[0]
    assert (fact["SUPPLIER_SK"], fact["CLIENT_SK"], fact["VENUE_SK"], fact["DATE_SK"]) == (0, 0, 0, 20270612)


async def test_f21_a_lost_answer_to_the_commit_of_raw_doubles_nothing(account, tmp_path):
    connector = snowflake_at(account)
    await connector.provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)
    account.drop_after("COMMIT")
    with pytest.raises(Transient):
        await connector.load_layer(batch(), files)
    assert (await connector.load_layer(batch(), files)).rows == account.counts()[sql.RAW_TABLE] == 4


async def test_f21_a_lost_answer_to_the_commit_of_the_marts_keeps_the_counts_of_the_run(account, tmp_path):
    connector = snowflake_at(account)
    await connector.provision()
    for name in Layer:
        await connector.load_layer(batch(), layer(tmp_path, name, WEDDINGS))
    account.drop_after("COMMIT")
    with pytest.raises(Transient):
        await connector.load_marts(batch())
    loaded = await connector.load_marts(batch())
    assert (loaded.created, loaded.standing, account.counts()[sql.FACT_TABLE]) == (4, 4, 4)


async def test_a_part_with_too_few_rows_commits_nothing(account, tmp_path):
    connector = snowflake_at(account)
    await connector.provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)
    with pytest.raises(Permanent):
        await connector.load_layer(batch(), LayerFiles(files.layer, files.files, 5, files.digest))
    assert account.counts()[sql.RAW_TABLE] == 0


async def test_the_analytics_are_built_once_per_change_of_the_marts(account, tmp_path):
    connector = snowflake_at(account)
    await connector.provision()
    await load(connector, tmp_path, WEDDINGS, batch())
    assert (await connector.build_analytics(batch())).tables == {sql.METRICS_TABLE: 2, sql.SEASONS_TABLE: 1}
    assert not (await connector.build_analytics(batch())).rebuilt


@pytest.mark.parametrize("name", ['x"; DROP TABLE T', "a b", "", "x`y", "$$", "\u201cx\u201d", "1x"])
def test_f64_a_name_outside_the_allow_list_is_no_identifier(name):
    with pytest.raises(InvalidInput):
        sql.identifier(name)
