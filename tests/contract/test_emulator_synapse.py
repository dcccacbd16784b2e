"""The Synapse stand-in answers two unchanged drivers, and refuses what a dedicated SQL pool refuses."""

import io
import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pymssql
import pytds
import pytest

from tests.support.warehouse_stand_ins import StandIn

SAS = "sv=2026-01-01&sig=sandbox"
WITH = f"WITH (FILE_TYPE = 'PARQUET', CREDENTIAL = (IDENTITY = 'Shared Access Signature', SECRET = '{SAS}'))"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def pool(synapse_process: StandIn) -> StandIn:
    synapse_process.reset()
    return synapse_process


@pytest.fixture
def session(pool: StandIn) -> Iterator[Any]:
    connection = connect(pool)
    run(connection, "CREATE SCHEMA s")
    run(
        connection,
        "CREATE TABLE s.t (id BIGINT NOT NULL, name NVARCHAR(50) NULL) "
        "WITH (DISTRIBUTION = HASH(id), CLUSTERED COLUMNSTORE INDEX)",
    )
    yield connection
    connection.close()


def connect(pool: StandIn, user: str = "sandbox", password: str | None = None, database: str = "dev") -> Any:
    host, port = pool.address
    return pytds.connect(
        host, database, user, password or user, port=port, autocommit=True, login_timeout=2, disable_connect_retry=True
    )


def run(connection: Any, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []


def refused(connection: Any, sql: str) -> int:
    with pytest.raises(pytds.DatabaseError) as caught:
        run(connection, sql)
    return int(caught.value.msg_no)


def put(pool: StandIn, path: str, **columns: Any) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    url = f"{pool.ready['url']}/sandbox/loads/{path}?{SAS}"
    httpx.put(url, content=sink.getvalue(), headers={"x-ms-blob-type": "BlockBlob"}).raise_for_status()


def copy(path: str) -> str:
    return f"COPY INTO s.t (id, name) FROM 'https://sandbox.blob.core.windows.net/loads/{path}' {WITH}"


def test_a_wrong_password_and_a_foreign_pool_are_refused(pool: StandIn) -> None:
    with pytest.raises(pytds.DatabaseError) as wrong:
        connect(pool, password="wrong")
    assert wrong.value.msg_no == 18456
    # For this number the driver waits out its time limit before it tells.
    with pytest.raises(TimeoutError) as foreign:
        connect(pool, user="second", database="dev")
    assert isinstance(foreign.value.__cause__, pytds.OperationalError)
    assert foreign.value.__cause__.msg_no == 4060


def test_every_type_comes_back_as_it_was_bound(session: Any) -> None:
    run(
        session,
        "CREATE TABLE s.v (a BIGINT, b INT, c NVARCHAR(40), d DATE, e DATETIME2(6), f DECIMAL(12,2), g BIT, h FLOAT, "
        "i NVARCHAR(MAX)) WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)",
    )
    values = (2**40, -3, "Zoë", date(2027, 6, 5), datetime(2027, 6, 5, 14, 0, 0, 250_000), Decimal("-12.34"), True, 0.5)  # noqa: DTZ001
    run(session, "INSERT INTO s.v VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)", *values, "x" * 9_000)
    run(session, "INSERT INTO s.v (a) VALUES (%s)", None)
    assert run(session, "SELECT * FROM s.v ORDER BY a DESC") in (
        [(*values, "x" * 9_000), (None,) * 9],
        [(None,) * 9, (*values, "x" * 9_000)],
    )


def test_a_second_driver_is_answered_too(pool: StandIn, session: Any) -> None:
    host, port = pool.address
    other = pymssql.connect(host, "sandbox", "sandbox", "dev", port=str(port), encryption="off")
    with other.cursor() as cursor:
        cursor.execute("INSERT INTO s.t VALUES (%d, %s)", (7, "Zoë"))
        other.commit()
        cursor.execute("SELECT id, name FROM s.t")
        assert cursor.fetchall() == [(7, "Zoë")]
    other.close()


def test_a_rolled_back_change_is_no_effect_and_a_committed_one_is(pool: StandIn, session: Any) -> None:
    for ending in ("ROLLBACK TRANSACTION", "COMMIT TRANSACTION"):
        for statement in ("BEGIN TRANSACTION", "INSERT INTO s.t VALUES (1, 'a')", ending):
            run(session, statement)
    assert pool.changes() == [("create", "s"), ("create", "s.t"), ("insert", "s.t")]
    assert pool.counts("dev") == {"s.t": 1}


def test_the_drivers_own_transactions_commit_and_roll_back(pool: StandIn, session: Any) -> None:
    session.autocommit = False
    run(session, "INSERT INTO s.t VALUES (1, 'a')")
    session.rollback()
    run(session, "INSERT INTO s.t VALUES (2, 'b')")
    session.commit()
    assert [row["id"] for row in pool.rows("dev", "s.t")] == [2]
    session.rollback()
    session.autocommit = True


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("CREATE OR ALTER TABLE s.u (id INT)", 102),
        ("CREATE TABLE IF NOT EXISTS s.u (id INT)", 102),
        ("CREATE TABLE s.u (id INT PRIMARY KEY)", 104467),
        ("CREATE TABLE s.u (d DATETIME2 DEFAULT GETDATE())", 103010),
        ("CREATE TABLE s.u (b BOOLEAN)", 2715),
        ("CREATE TABLE s.u AS SELECT 1 AS a", 103010),
        ("SELECT id, COUNT(*) FROM s.t GROUP BY 1", 164),
        ("SELECT id, name, COUNT(*) FROM s.t GROUP BY id, 2", 164),
        ("SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY id) FROM s.t", 10753),
        ("SELECT id FROM s.t ORDER BY id NULLS LAST", 102),
        ("SELECT id FROM s.t LIMIT 5", 102),
        ("SELECT id::INT FROM s.t", 102),
        ("INSERT INTO s.t VALUES (1, 'a'), (2, 'b')", 103010),
        (
            "MERGE INTO s.t AS t USING s.t AS x ON t.id = x.id WHEN NOT MATCHED THEN INSERT (id) VALUES (x.id)",
            10713,
        ),
        ("SELECT * FROM s.absent", 208),
        ("SELECT absent FROM s.t", 207),
        ("CREATE TABLE s.t (id INT)", 2714),
        ("INSERT INTO s.t (name) VALUES ('a')", 515),
    ],
)
def test_what_a_pool_does_not_do_is_refused_with_its_number(session: Any, statement: str, number: int) -> None:
    assert refused(session, statement) == number


