"""The Redshift stand-in answers the unchanged Redshift driver as Redshift does, limits included."""

import io
import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redshift_connector
from redshift_connector import Connection
from redshift_connector.error import Error, ProgrammingError

from tests.support.warehouse_stand_ins import StandIn

ROLE = "IAM_ROLE 'arn:aws:iam::123456789012:role/loads' FORMAT AS PARQUET"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def cluster(redshift_process: StandIn) -> StandIn:
    redshift_process.reset()
    return redshift_process


@pytest.fixture
def session(cluster: StandIn) -> Iterator[Connection]:
    connection = connect(cluster)
    run(connection, "CREATE SCHEMA s")
    run(connection, "CREATE TABLE s.t (id BIGINT NOT NULL, name VARCHAR(50)) DISTSTYLE KEY DISTKEY (id) SORTKEY (id)")
    yield connection
    connection.close()


def connect(cluster: StandIn, user: str = "sandbox", password: str | None = None, database: str = "dev") -> Connection:
    host, port = cluster.address
    connection = redshift_connector.connect(
        host=host, port=port, user=user, password=password or user, database=database, ssl=False
    )
    connection.autocommit = True
    return connection


def run(connection: Connection, sql: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall()) if cursor.description else []


def refused(connection: Connection, sql: str, *values: Any) -> str:
    with pytest.raises(ProgrammingError) as caught:
        run(connection, sql, *values)
    return str(caught.value.args[0]["C"])


def put(cluster: StandIn, key: str, body: bytes) -> int:
    client = boto3.client(
        "s3",
        endpoint_url=cluster.ready["s3"],
        region_name="us-east-1",
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )
    client.put_object(Bucket=cluster.ready["bucket"], Key=key, Body=body)
    return len(body)


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def rows(*ids: int) -> bytes:
    return parquet(ID=pa.array(ids, pa.int64()), NAME=[f"n{number}" for number in ids])


def manifest(cluster: StandIn, *keys: str, length: int | None) -> str:
    entry = {"mandatory": True, **({} if length is None else {"meta": {"content_length": length}})}
    urls = [{"url": f"s3://{cluster.ready['bucket']}/{key}", **entry} for key in keys]
    put(cluster, "manifest.json", json.dumps({"entries": urls}).encode())
    return f"COPY s.t FROM 's3://{cluster.ready['bucket']}/manifest.json' {ROLE} MANIFEST"


def copy_prefix(cluster: StandIn, prefix: str, columns: str = "") -> str:
    return f"COPY s.t {columns} FROM 's3://{cluster.ready['bucket']}/{prefix}' {ROLE}"


def test_a_wrong_password_and_a_foreign_database_are_refused(cluster: StandIn) -> None:
    with pytest.raises(Error) as caught:
        connect(cluster, password="wrong")
    assert caught.value.args[0]["C"] == "28000"
    with pytest.raises(Error) as caught:
        connect(cluster, user="second", database="dev")
    assert caught.value.args[0]["C"] == "42501"


def test_bound_values_come_back_as_their_types(session: Connection) -> None:
    run(session, "CREATE TABLE s.v (d DATE, t TIMESTAMP, n DECIMAL(12,2), b BOOLEAN, x VARCHAR)")
    run(session, "INSERT INTO s.v VALUES (%s, %s, %s, %s, %s)", "2027-06-05", "2027-06-05 14:00:00", "12.34", True, "ä")
    found = run(session, "SELECT * FROM s.v")[0]
    assert [type(value).__name__ for value in found] == ["date", "datetime", "Decimal", "bool", "str"]


def test_a_rolled_back_change_is_no_effect_and_a_committed_one_is(cluster: StandIn, session: Connection) -> None:
    for ending in ("ROLLBACK", "COMMIT"):
        for statement in ("BEGIN", "INSERT INTO s.t VALUES (1, 'a')", ending):
            run(session, statement)
    assert cluster.changes() == [("create", "s"), ("create", "s.t"), ("insert", "s.t")]
    assert cluster.counts("dev") == {"s.t": 1}


