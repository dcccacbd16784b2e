"""The Redshift connector against the stand-in: what every warehouse promises, and what is Redshift's own."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from obstore.store import S3Store
from pydantic import JsonValue, SecretStr

from activities.connectors.warehouse.model import FACT_TABLE, METRICS_TABLE, RAW_TABLE, STAGING_TABLE, SUPPLIERS
from activities.connectors.warehouse.redshift import Redshift
from activities.ports.connection import Connection
from contracts.errors import AuthExpired, InvalidInput, Permanent, Transient
from contracts.etl import Layer
from tests.support.admissions import Counting
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.question_suite import QuestionSuite
from tests.support.warehouse_stand_ins import StandIn, Standing
from tests.support.warehouse_suite import CHANGED, WEDDINGS, WarehouseSuite, batch, layer, load

pytestmark = pytest.mark.timeout(600)

OPENED: list[Redshift] = []


def redshift_at(cluster: StandIn, user: str = "sandbox", password: str | None = None, **settings: str) -> Redshift:
    """Return the connector to the stand-in's cluster."""
    host, port = cluster.address
    known: dict[str, JsonValue] = {
        "host": "sandbox",
        "database": "dev",
        "bucket": cluster.ready["bucket"],
        "region": "us-east-1",
        "iamRole": "arn:aws:iam::123456789012:role/loads",
        "stagingUrl": cluster.ready["s3"],
        **settings,
    }
    secrets = {"user": user, "password": password or user, "accessKeyId": "sandbox", "secretAccessKey": "sandbox"}
    credential = {name: SecretStr(value) for name, value in secrets.items()}
    place = ("lumen", "redshift-main", "redshift", f"http://{host}:{port}")
    made = Redshift(Connection(*place, known, credential, outbound=IN_DEVELOPMENT))
    OPENED.append(made)
    return made


@pytest.fixture(autouse=True)
async def _sessions_end_with_their_test():
    yield
    while OPENED:
        await OPENED.pop().aclose()


@pytest.fixture
def cluster(redshift_process: StandIn) -> StandIn:
    redshift_process.reset()
    return redshift_process


@pytest.fixture
def stand(cluster: StandIn) -> Standing:
    return Standing(cluster)


def statements(cluster: StandIn) -> int:
    return len(cluster.requests())


class TestRedshift(WarehouseSuite):
    """Redshift keeps what every warehouse promises."""

    seams = 17

    def connector(self, stand: Standing) -> Redshift:
        return redshift_at(stand.stand_in)


async def test_every_request_was_admitted(cluster: StandIn, tmp_path):
    connector, admission = redshift_at(cluster), Counting()
    connector._connection = replace(connector._connection, admission=admission)
    for step in (
        connector.probe,
        connector.provision,
        lambda: load(connector, tmp_path, WEDDINGS, batch()),
        lambda: connector.build_analytics(batch()),
        lambda: connector.optimize(batch()),
    ):
        admission.calls, before = 0, statements(cluster)
        await step()
        assert statements(cluster) - before <= admission.calls


async def test_steps_that_follow_one_another_log_in_once(cluster: StandIn):
    connector = redshift_at(cluster)
    await connector.provision()
    await connector.build_analytics(batch())
    assert sum(request["method"] == "LOGIN" for request in cluster.requests()) == 1


async def test_a_refused_password_asks_the_tenant_to_connect_again(cluster: StandIn):
    with pytest.raises(AuthExpired):
        await redshift_at(cluster, password="wrong").probe()


async def test_marts_without_their_tables_name_the_missing_object(cluster: StandIn):
    with pytest.raises(Permanent) as caught:
        await redshift_at(cluster).load_marts(batch())
    assert caught.value.detail.code == "object_missing"


