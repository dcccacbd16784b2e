"""The Synapse connector against the stand-in: what every warehouse promises, and what is Synapse's own.

No real pool was ever asked; what the stand-in cannot know is listed in its README.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest
from pydantic import JsonValue, SecretStr

from activities.connectors.warehouse.model import FACT_TABLE, METRICS_TABLE, RAW_TABLE, STAGING_TABLE, SUPPLIERS
from activities.connectors.warehouse.synapse import Synapse
from activities.connectors.warehouse.synapse_query import reader_of
from activities.connectors.warehouse.synapse_session import Session
from activities.ports.connection import Connection
from contracts.errors import AuthExpired, InvalidInput, Permanent, Transient
from contracts.etl import Layer
from tests.support.admissions import Counting
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.question_suite import QuestionSuite, asked, question
from tests.support.warehouse_stand_ins import StandIn, Standing
from tests.support.warehouse_suite import CHANGED, WEDDINGS, WarehouseSuite, batch, layer, load

pytestmark = pytest.mark.timeout(600)

OPENED: list[Synapse] = []
SIGNATURE = "sv=2026-01-01&sig=sandbox"


def synapse_at(
    pool: StandIn, user: str = "sandbox", password: str | None = None, signature: str = SIGNATURE, **settings: str
) -> Synapse:
    """Return the connector to one of the stand-in's pools."""
    host, port = pool.address
    known: dict[str, JsonValue] = {
        "host": "sandbox",
        "database": "dev",
        "storageAccount": "sandbox",
        "container": "loads",
        "stagingUrl": f"{pool.ready['url']}/sandbox",
        **settings,
    }
    secrets = {"user": user, "password": password or user, "sasToken": signature}
    credential = {name: SecretStr(value) for name, value in secrets.items()}
    place = ("lumen", "synapse-main", "synapse", f"http://{host}:{port}")
    made = Synapse(Connection(*place, known, credential, outbound=IN_DEVELOPMENT))
    OPENED.append(made)
    return made


@pytest.fixture(autouse=True)
async def _sessions_end_with_their_test():
    yield
    while OPENED:
        await OPENED.pop().aclose()


@pytest.fixture
def pool(synapse_process: StandIn) -> StandIn:
    synapse_process.reset()
    return synapse_process


@pytest.fixture
def stand(pool: StandIn) -> Standing:
    return Standing(pool)


def statements(pool: StandIn) -> int:
    return len(pool.requests())


class TestSynapse(WarehouseSuite):
    """Synapse keeps what every warehouse promises."""

    seams = 17

    def connector(self, stand: Standing) -> Synapse:
        return synapse_at(stand.stand_in)


async def test_every_request_was_admitted(pool: StandIn, tmp_path):
    connector, admission = synapse_at(pool), Counting()
    connector._connection = replace(connector._connection, admission=admission)
    for step in (
        connector.probe,
        connector.provision,
        lambda: load(connector, tmp_path, WEDDINGS, batch()),
        lambda: connector.build_analytics(batch()),
        lambda: connector.optimize(batch()),
    ):
        admission.calls, before = 0, statements(pool)
        await step()
        assert statements(pool) - before <= admission.calls


async def test_steps_that_follow_one_another_log_in_once(pool: StandIn):
    connector = synapse_at(pool)
    await connector.provision()
    await connector.build_analytics(batch())
    assert sum(request["method"] == "LOGIN" for request in pool.requests()) == 1


async def test_a_refused_password_asks_the_tenant_to_connect_again(pool: StandIn):
    with pytest.raises(AuthExpired):
        await synapse_at(pool, password="wrong").probe()


async def test_a_pool_that_does_not_answer_is_tried_again(pool: StandIn):
    connector = synapse_at(pool)
    connector._connection = replace(connector._connection, base_url="http://127.0.0.1:9")
    with pytest.raises(Transient):
        await connector.probe()


async def test_a_pool_whose_readers_see_what_is_not_committed_is_refused(pool: StandIn):
    with pytest.raises(Permanent) as caught:
        await synapse_at(pool, database="uncommitted").provision()
    assert (caught.value.detail.code, caught.value.detail.owner) == ("isolation_missing", "tenant")
    assert pool.effects() == []