def test_what_changes_nothing_is_no_effect(cluster: StandIn, session: Connection) -> None:
    run(session, "CREATE TABLE IF NOT EXISTS s.t (id BIGINT)")
    run(session, "UPDATE s.t SET name = 'b' WHERE id = 4711")
    assert cluster.changes() == [("create", "s"), ("create", "s.t")]


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("CREATE OR REPLACE TABLE s.u (id BIGINT)", "42601"),
        ("INSERT INTO s.t VALUES (1, 'a') ON CONFLICT DO NOTHING", "42601"),
        ("INSERT INTO s.t VALUES (1, 'a') RETURNING id", "42601"),
        ("SELECT 1 WHERE 1 IS DISTINCT FROM 2", "42601"),
        ("CREATE INDEX i ON s.t (id)", "0A000"),
        ("CREATE TABLE s.u (id SERIAL)", "0A000"),
        ("MERGE INTO s.t USING s.t x ON s.t.id = x.id WHEN MATCHED AND x.id > 1 THEN DELETE", "42601"),
        ("MERGE INTO s.t a USING s.t x ON a.id = x.id WHEN MATCHED THEN DELETE", "42601"),
        ("MERGE INTO s.t USING (SELECT 1 AS id) x ON s.t.id = x.id WHEN MATCHED THEN DELETE", "0A000"),
        ("MERGE INTO s.t USING s.t x ON s.t.id = x.id WHEN NOT MATCHED THEN INSERT VALUES (1, 'a')", "0A000"),
    ],
)
def test_what_redshift_does_not_have_is_refused(session: Connection, statement: str, state: str) -> None:
    assert refused(session, statement) == state


def test_a_word_inside_a_literal_is_no_reason_to_refuse(session: Connection) -> None:
    run(session, "INSERT INTO s.t VALUES (1, 'on conflict returning')")
    assert run(session, "SELECT name FROM s.t") == [["on conflict returning"]]


def test_a_refused_statement_ends_the_transaction(session: Connection) -> None:
    run(session, "BEGIN")
    refused(session, "CREATE OR REPLACE TABLE s.u (id BIGINT)")
    assert refused(session, "SELECT 1") == "25P02"
    run(session, "ROLLBACK")


def test_keys_are_not_enforced_and_an_identity_counts(session: Connection) -> None:
    run(session, "CREATE TABLE s.k (sk BIGINT IDENTITY(1,1), id VARCHAR(9) PRIMARY KEY ENCODE zstd)")
    run(session, "INSERT INTO s.k (id) VALUES ('a'), ('a')")
    assert run(session, "SELECT sk, id FROM s.k ORDER BY sk") == [[1, "a"], [2, "a"]]


def test_a_varchar_counts_bytes(session: Connection) -> None:
    run(session, "CREATE TABLE s.b (name VARCHAR(4))")
    run(session, "INSERT INTO s.b VALUES ('abcd')")
    assert refused(session, "INSERT INTO s.b VALUES ('äöü')") == "22001"


def test_merge_updates_and_inserts(session: Connection) -> None:
    run(session, "INSERT INTO s.t VALUES (1, 'old')")
    run(session, "CREATE TEMP TABLE x AS SELECT 1::BIGINT AS id, 'new' AS name UNION ALL SELECT 2, 'two'")
    run(
        session,
        "MERGE INTO s.t USING x ON s.t.id = x.id WHEN MATCHED THEN UPDATE SET name = x.name "
        "WHEN NOT MATCHED THEN INSERT (id, name) VALUES (x.id, x.name)",
    )
    assert run(session, "SELECT * FROM s.t ORDER BY id") == [[1, "new"], [2, "two"]]


def test_truncate_commits_the_transaction_it_is_in(cluster: StandIn, session: Connection) -> None:
    for statement in ("BEGIN", "INSERT INTO s.t VALUES (1, 'a')", "TRUNCATE s.t", "ROLLBACK"):
        run(session, statement)
    assert cluster.changes()[2:] == [("insert", "s.t"), ("truncate", "s.t")]


def test_redshifts_functions_answer(session: Connection) -> None:
    assert run(
        session,
        "SELECT DATEDIFF(day, '2027-01-30'::DATE, '2027-02-02'::DATE), DATE_TRUNC('month', '2027-06-05'::DATE), "
        "NVL(NULL, 3), GETDATE() > '2020-01-01', DATEADD(month, 1, '2027-01-15'::TIMESTAMP)::DATE",
    ) == [[3, datetime(2027, 6, 1), 3, True, date(2027, 2, 15)]]  # noqa: DTZ001 - a TIMESTAMP has no zone


def test_a_prefix_is_copied_and_a_repeat_appends(cluster: StandIn, session: Connection) -> None:
    put(cluster, "load/a.parquet", rows(1, 2))
    put(cluster, "load/b.parquet", rows(3))
    for _ in range(2):
        run(session, copy_prefix(cluster, "load/"))
    assert cluster.counts("dev") == {"s.t": 6}
    assert [effect["body"]["rows"] for effect in cluster.effects() if effect["kind"] == "copy"] == [3, 3]


def test_a_copy_takes_part_in_its_transaction(cluster: StandIn, session: Connection) -> None:
    put(cluster, "load/a.parquet", rows(1))
    run(session, "BEGIN")
    run(session, copy_prefix(cluster, "load/"))
    assert run(session, "SELECT COUNT(*) FROM s.t") == [[1]]
    run(session, "ROLLBACK")
    assert cluster.counts("dev") == {"s.t": 0}


