"""The Snowflake stand-in answers the unchanged Snowflake driver as the tests of the product need it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import snowflake.connector
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import Error

from tests.support.snowflake_account import Account

PARQUET = "FILE_FORMAT = (TYPE = PARQUET) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def session(account: Account) -> Iterator[SnowflakeConnection]:
    connection = connect(account)
    run(connection, "CREATE SCHEMA IF NOT EXISTS WEDDING_RAW")
    run(connection, "CREATE TABLE IF NOT EXISTS WEDDING_RAW.T (ID NUMBER, NAME VARCHAR(50), SEEN TIMESTAMP_NTZ)")
    yield connection
    connection.close()


def connect(account: Account, password: str = "sandbox") -> SnowflakeConnection:
    return snowflake.connector.connect(
        account="sandbox",
        user="sandbox",
        password=password,
        host="127.0.0.1",
        port=urlsplit(account.url).port,
        protocol="http",
        warehouse="COMPUTE_WH",
        database="WEDSYNC",
        server_session_keep_alive=False,
        enable_server_session_keep_alive_auto_detection=False,
    )


def run(connection: SnowflakeConnection, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        return [tuple(row) for row in cursor.execute(sql).fetchall()]


def stage(connection: SnowflakeConnection, directory: Path, name: str, ids: list[int]) -> None:
    file = directory / name
    pq.write_table(pa.table({"ID": ids, "NAME": [f"n{number}" for number in ids]}), file)
    run(connection, "CREATE STAGE IF NOT EXISTS WEDDING_RAW.LOADS")
    run(connection, f"PUT file://{file} @WEDDING_RAW.LOADS/run1 AUTO_COMPRESS = FALSE")


def kinds(account: Account) -> list[str]:
    return [effect["kind"] for effect in account.effects() if effect["objectType"] == "table"]


def test_creating_what_exists_is_no_second_effect(account: Account, session: SnowflakeConnection) -> None:
    run(session, "CREATE TABLE IF NOT EXISTS WEDDING_RAW.T (ID NUMBER)")
    assert kinds(account) == ["create"]


def test_a_file_is_copied_once(account: Account, session: SnowflakeConnection, tmp_path: Path) -> None:
    stage(session, tmp_path, "part.parquet", [1, 2, 3])
    statement = f"COPY INTO WEDDING_RAW.T FROM @WEDDING_RAW.LOADS/run1/ FILES = ('part.parquet') {PARQUET}"
    first, second = run(session, statement), run(session, statement)
    assert (first[0][1:4], second[0][1:4]) == (("LOADED", 3, 3), ("LOAD_SKIPPED", 0, 0))
    assert account.counts() == {"WEDDING_RAW.T": 3}
    assert kinds(account) == ["create", "copy"]


def test_a_pattern_selects_files_and_remove_deletes_them(session: SnowflakeConnection, tmp_path: Path) -> None:
    stage(session, tmp_path, "a1.parquet", [1])
    stage(session, tmp_path, "b1.parquet", [2])
    run(session, f"COPY INTO WEDDING_RAW.T FROM @WEDDING_RAW.LOADS/run1/ PATTERN = 'a.*' {PARQUET}")
    assert run(session, "SELECT ID FROM WEDDING_RAW.T") == [(1,)]
    run(session, "REMOVE @WEDDING_RAW.LOADS/run1/a1.parquet")
    assert [row[0] for row in run(session, "LIST @WEDDING_RAW.LOADS")] == ["loads/run1/b1.parquet"]


def test_merge_counts_inserts_and_updates_and_a_repeat_changes_nothing(
    account: Account, session: SnowflakeConnection
) -> None:
    run(session, "INSERT INTO WEDDING_RAW.T (ID, NAME) VALUES (1, 'old')")
    statement = (
        "MERGE INTO WEDDING_RAW.T t USING (SELECT 1 AS ID, 'new' AS NAME UNION ALL SELECT 2, 'two') s ON t.ID = s.ID "
        "WHEN MATCHED AND t.NAME IS DISTINCT FROM s.NAME THEN UPDATE SET t.NAME = s.NAME "
        "WHEN NOT MATCHED THEN INSERT (ID, NAME) VALUES (s.ID, s.NAME)"
    )
    assert (run(session, statement), run(session, statement)) == ([(1, 1)], [(0, 0)])
    assert kinds(account) == ["create", "insert", "merge"]


def test_a_merge_with_two_source_rows_for_one_target_row_is_refused(session: SnowflakeConnection) -> None:
    run(session, "INSERT INTO WEDDING_RAW.T (ID, NAME) VALUES (1, 'old')")
    with pytest.raises(Error) as caught:
        run(
            session,
            "MERGE INTO WEDDING_RAW.T t USING (SELECT 1 AS ID, 'a' AS NAME UNION ALL SELECT 1, 'b') s ON t.ID = s.ID "
            "WHEN MATCHED THEN UPDATE SET NAME = s.NAME",
        )
    assert caught.value.errno == 100090


def test_a_rolled_back_insert_leaves_no_effect(account: Account, session: SnowflakeConnection) -> None:
    for statement in ("BEGIN", "INSERT INTO WEDDING_RAW.T (ID) VALUES (1)", "ROLLBACK"):
        run(session, statement)
    assert kinds(account) == ["create"]


def test_a_transaction_whose_session_fell_silent_blocks_until_it_is_aborted(
    account: Account, session: SnowflakeConnection
) -> None:
    run(session, "INSERT INTO WEDDING_RAW.T (ID) VALUES (1)")
    silent = connect(account)
    for statement in ("BEGIN", "UPDATE WEDDING_RAW.T SET NAME = 'silent' WHERE ID = 1"):
        run(silent, statement)
    change = "UPDATE WEDDING_RAW.T SET NAME = 'other' WHERE ID = 1"
    with pytest.raises(Error) as caught:
        run(session, change)
    assert caught.value.errno == 625
    assert account.abort_abandoned() == 1
    run(session, change)
    assert [row["NAME"] for row in account.rows("WEDDING_RAW.T")] == ["other"]
    silent.close()


def test_a_null_timestamp_is_none_and_microseconds_survive(session: SnowflakeConnection) -> None:
    run(session, "INSERT INTO WEDDING_RAW.T VALUES (1, 'a', NULL), (2, 'b', '1969-12-31 23:59:59.25')")
    seen = [row[0] for row in run(session, "SELECT SEEN FROM WEDDING_RAW.T ORDER BY ID")]
    assert seen[0] is None
    assert seen[1].isoformat() == "1969-12-31T23:59:59.250000"


def test_the_ledger_holds_no_literal(account: Account, session: SnowflakeConnection) -> None:
    run(session, "INSERT INTO WEDDING_RAW.T (ID, NAME) VALUES (4711, 'Ann O''Hara')")
    text = json.dumps(account.effects())
    assert "Hara" not in text
    assert "4711" not in text


def test_a_wrong_password_is_a_login_failure(account: Account) -> None:
    with pytest.raises(Error) as caught:
        connect(account, password="wrong")
    assert "390100" in str(caught.value)


def test_a_lost_answer_and_the_drivers_repeat_apply_the_statement_once(
    account: Account, session: SnowflakeConnection
) -> None:
    account.drop_after("/^INSERT/")
    try:
        run(session, "INSERT INTO WEDDING_RAW.T (ID) VALUES (1)")
    except Error:
        run(session, "SELECT 1")
    assert account.counts() == {"WEDDING_RAW.T": 1}


def test_everything_survives_a_restart(account: Account, session: SnowflakeConnection, tmp_path: Path) -> None:
    stage(session, tmp_path, "part.parquet", [1, 2])
    statement = f"COPY INTO WEDDING_RAW.T FROM @WEDDING_RAW.LOADS/run1/ FILES = ('part.parquet') {PARQUET}"
    run(session, statement)
    before = account.effects()
    session.close()
    account.stop()
    account.start()
    connection = connect(account)
    assert run(connection, statement)[0][1] == "LOAD_SKIPPED"
    assert account.effects() == before
    assert [(row["ID"], row["NAME"]) for row in account.rows("WEDDING_RAW.T")] == [(1, "n1"), (2, "n2")]
    connection.close()


def test_every_session_finds_the_sequence_of_an_autoincrement_column(
    account: Account, session: SnowflakeConnection
) -> None:
    run(session, "CREATE SCHEMA WEDDING_MARTS")
    run(session, "CREATE TABLE WEDDING_RAW.N (SK NUMBER AUTOINCREMENT PRIMARY KEY, NAME VARCHAR)")
    other = connect(account)
    run(other, "INSERT INTO WEDDING_RAW.N (NAME) VALUES ('a'), ('b')")
    other.close()
    assert [row["SK"] for row in account.rows("WEDDING_RAW.N")] == [1, 2]
