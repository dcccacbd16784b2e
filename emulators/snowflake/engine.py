"""Runs statements on fakesnow with the transaction, error and ledger rules of a Snowflake account."""

# fakesnow offers no public way to the parts of its cursor.
# ruff: noqa: SLF001

import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import fakesnow.server as fakesnow_server
import pyarrow as pa
from dialect import as_snowflake_error, count_merge, install
from fakesnow import info_schema
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.instance import FakeSnow
from fakesnow.transforms import show, stage
from ledger import Effect, Ledger
from objects import affected_rows, definition, is_temporary, table_rows
from snowflake.connector import errors
from statements import Statement, read

DATABASE = "WEDSYNC"
_SUCCESS = "SELECT 'Statement executed successfully.' AS status"
_SCHEMAS = """SELECT schema_name FROM duckdb_schemas() WHERE database_name = ? AND NOT internal
    AND schema_name NOT IN ('main', '_fs_information_schema')"""
_UNQUALIFIED_TABLES = "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'main'"
_BOOKS = "SELECT database_name, table_name FROM duckdb_tables() WHERE schema_name = '_fs_information_schema'"
_OPTION_OFF = re.compile(r"\b(?:FORCE|PURGE)\s*=\s*FALSE\b", re.IGNORECASE)
_PATTERN = re.compile(r"\bPATTERN\s*=\s*'((?:[^']|'')*)'", re.IGNORECASE)
_STAGE = re.compile(r"@(?P<name>[%\w$.\"]+)(?P<path>/[^\s'();]*)?")
_ALL_OR_NOTHING = frozenset({"copy", "insert"})
_ABANDONED_S = 300.0
"""A transaction that is idle for five minutes and blocks another is aborted: Snowflake, Transactions, Aborting."""

Execute = Callable[..., FakeSnowflakeCursor]


class PersistentWarehouse(FakeSnow):
    """A fakesnow account whose databases, stages and load history are files below one directory."""

    def __init__(self, directory: Path) -> None:
        self.create_database_on_connect = False
        self.create_schema_on_connect = False
        self.db_path = directory
        self.nop_regexes = None
        self.results_cache = {}
        # One thread: the tables are small, and idle threads hand memory back that the next statement asks for again.
        # Few checkpoints: a commit that writes the table a second time says nothing about an account.
        settings = {"lambda_syntax": "ENABLE_SINGLE_ARROW", "threads": 1, "checkpoint_threshold": "256MB"}
        self.duck_conn = duckdb.connect(database=":memory:", config=settings)
        self.duck_conn.execute(f"ATTACH IF NOT EXISTS '{directory / 'account.db'}' AS _fs_global")
        self.duck_conn.execute(info_schema.fs_global_creation_sql())
        self.duck_conn.execute(show.fs_global_creation_sql())
        self.duck_conn.execute("SET GLOBAL TimeZone = 'UTC'")
        databases = {DATABASE, *(path.stem for path in directory.glob("*.db") if path.stem != "account")}
        self.create_database_on_connect = True
        for database in sorted(databases):
            self.connect(database=database).close()
        self.create_database_on_connect = False