@pytest.mark.parametrize("database", ["absent", "second"])
async def test_a_pool_that_is_not_the_tenants_is_named_as_missing(pool: StandIn, database: str):
    with pytest.raises(Permanent) as caught:
        await synapse_at(pool, database=database).probe()
    assert caught.value.detail.code == "object_missing"


async def test_marts_without_their_tables_name_the_missing_object(pool: StandIn):
    with pytest.raises(Permanent) as caught:
        await synapse_at(pool).load_marts(batch())
    assert caught.value.detail.code == "object_missing"


@pytest.mark.parametrize(
    "hostile",
    [
        {"database": "dev]; DROP TABLE t"},
        {"storageAccount": "sandbox.attacker.test/"},
        {"container": "loads/../other"},
        {"signature": "sig=x'), SECRET = ('"},
        {"stagingUrl": "https://attacker.test"},
    ],
)
async def test_f64_a_hostile_setting_reaches_no_statement(pool: StandIn, hostile: dict[str, str]):
    with pytest.raises(InvalidInput):
        await synapse_at(pool, **hostile).probe()
    assert statements(pool) == 0


@pytest.mark.parametrize("fault", ["drop_after_effect", "reset"])
async def test_f21_a_lost_answer_to_the_commit_of_raw_doubles_nothing(pool: StandIn, tmp_path, fault: str):
    connector = synapse_at(pool)
    await connector.provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)
    pool.fault(fault, "^COMMIT")
    with pytest.raises(Transient):
        await connector.load_layer(batch(), files)
    assert (await connector.load_layer(batch(), files)).rows == 4
    assert pool.counts("dev")[RAW_TABLE.name.lower()] == 4


async def test_two_workers_with_one_load_leave_its_rows_once(pool: StandIn, tmp_path):
    connectors = [synapse_at(pool), synapse_at(pool)]
    await connectors[0].provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)
    outcomes = await asyncio.gather(*(one.load_layer(batch(), files) for one in connectors), return_exceptions=True)
    assert [one for one in outcomes if isinstance(one, BaseException) and not isinstance(one, Transient)] == []
    assert (await connectors[0].load_layer(batch(), files)).rows == 4
    assert pool.counts("dev")[RAW_TABLE.name.lower()] == 4


async def test_two_tenants_with_the_same_ids_share_nothing(pool: StandIn, tmp_path):
    first, second = synapse_at(pool), synapse_at(pool, user="second", database="second")
    await first.provision()
    await second.provision()
    await load(first, tmp_path, WEDDINGS, batch())
    assert (await load(second, tmp_path, WEDDINGS[:1], batch())).created == 1
    assert [pool.counts(database)[FACT_TABLE.name.lower()] for database in ("dev", "second")] == [4, 1]


async def test_suppliers_that_differ_by_case_are_two(pool: StandIn, stand: Standing, tmp_path):
    connector = synapse_at(pool)
    await connector.provision()
    pair = [{**WEDDINGS[0], "supplierId": "Sup-A"}, {**WEDDINGS[1], "supplierId": "sup-a"}]
    await load(connector, tmp_path, pair, batch())
    assert {"Sup-A", "sup-a"} <= {row["SUPPLIER_ID"] for row in stand.rows(SUPPLIERS.table.name)}


async def test_a_name_of_the_longest_kind_fits_in_any_script(pool: StandIn, stand: Standing, tmp_path):
    connector, name = synapse_at(pool), "\N{RING}" * 200
    await connector.provision()
    await load(connector, tmp_path, [{**WEDDINGS[0], "supplierName": name}], batch())
    assert name in {row["SUPPLIER_NAME"] for row in stand.rows(SUPPLIERS.table.name)}


async def test_a_table_whose_columns_were_added_later_is_filled_by_name(pool: StandIn, stand: Standing, tmp_path):
    connector = synapse_at(pool)
    await connector.provision()
    drop = f"ALTER TABLE {STAGING_TABLE.name} DROP COLUMN SUPPLIER_NAME"
    await connector._in_session(1, "test", lambda _, session: session.run("test", drop))
    await connector.provision()
    await load(connector, tmp_path, WEDDINGS, batch())
    assert {row["SUPPLIER_NAME"] for row in stand.rows(STAGING_TABLE.name)} == {"Lumen"}