def test_merge_updates_and_inserts(session: Any) -> None:
    run(session, "INSERT INTO s.t VALUES (1, 'old')")
    with session.cursor() as cursor:
        cursor.execute(
            "MERGE INTO s.t AS t USING (SELECT 1 AS id, N'new' AS name UNION ALL SELECT 2, N'two') AS x ON t.id = x.id "
            "WHEN MATCHED AND t.name <> x.name THEN UPDATE SET name = x.name "
            "WHEN NOT MATCHED THEN INSERT (id, name) VALUES (x.id, x.name);"
        )
        assert cursor.rowcount == 2
    assert run(session, "SELECT id, name FROM s.t ORDER BY id") == [(1, "new"), (2, "two")]


def test_texts_compare_without_case_unless_their_column_is_binary(session: Any) -> None:
    run(session, "CREATE TABLE s.c (a NVARCHAR(9), b NVARCHAR(9) COLLATE Latin1_General_100_BIN2)")
    run(session, "INSERT INTO s.c VALUES ('A', 'A')")
    counts = "SELECT SUM(CASE WHEN a = 'a' THEN 1 ELSE 0 END), SUM(CASE WHEN b = 'a' THEN 1 ELSE 0 END) FROM s.c"
    assert [int(value) for value in run(session, counts)[0]] == [1, 0]


def test_a_text_too_long_is_refused(session: Any) -> None:
    run(session, "CREATE TABLE s.n (name NVARCHAR(3))")
    assert refused(session, "INSERT INTO s.n VALUES ('abcd')") == 2628


def test_tables_are_made_only_where_they_are_missing(pool: StandIn, session: Any) -> None:
    for _ in range(2):
        run(session, "IF SCHEMA_ID(N'u') IS NULL EXEC(N'CREATE SCHEMA u')")
        run(session, "IF OBJECT_ID(N'u.t', N'U') IS NULL CREATE TABLE u.t (id BIGINT IDENTITY(1,1) NOT NULL, a INT)")
    run(session, "INSERT INTO u.t (a) SELECT 5 UNION ALL SELECT 6")
    assert sorted(row[0] for row in run(session, "SELECT id FROM u.t")) == [1, 2]
    assert pool.changes()[2:] == [("create", "u"), ("create", "u.t"), ("insert", "u.t")]


