"""The Snowflake stand-in answers the unchanged Snowflake driver as the tests of the product need it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import snowflake.connector
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import Error

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = ROOT / ".venv-snowflake" / "bin" / "python"
PARQUET = "FILE_FORMAT = (TYPE = PARQUET) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"

pytestmark = [
    pytest.mark.skipif(not INTERPRETER.exists(), reason="the environment .venv-snowflake has not been built"),
    pytest.mark.timeout(300),
]


class StandIn:
    """The running process and the two ways to talk to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.start()

    def start(self) -> None:
        command = [
            str(INTERPRETER),
            str(ROOT / "emulators" / "snowflake"),
            "--port",
            "0",
            "--data-dir",
            str(self.directory),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def connect(self, password: str = "sandbox") -> SnowflakeConnection:
        return snowflake.connector.connect(
            account="sandbox",
            user="sandbox",
            password=password,
            host="127.0.0.1",
            port=httpx.URL(self.url).port,
            protocol="http",
            warehouse="COMPUTE_WH",
            database="WEDSYNC",
            server_session_keep_alive=False,
        )

    def control(self, path: str) -> Any:
        return httpx.get(f"{self.url}/_emulators/{path}", timeout=60).raise_for_status().json()

    def fault(self, **rule: Any) -> None:
        httpx.post(f"{self.url}/_emulators/faults", json=rule, timeout=60).raise_for_status()

    def reset(self) -> None:
        httpx.post(f"{self.url}/_emulators/reset", timeout=60).raise_for_status()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    standing = StandIn(tmp_path_factory.mktemp("snowflake"))
    yield standing
    standing.stop()


@pytest.fixture
def stand_in(process: StandIn) -> StandIn:
    process.reset()
    return process


@pytest.fixture
def session(stand_in: StandIn) -> Iterator[SnowflakeConnection]:
    connection = stand_in.connect()
    run(connection, "CREATE SCHEMA IF NOT EXISTS WEDDING_RAW")
    run(connection, "CREATE TABLE IF NOT EXISTS WEDDING_RAW.T (ID NUMBER, NAME VARCHAR(50), SEEN TIMESTAMP_NTZ)")
    yield connection
    connection.close()


def run(connection: SnowflakeConnection, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        return [tuple(row) for row in cursor.execute(sql).fetchall()]


def stage(connection: SnowflakeConnection, directory: Path, name: str, ids: list[int]) -> None:
    file = directory / name
    pq.write_table(pa.table({"ID": ids, "NAME": [f"n{number}" for number in ids]}), file)
    run(connection, "CREATE STAGE IF NOT EXISTS WEDDING_RAW.LOADS")
    run(connection, f"PUT file://{file} @WEDDING_RAW.LOADS/run1 AUTO_COMPRESS = FALSE")


def kinds(stand_in: StandIn) -> list[str]:
    return [effect["kind"] for effect in stand_in.control("effects") if effect["objectType"] == "table"]


def test_creating_what_exists_is_no_second_effect(stand_in: StandIn, session: SnowflakeConnection) -> None:
    run(session, "CREATE TABLE IF NOT EXISTS WEDDING_RAW.T (ID NUMBER)")
    assert kinds(stand_in) == ["create"]


def test_a_file_is_copied_once(stand_in: StandIn, session: SnowflakeConnection, tmp_path: Path) -> None:
    stage(session, tmp_path, "part.parquet", [1, 2, 3])
    statement = f"COPY INTO WEDDING_RAW.T FROM @WEDDING_RAW.LOADS/run1/ FILES = ('part.parquet') {PARQUET}"
    first, second = run(session, statement), run(session, statement)
    assert (first[0][1:4], second[0][1:4]) == (("LOADED", 3, 3), ("LOAD_SKIPPED", 0, 0))
    assert stand_in.control("counts") == {"WEDDING_RAW.T": 3}
    assert kinds(stand_in) == ["create", "copy"]


def test_a_pattern_selects_files_and_remove_deletes_them(session: SnowflakeConnection, tmp_path: Path) -> None:
    stage(session, tmp_path, "a1.parquet", [1])
    stage(session, tmp_path, "b1.parquet", [2])
    run(session, f"COPY INTO WEDDING_RAW.T FROM @WEDDING_RAW.LOADS/run1/ PATTERN = 'a.*' {PARQUET}")
    assert run(session, "SELECT ID FROM WEDDING_RAW.T") == [(1,)]
    run(session, "REMOVE @WEDDING_RAW.LOADS/run1/a1.parquet")
    assert [row[0] for row in run(session, "LIST @WEDDING_RAW.LOADS")] == ["loads/run1/b1.parquet"]


def test_merge_counts_inserts_and_updates_and_a_repeat_changes_nothing(
    stand_in: StandIn, session: SnowflakeConnection
) -> None:
    run(session, "INSERT INTO WEDDING_RAW.T (ID, NAME) VALUES (1, 'old')")
    statement = (
        "MERGE INTO WEDDING_RAW.T t USING (SELECT 1 AS ID, 'new' AS NAME UNION ALL SELECT 2, 'two') s ON t.ID = s.ID "
        "WHEN MATCHED AND t.NAME IS DISTINCT FROM s.NAME THEN UPDATE SET t.NAME = s.NAME "
        "WHEN NOT MATCHED THEN INSERT (ID, NAME) VALUES (s.ID, s.NAME)"
    )
    assert (run(session, statement), run(session, statement)) == ([(1, 1)], [(0, 0)])
    assert kinds(stand_in) == ["create", "insert", "merge"]


def test_a_merge_with_two_source_rows_for_one_target_row_is_refused(session: SnowflakeConnection) -> None:
    run(session, "INSERT INTO WEDDING_RAW.T (ID, NAME) VALUES (1, 'old')")
    with pytest.raises(Error) as caught:
        run(
            session,
            "MERGE INTO WEDDING_RAW.T t USING (SELECT 1 AS ID, 'a' AS NAME UNION ALL SELECT 1, 'b') s ON t.ID = s.ID "
            "WHEN MATCHED THEN UPDATE SET NAME = s.NAME",
        )
    assert caught.value.errno == 100090


def test_a_rolled_back_insert_leaves_no_effect(stand_in: StandIn, session: SnowflakeConnection) -> None:
    for statement in ("BEGIN", "INSERT INTO WEDDING_RAW.T (ID) VALUES (1)", "ROLLBACK"):
        run(session, statement)
    assert kinds(stand_in) == ["create"]


def test_a_null_timestamp_is_none_and_microseconds_survive(session: SnowflakeConnection) -> None:
    run(session, "INSERT INTO WEDDING_RAW.T VALUES (1, 'a', NULL), (2, 'b', '1969-12-31 23:59:59.25')")
    seen = [row[0] for row in run(session, "SELECT SEEN FROM WEDDING_RAW.T ORDER BY ID")]
    assert seen[0] is None
    assert seen[1].isoformat() == "1969-12-31T23:59:59.250000"


def test_the_ledger_holds_no_literal(stand_in: StandIn, session: SnowflakeConnection) -> None:
    run(session, "INSERT INTO WEDDING_RAW.T (ID, NAME) VALUES (4711, 'Ann O''Hara')")
    text = json.dumps(stand_in.control("effects"))
    assert "Hara" not in text
    assert "4711" not in text


def test_a_wrong_password_is_a_login_failure(stand_in: StandIn) -> None:
    with pytest.raises(Error) as caught:
        stand_in.connect(password="wrong")
    assert "390100" in str(caught.value)


def test_a_lost_answer_and_the_drivers_repeat_apply_the_statement_once(
    stand_in: StandIn, session: SnowflakeConnection
) -> None:
    stand_in.fault(kind="drop_after_effect", count=1, match={"sql": "/^INSERT/"})
    try:
        run(session, "INSERT INTO WEDDING_RAW.T (ID) VALUES (1)")
    except Error:
        run(session, "SELECT 1")
    assert stand_in.control("counts") == {"WEDDING_RAW.T": 1}


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    standing = StandIn(tmp_path / "data")
    connection = standing.connect()
    run(connection, "CREATE SCHEMA IF NOT EXISTS WEDDING_RAW")
    run(connection, "CREATE TABLE WEDDING_RAW.T (ID NUMBER, NAME VARCHAR(50))")
    stage(connection, tmp_path, "part.parquet", [1, 2])
    statement = f"COPY INTO WEDDING_RAW.T FROM @WEDDING_RAW.LOADS/run1/ FILES = ('part.parquet') {PARQUET}"
    run(connection, statement)
    before = standing.control("effects")
    connection.close()
    standing.stop()
    standing.start()
    connection = standing.connect()
    again = run(connection, statement)
    after = standing.control("effects")
    rows = standing.control("objects/WEDDING_RAW.T")
    connection.close()
    standing.stop()
    assert again[0][1] == "LOAD_SKIPPED"
    assert after == before
    assert rows == [{"ID": 1, "NAME": "n1"}, {"ID": 2, "NAME": "n2"}]