@pytest.mark.parametrize(
    "hostile",
    [
        {"database": 'dev"; DROP TABLE t'},
        {"bucket": "b/../other"},
        {"iamRole": "arn:aws:iam::123456789012:role/r' CREDENTIALS '"},
        {"region": "us-east-1.attacker.test"},
        {"stagingUrl": "https://attacker.test"},
    ],
)
async def test_f64_a_hostile_setting_reaches_no_statement(cluster: StandIn, hostile: dict[str, str]):
    with pytest.raises(InvalidInput):
        await redshift_at(cluster, **hostile).probe()
    assert statements(cluster) == 0


@pytest.mark.parametrize("fault", ["drop_after_effect", "reset"])
async def test_f21_a_lost_answer_to_the_commit_of_raw_doubles_nothing(cluster: StandIn, tmp_path, fault: str):
    connector = redshift_at(cluster)
    await connector.provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)
    cluster.fault(fault, "^COMMIT")
    with pytest.raises(Transient):
        await connector.load_layer(batch(), files)
    assert (await connector.load_layer(batch(), files)).rows == 4
    assert cluster.counts("dev")[RAW_TABLE.name.lower()] == 4


async def test_f21_a_lost_answer_to_the_commit_of_the_marts_keeps_the_counts_of_the_run(cluster: StandIn, tmp_path):
    connector = redshift_at(cluster)
    await connector.provision()
    for name in Layer:
        await connector.load_layer(batch(), layer(tmp_path, name, WEDDINGS))
    cluster.fault("drop_after_effect", "^COMMIT")
    with pytest.raises(Transient):
        await connector.load_marts(batch())
    loaded = await connector.load_marts(batch())
    assert (loaded.created, loaded.standing, cluster.counts("dev")[FACT_TABLE.name.lower()]) == (4, 4, 4)


async def test_two_workers_with_one_load_leave_its_rows_once(cluster: StandIn, tmp_path):
    connectors = [redshift_at(cluster), redshift_at(cluster)]
    await connectors[0].provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)
    outcomes = await asyncio.gather(*(one.load_layer(batch(), files) for one in connectors), return_exceptions=True)
    assert [one for one in outcomes if isinstance(one, BaseException) and not isinstance(one, Transient)] == []
    assert (await connectors[0].load_layer(batch(), files)).rows == 4
    assert cluster.counts("dev")[RAW_TABLE.name.lower()] == 4


async def test_two_tenants_with_the_same_ids_share_nothing(cluster: StandIn, tmp_path):
    first, second = redshift_at(cluster), redshift_at(cluster, user="second", database="second")
    await first.provision()
    await second.provision()
    await load(first, tmp_path, WEDDINGS, batch())
    loaded = await load(second, tmp_path, WEDDINGS[:1], batch())
    assert loaded.created == 1
    counts = [cluster.counts(database)[FACT_TABLE.name.lower()] for database in ("dev", "second")]
    assert counts == [4, 1]


async def test_a_tenant_is_not_let_into_the_database_of_another(cluster: StandIn):
    with pytest.raises(Permanent) as caught:
        await redshift_at(cluster, user="second", database="dev").probe()
    assert caught.value.detail.code == "missing_permission"


async def test_a_table_whose_columns_were_added_later_is_filled_by_name(cluster: StandIn, stand: Standing, tmp_path):
    connector = redshift_at(cluster)
    await connector.provision()
    drop = f"ALTER TABLE {STAGING_TABLE.name} DROP COLUMN SUPPLIER_NAME"
    await connector._in_session(1, "test", lambda _, session: session.run("test", drop))
    await connector.provision()
    await load(connector, tmp_path, WEDDINGS, batch())
    assert {row["SUPPLIER_NAME"] for row in stand.rows(STAGING_TABLE.name)} == {"Lumen"}


async def test_a_name_of_the_longest_kind_fits_in_any_script(cluster: StandIn, stand: Standing, tmp_path):
    connector, name = redshift_at(cluster), "\N{RING}" * 200
    await connector.provision()
    await load(connector, tmp_path, [{**WEDDINGS[0], "supplierName": name}], batch())
    assert name in {row["SUPPLIER_NAME"] for row in stand.rows(SUPPLIERS.table.name)}