@pytest.mark.parametrize("seam", ["^RENAME|RENAME OBJECT .* TO .*_OLD", "^RENAME OBJECT .*_NEXT", "_OLD$"])
async def test_analytics_lost_at_any_renaming_are_rebuilt(pool: StandIn, stand: Standing, tmp_path, seam: str):
    connector = synapse_at(pool)
    await connector.provision()
    await load(connector, tmp_path, WEDDINGS, batch())
    await connector.build_analytics(batch())
    second = batch("etl-2", "run-2", "2027-02-01")
    await load(connector, tmp_path, CHANGED, second)
    pool.fault("drop_after_effect", seam)
    with pytest.raises(Transient):
        await connector.build_analytics(second)
    assert (await connector.build_analytics(second)).rebuilt
    categories = sorted(row["SUPPLIER_CATEGORY"] for row in stand.rows(METRICS_TABLE))
    assert categories == ["photography", "video"]
    assert [name for name in pool.counts("dev") if name.endswith(("_next", "_old"))] == []


async def test_full_storage_is_the_tenants_job_and_leaves_nothing(pool: StandIn, tmp_path):
    connector = synapse_at(pool)
    await connector.provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)
    pool.fault("status", "^COPY", status=507)
    with pytest.raises(Permanent) as caught:
        await connector.load_layer(batch(), files)
    assert (caught.value.detail.code, caught.value.detail.owner) == ("storage_full", "tenant")
    assert pool.counts("dev")[RAW_TABLE.name.lower()] == 0


@pytest.mark.parametrize("status", [409, 429, 503])
async def test_what_passes_by_itself_is_tried_again(pool: StandIn, status: int):
    connector = synapse_at(pool)
    await connector.provision()
    pool.fault("status", "^SELECT COUNT", status=status)
    with pytest.raises(Transient):
        await connector.load_marts(batch())


async def test_the_signature_stands_in_no_error_and_no_log(pool: StandIn, tmp_path, caplog):
    connector = synapse_at(pool)
    await connector.provision()
    pool.fault("status", "^COPY", status=507)
    with caplog.at_level(logging.INFO), pytest.raises(Permanent) as caught:
        await connector.load_layer(batch(), layer(tmp_path, Layer.RAW, WEDDINGS))
    assert "sig=" not in str(caught.value) + caplog.text + str(pool.requests())


def read_only_synapse(pool: StandIn) -> Synapse:
    """Return the connector with a login for questions beside the one for loads."""
    made = synapse_at(pool)
    reader = {name: SecretStr("reader") for name in ("queryUser", "queryPassword")}
    made._connection = replace(made._connection, credential={**made._connection.credential, **reader})
    return made


class TestSynapseQuestions(QuestionSuite):
    """Synapse answers questions as every warehouse does, and ends a statement when it is told to."""

    def connector(self, stand: Standing) -> Synapse:
        return read_only_synapse(stand.stand_in)

    def reached(self, stand: Standing) -> int:
        return statements(stand.stand_in)

    async def ended(self, stand: Standing) -> bool:
        return stand.stand_in.requests()[-1]["status"] == 499

    async def test_a_question_is_put_by_the_login_that_only_reads(self, connected, stand, tmp_path):
        await asked(connected, tmp_path, question(f"SELECT WEDDING_ID FROM {FACT_TABLE.name}"))
        logins = [request["path"] for request in stand.stand_in.requests() if request["method"] == "LOGIN"]
        assert logins == ["sandbox", "reader"]

    async def test_the_pool_itself_lets_that_login_write_nothing(self, connected, stand):
        session = Session(reader_of(connected._connection))
        try:
            with pytest.raises(Permanent) as caught:
                session.read("query", f"DELETE FROM {FACT_TABLE.name}", ())
        finally:
            session.close()
        assert caught.value.detail.code == "missing_permission"
        assert len(stand.rows(FACT_TABLE.name)) == 4

    async def test_without_that_login_the_one_for_loads_asks(self, connected, stand, tmp_path):
        answer, _ = await asked(synapse_at(stand.stand_in), tmp_path, question(f"SELECT 1 FROM {FACT_TABLE.name}"))
        assert answer.rows == 4