def test_a_manifest_names_exactly_the_files(cluster: StandIn, session: Connection) -> None:
    length = put(cluster, "load/a.parquet", rows(1, 2))
    put(cluster, "load/b.parquet", rows(3))
    run(session, manifest(cluster, "load/a.parquet", length=length))
    assert cluster.counts("dev") == {"s.t": 2}


@pytest.mark.parametrize(
    ("key", "spoilt"), [("load/a.parquet", -1), ("load/a.parquet", None), ("load/missing.parquet", 0)]
)
def test_a_manifest_that_does_not_fit_its_files_loads_nothing(
    cluster: StandIn, session: Connection, key: str, spoilt: int | None
) -> None:
    length = put(cluster, "load/a.parquet", rows(1))
    assert refused(session, manifest(cluster, key, length=None if spoilt is None else length + spoilt)) == "XX000"
    assert cluster.counts("dev") == {"s.t": 0}


def test_columns_are_taken_by_position_and_have_to_fit(cluster: StandIn, session: Connection) -> None:
    put(cluster, "swapped.parquet", parquet(NAME=["x"], ID=pa.array([1], pa.int64())))
    put(cluster, "narrow.parquet", parquet(ID=pa.array([1], pa.int32()), NAME=["x"]))
    put(cluster, "short.parquet", parquet(ID=pa.array([1], pa.int64())))
    for key in ("swapped.parquet", "narrow.parquet", "short.parquet", "absent.parquet"):
        assert refused(session, copy_prefix(cluster, key)) == "XX000"
    run(session, copy_prefix(cluster, "swapped.parquet", "(name, id)"))
    assert run(session, "SELECT id, name FROM s.t") == [[1, "x"]]


def test_a_region_is_refused_for_columnar_files(cluster: StandIn, session: Connection) -> None:
    put(cluster, "a.parquet", rows(1))
    assert refused(session, copy_prefix(cluster, "a.parquet") + " REGION 'us-east-1'") == "0A000"


def test_full_storage_fails_a_copy_and_leaves_nothing(cluster: StandIn, session: Connection) -> None:
    put(cluster, "a.parquet", rows(1))
    cluster.fault("status", "^COPY", status=507)
    assert refused(session, copy_prefix(cluster, "a.parquet")) == "53100"
    assert cluster.counts("dev") == {"s.t": 0}


def test_a_connection_cut_before_the_effect_changes_nothing(cluster: StandIn, session: Connection) -> None:
    cluster.fault("reset", "^INSERT")
    with pytest.raises((Error, OSError)):
        run(session, "INSERT INTO s.t VALUES (1, 'a')")
    assert cluster.counts("dev") == {"s.t": 0}


def test_a_lost_answer_to_a_commit_leaves_the_change(cluster: StandIn, session: Connection) -> None:
    cluster.fault("drop_after_effect", "^COMMIT")
    for statement in ("BEGIN", "INSERT INTO s.t VALUES (1, 'a')"):
        run(session, statement)
    with pytest.raises((Error, OSError)):
        run(session, "COMMIT")
    assert cluster.counts("dev") == {"s.t": 1}
    assert cluster.changes()[-1] == ("insert", "s.t")


def test_a_login_can_be_refused(cluster: StandIn) -> None:
    cluster.fault("status", "sandbox", method="LOGIN", status=503)
    with pytest.raises((Error, OSError)):
        connect(cluster)
    connect(cluster).close()


def test_the_ledger_and_the_log_hold_no_literal(cluster: StandIn, session: Connection) -> None:
    run(session, "INSERT INTO s.t VALUES (4711, 'Ann O''Hara')")
    text = json.dumps([cluster.effects(), cluster.requests()])
    assert "Hara" not in text
    assert "4711" not in text


def test_vacuum_and_analyze_show_in_the_table_info(cluster: StandIn, session: Connection) -> None:
    run(session, "INSERT INTO s.t SELECT n, 'x' FROM generate_series(1, 100) n")
    run(session, "DELETE FROM s.t WHERE id <= 50")
    for statement in ("VACUUM FULL s.t TO 99 PERCENT", "ANALYZE s.t PREDICATE COLUMNS"):
        run(session, statement)
    info = "SELECT tbl_rows, unsorted, stats_off FROM svv_table_info WHERE \"schema\" = 's' AND \"table\" = 't'"
    assert [[int(value) for value in row] for row in run(session, info)] == [[50, 0, 0]]


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_everything_committed_survives_a_restart(cluster: StandIn, session: Connection, ending: str) -> None:
    run(session, "INSERT INTO s.t VALUES (1, 'a')")
    run(session, "BEGIN")
    run(session, "INSERT INTO s.t VALUES (2, 'b')")
    before = cluster.effects()
    getattr(cluster, ending)()
    cluster.start()
    assert cluster.effects() == before
    connection = connect(cluster)
    assert run(connection, "SELECT id FROM s.t") == [[1]]
    connection.close()