async def test_only_the_files_of_the_load_are_copied_and_none_is_left(cluster: StandIn, tmp_path):
    connector = redshift_at(cluster)
    await connector.provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)
    store = S3Store(
        cluster.ready["bucket"],
        endpoint=cluster.ready["s3"],
        region="us-east-1",
        access_key_id="sandbox",
        secret_access_key="sandbox",
        client_options={"allow_http": True},
    )
    store.put("wedsync/lumen/etl-1/stray.parquet", files.files[0].read_bytes())
    assert (await connector.load_layer(batch(), files)).rows == 4
    left = [entry["path"] for page in store.list("wedsync/") for entry in page]
    assert left == ["wedsync/lumen/etl-1/stray.parquet"]


async def test_full_storage_is_the_tenants_job_and_leaves_nothing(cluster: StandIn, tmp_path):
    connector = redshift_at(cluster)
    await connector.provision()
    files = layer(tmp_path, Layer.RAW, WEDDINGS)
    cluster.fault("status", "^COPY", status=507)
    with pytest.raises(Permanent) as caught:
        await connector.load_layer(batch(), files)
    assert (caught.value.detail.code, caught.value.detail.owner) == ("storage_full", "tenant")
    assert cluster.counts("dev")[RAW_TABLE.name.lower()] == 0


async def test_an_object_store_that_does_not_answer_is_tried_again(cluster: StandIn, tmp_path):
    await redshift_at(cluster).provision()
    silent = redshift_at(cluster, stagingUrl="http://127.0.0.1:9")
    with pytest.raises(Transient) as caught:
        await silent.load_layer(batch(), layer(tmp_path, Layer.RAW, WEDDINGS))
    assert caught.value.detail.code == "staging_unavailable"


async def test_the_analytics_stand_all_the_time(cluster: StandIn, stand: Standing, tmp_path):
    connector = redshift_at(cluster)
    await connector.provision()
    await load(connector, tmp_path, WEDDINGS, batch())
    await connector.build_analytics(batch())
    await load(connector, tmp_path, CHANGED, batch("etl-2", "run-2", "2027-02-01"))
    cluster.fault("reset", "^ALTER TABLE")
    with pytest.raises(Transient):
        await connector.build_analytics(batch("etl-2", "run-2", "2027-02-01"))
    assert len(stand.rows(METRICS_TABLE)) == 2
    assert (await connector.build_analytics(batch("etl-2", "run-2", "2027-02-01"))).rebuilt


async def test_optimising_tells_the_figures_before_and_after(cluster: StandIn, tmp_path):
    connector = redshift_at(cluster)
    await connector.provision()
    await load(connector, tmp_path, WEDDINGS, batch())
    await connector.build_analytics(batch())
    done = (await connector.optimize(batch())).optimizations
    renewed = next(one for one in done if (one.table, one.action) == (FACT_TABLE.name, "statistics renewed"))
    assert (renewed.before["statisticsOffPercent"], renewed.after["statisticsOffPercent"]) == (100, 0)


class TestRedshiftQuestions(QuestionSuite):
    """Redshift answers questions as every warehouse does, and ends a statement by itself."""

    def connector(self, stand: Standing) -> Redshift:
        return redshift_at(stand.stand_in)

    def reached(self, stand: Standing) -> int:
        return statements(stand.stand_in)

    async def test_the_cluster_itself_lets_a_question_write_nothing(self, connected, stand):
        session = connected._open("wedsync:test")
        try:
            with pytest.raises(Permanent) as caught:
                session.read("query", f"DELETE FROM {FACT_TABLE.name}", (), 60)
        finally:
            session.close()
        assert caught.value.detail.code == "statement_refused"
        assert len(stand.rows(FACT_TABLE.name)) == 4