def test_a_table_made_by_a_query_takes_the_place_of_another(session: Any) -> None:
    run(session, "INSERT INTO s.t VALUES (1, 'a')")
    run(session, "CREATE TABLE s.next WITH (DISTRIBUTION = ROUND_ROBIN, HEAP) AS SELECT id + 1 AS id FROM s.t")
    for statement in ("RENAME OBJECT s.t TO before", "RENAME OBJECT s.next TO t", "DROP TABLE s.before"):
        run(session, statement)
    assert run(session, "SELECT id FROM s.t") == [(2,)]


def test_no_table_is_made_inside_a_transaction_and_an_error_dooms_it(session: Any) -> None:
    run(session, "BEGIN TRANSACTION")
    assert refused(session, "CREATE TABLE s.u (id INT)") == 226
    assert refused(session, "SELECT 1") == 111233
    run(session, "ROLLBACK TRANSACTION")
    assert run(session, "SELECT 1") == [(1,)]


def test_a_median_is_a_window(session: Any) -> None:
    run(session, "INSERT INTO s.t SELECT 1, 'a' UNION ALL SELECT 2, 'a' UNION ALL SELECT 9, 'a'")
    found = run(
        session,
        "SELECT DISTINCT name, PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY id) OVER (PARTITION BY name) FROM s.t",
    )
    assert [(name, float(median)) for name, median in found] == [("a", 2.0)]


def test_files_are_copied_by_position_in_the_transaction_they_are_in(pool: StandIn, session: Any) -> None:
    put(pool, "run/a.parquet", ID=pa.array([1, 2], pa.int64()), NAME=["x", "y"])
    for ending, standing in (("ROLLBACK TRANSACTION", 0), ("COMMIT TRANSACTION", 2)):
        for statement in ("BEGIN TRANSACTION", copy("run/a.parquet"), ending):
            run(session, statement)
        assert pool.counts("dev") == {"s.t": standing}
    assert [(kind, effect) for kind, effect in pool.changes() if kind == "copy"] == [("copy", "s.t")]


def test_a_copy_without_its_file_or_its_credential_is_refused(pool: StandIn, session: Any) -> None:
    assert refused(session, copy("absent.parquet")) == 13807
    put(pool, "a.parquet", ID=pa.array([1], pa.int64()), NAME=["x"])
    assert refused(session, copy("a.parquet").replace("sig=sandbox", "sig=forged")) == 105208


def test_a_blob_needs_its_signature(pool: StandIn) -> None:
    assert httpx.put(f"{pool.ready['url']}/sandbox/loads/a", content=b"x").status_code == 403


def test_a_connection_cut_before_the_effect_changes_nothing(pool: StandIn, session: Any) -> None:
    pool.fault("reset", "^INSERT")
    with pytest.raises((pytds.Error, OSError)):
        run(session, "INSERT INTO s.t VALUES (1, 'a')")
    assert pool.counts("dev") == {"s.t": 0}


def test_a_lost_answer_to_a_commit_leaves_the_change(pool: StandIn, session: Any) -> None:
    pool.fault("drop_after_effect", "^COMMIT")
    for statement in ("BEGIN TRANSACTION", "INSERT INTO s.t VALUES (1, 'a')"):
        run(session, statement)
    with pytest.raises((pytds.Error, OSError)):
        run(session, "COMMIT TRANSACTION")
    assert pool.counts("dev") == {"s.t": 1}


@pytest.mark.parametrize(("status", "number"), [(409, 1205), (429, 10928), (503, 40613), (507, 1105)])
def test_faults_come_as_numbers(pool: StandIn, session: Any, status: int, number: int) -> None:
    pool.fault("status", "^SELECT", status=status)
    assert refused(session, "SELECT 1") == number
    assert run(session, "SELECT 1") == [(1,)]


def test_the_ledger_and_the_log_hold_no_literal(pool: StandIn, session: Any) -> None:
    run(session, "INSERT INTO s.t VALUES (4711, N'Ann O''Hara')")
    text = json.dumps([pool.effects(), pool.requests()])
    assert "Hara" not in text
    assert "4711" not in text


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_everything_committed_survives_a_restart(pool: StandIn, session: Any, ending: str) -> None:
    put(pool, "a.parquet", ID=pa.array([5], pa.int64()), NAME=["x"])
    run(session, "INSERT INTO s.t VALUES (1, 'a')")
    before = pool.effects()
    getattr(pool, ending)()
    pool.start()
    assert pool.effects() == before
    connection = connect(pool)
    run(connection, copy("a.parquet"))
    assert run(connection, "SELECT id FROM s.t ORDER BY id") == [(1,), (5,)]
    connection.close()