class Engine:
    """Owns the account, the open sessions and the ledger; one per process."""

    def __init__(self, directory: Path, ledger: Ledger) -> None:
        self._directory = directory
        self._ledger = ledger
        self._definition_lock = threading.Lock()
        self._original: Execute = FakeSnowflakeCursor.execute
        FakeSnowflakeCursor.execute = self._patched()
        install()
        self._open()

    @property
    def files(self) -> Path:
        """Where staged files lie."""
        return self._directory / "stages"

    def close_session(self, token: str) -> None:
        """Roll back and forget the session."""
        if connection := fakesnow_server.sessions.pop(token, None):
            connection.close()

    def interrupt(self, token: str) -> None:
        """Have the statement that a session is running fail."""
        if connection := fakesnow_server.sessions.get(token):
            connection._duck_conn.interrupt()

    def abort_abandoned(self, idle_s: float) -> int:
        """Roll back the transactions of sessions that have been silent for so many seconds; returns how many."""
        aborted = 0
        for connection in list(fakesnow_server.sessions.values()):
            session = vars(connection).get("sandbox")
            if not session or not session["open"] or session["running"]:
                continue
            if time.monotonic() - session["used"] >= idle_s:
                self._end(connection.cursor(), session, commit=False)
                aborted += 1
        return aborted

    def reset(self) -> None:
        """Close every session and drop all schemas, staged files and the ledger; the account itself stays open."""
        for token in list(fakesnow_server.sessions):
            self.close_session(token)
        with self._warehouse.duck_conn.cursor() as cursor:
            for (schema,) in cursor.execute(_SCHEMAS, [DATABASE]).fetchall():
                cursor.execute(f'DROP SCHEMA "{DATABASE}"."{schema}" CASCADE')
            for (table,) in cursor.execute(_UNQUALIFIED_TABLES, [DATABASE]).fetchall():
                cursor.execute(f'DROP TABLE "{DATABASE}"."main"."{table}"')
            for database, table in cursor.execute(_BOOKS).fetchall():
                cursor.execute(f'DELETE FROM "{database}"."_fs_information_schema"."{table}"')
        self._warehouse.results_cache.clear()
        shutil.rmtree(self.files, ignore_errors=True)
        self.files.mkdir(parents=True)
        self._ledger.clear()

    def close(self) -> None:
        """Close every session and write the databases out."""
        for token in list(fakesnow_server.sessions):
            self.close_session(token)
        self._warehouse.duck_conn.close()

    def rows(self, qualified: str, limit: int) -> list[dict[str, Any]] | None:
        """Rows of `SCHEMA.TABLE` in storage order, None when there is no such table."""
        schema, _, table = qualified.upper().rpartition(".")
        with self._warehouse.duck_conn.cursor() as cursor:
            if (schema, table) not in self._tables(cursor):
                return None
            result = cursor.execute(f'SELECT * FROM "{DATABASE}"."{schema}"."{table}" LIMIT ?', [limit])
            return result.to_arrow_table().to_pylist()

    def counts(self) -> dict[str, int]:
        """Number of rows per `SCHEMA.TABLE`."""
        with self._warehouse.duck_conn.cursor() as cursor:
            return {
                f"{schema}.{table}": cursor.execute(
                    f'SELECT count(*) FROM "{DATABASE}"."{schema}"."{table}"'
                ).fetchall()[0][0]
                for schema, table in self._tables(cursor)
            }

    def _open(self) -> None:
        self.files.mkdir(parents=True, exist_ok=True)
        stage.LOCAL_BUCKET_PATH = str(self.files)
        self._warehouse = PersistentWarehouse(self._directory)
        fakesnow_server.shared_fs = self._warehouse

    def _tables(self, cursor: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
        return cursor.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ? AND NOT temporary "
            "AND schema_name NOT IN ('_fs_information_schema', 'information_schema') ORDER BY ALL",
            [DATABASE],
        ).fetchall()

    def _patched(self) -> Execute:
        def execute(
            cursor: FakeSnowflakeCursor,
            command: str,
            params: Sequence[Any] | dict[Any, Any] | None = None,
            *args: Any,
            **kwargs: Any,
        ) -> FakeSnowflakeCursor:
            try:
                return self._execute(cursor, read(command), params, *args, **kwargs)
            except errors.Error:
                raise
            except Exception as error:
                if isinstance(error, duckdb.TransactionException):
                    self.abort_abandoned(_ABANDONED_S)
                raise as_snowflake_error(error) from error

        return execute

    def _execute(
        self, cursor: FakeSnowflakeCursor, statement: Statement, params: Any, *args: Any, **kwargs: Any
    ) -> Any:
        connection = cursor._conn
        session = vars(connection).setdefault("sandbox", {"open": False, "effects": [], "running": 0})
        session["running"] += 1
        try:
            return self._dispatch(cursor, statement, session, params, *args, **kwargs)
        finally:
            session["running"] -= 1
            session["used"] = time.monotonic()

    def _dispatch(
        self,
        cursor: FakeSnowflakeCursor,
        statement: Statement,
        session: dict[str, Any],
        params: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if statement.is_accepted_without_effect:
            return self._original(cursor, _SUCCESS)
        if statement.kind in {"remove", "rm"}:
            return self._remove(cursor, statement)
        if statement.kind in {"list", "ls"}:
            return self._list(cursor, statement)
        if statement.object_type == "transaction":
            return self._transaction(cursor, statement, session)
        if not statement.is_ddl:
            return self._change(cursor, statement, session, params, *args, **kwargs)
        self._end(cursor, session, commit=True)
        with self._definition_lock:
            return self._define(cursor, statement, session, params, *args, **kwargs)

    def _change(
        self, cursor: FakeSnowflakeCursor, statement: Statement, session: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        command = self._copy_text(cursor, statement) if statement.kind == "copy" else statement.text
        alone = statement.kind in _ALL_OR_NOTHING and not session["open"] and cursor._conn._autocommit
        if alone:
            cursor._duck_conn.begin()
        try:
            self._original(cursor, command, *args, **kwargs)
            if alone:
                cursor._duck_conn.commit()
        except BaseException as error:
            if alone:
                _roll_back(cursor)
            if statement.kind == "merge" and isinstance(error, duckdb.InvalidInputException):
                text = "Duplicate row detected during DML action"
                raise errors.ProgrammingError(msg=text, errno=100090, sqlstate="42P18") from error
            raise
        if statement.kind == "merge":
            count_merge(cursor)
        if (statement.is_dml or statement.kind == "truncate") and (rows := affected_rows(cursor, statement)):
            self._record(cursor, session, statement, rows)
        if session["effects"] and not session["open"] and cursor._conn._autocommit:
            # ALTER SESSION SET AUTOCOMMIT = TRUE has committed what was waiting.
            self._ledger.effects(session["effects"])
            session["effects"] = []
        return cursor

    def _define(
        self, cursor: FakeSnowflakeCursor, statement: Statement, session: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        before = definition(cursor, statement)
        if statement.guarded and before is not None:
            name = statement.object_name.rpartition(".")[2].replace("'", "''")
            return self._original(cursor, f"SELECT '{name} already exists, statement succeeded.' AS status")
        self._original(cursor, statement.text, *args, **kwargs)
        after = definition(cursor, statement)
        if statement.kind == "alter" or statement.replace or before != after:
            self._record(cursor, session, statement, table_rows(cursor, statement))
        return cursor

    def _transaction(self, cursor: FakeSnowflakeCursor, statement: Statement, session: dict[str, Any]) -> Any:
        if statement.kind == "begin":
            if not session["open"]:
                self._original(cursor, "BEGIN")
            session["open"] = True
        else:
            self._end(cursor, session, commit=statement.kind == "commit")
        return self._original(cursor, _SUCCESS)

    def _end(self, cursor: FakeSnowflakeCursor, session: dict[str, Any], *, commit: bool) -> None:
        waiting, session["effects"], session["open"] = session["effects"], [], False
        self._original(cursor, "COMMIT" if commit else "ROLLBACK")
        if commit:
            self._ledger.effects(waiting)

    def _record(
        self, cursor: FakeSnowflakeCursor, session: dict[str, Any], statement: Statement, rows: int | None
    ) -> None:
        if statement.temporary or is_temporary(cursor, statement):
            return
        body = {"rows": rows, "statement": statement.redacted}
        effect = Effect(statement.kind, statement.object_type, statement.object_name, body)
        if session["open"] or not cursor._conn._autocommit:
            session["effects"].append(effect)
        else:
            self._ledger.effects([effect])

    def _copy_text(self, cursor: FakeSnowflakeCursor, statement: Statement) -> str:
        text = _OPTION_OFF.sub("", statement.text)
        match = _PATTERN.search(text)
        if match is None:
            return text
        directory, prefix = self._stage_directory(cursor, text)
        wanted = re.compile(match[1].replace("''", "'"))
        base = directory / prefix
        names = sorted(str(path.relative_to(base)) for path in base.rglob("*") if path.is_file())
        chosen = [name for name in names if wanted.fullmatch(name)]
        if not chosen:
            return "SELECT 'Copy executed with 0 files processed.' AS status"
        files = ", ".join("'" + name.replace("'", "''") + "'" for name in chosen)
        return text[: match.start()] + f"FILES = ({files})" + text[match.end() :]

    def _remove(self, cursor: FakeSnowflakeCursor, statement: Statement) -> Any:
        directory, prefix = self._stage_directory(cursor, statement.text)
        wanted = _PATTERN.search(statement.text)
        removed = []
        for path in sorted(directory.rglob("*")):
            name = str(path.relative_to(directory))
            if path.is_file() and name.startswith(prefix) and (not wanted or re.fullmatch(wanted[1], name)):
                path.unlink()
                removed.append(name)
        names = ", ".join("'" + name.replace("'", "''") + "'" for name in removed)
        listing = f"unnest([{names}]::VARCHAR[])"
        self._original(cursor, "SELECT 1")
        cursor._last_sql = f"SELECT {listing} AS name, 'removed' AS result"
        cursor._arrow_table = cursor._duck_conn.execute(cursor._last_sql).to_arrow_table()
        cursor._rowcount = len(removed)
        return cursor

    def _list(self, cursor: FakeSnowflakeCursor, statement: Statement) -> Any:
        directory, prefix = self._stage_directory(cursor, statement.text)
        match, pattern = _STAGE.search(statement.text), _PATTERN.search(statement.text)
        self._original(cursor, f"LIST @{match['name'] if match else ''}")
        table = cursor._arrow_table
        start = "" if stage.is_table_stage(directory.name) else f"{directory.name.lower()}/"
        names = table["name"].to_pylist()
        below = [name.startswith(start + prefix) for name in names]
        fits = [pattern is None or re.fullmatch(pattern[1], name) is not None for name in names]
        wanted = [first and second for first, second in zip(below, fits, strict=True)]
        cursor._arrow_table = table.filter(pa.array(wanted, type=pa.bool_()))
        cursor._rowcount = cursor._arrow_table.num_rows
        return cursor

    def _stage_directory(self, cursor: FakeSnowflakeCursor, text: str) -> tuple[Path, str]:
        match = _STAGE.search(text)
        if match is None:
            raise errors.ProgrammingError(msg="SQL compilation error: no stage is named", errno=1003, sqlstate="42000")
        names = stage.parts_from_var(match["name"], cursor._conn.database, cursor._conn.schema)
        return Path(stage.internal_dir(".".join(names))), (match["path"] or "/")[1:]


def _roll_back(cursor: FakeSnowflakeCursor) -> None:
    try:
        cursor._duck_conn.rollback()
    except duckdb.TransactionException:
        return
