"""Runs statements on DuckDB, one database file per SQL pool, with the errors that SQL Server numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb

from emulators.synapse.dialect import Statement
from emulators.synapse.refusals import Refusal, near
from emulators.synapse.values import Column

POOLS = {"dev": "sandbox", "second": "second", "uncommitted": "sandbox"}
"""Pool -> the login that may use it; a login's password is its name."""
READERS = {"dev": "reader"}
"""Pool -> a login that may only read of it."""
UNCOMMITTED = "uncommitted"
"""The pool that has READ_COMMITTED_SNAPSHOT off, as every pool has until somebody turns it on."""
_ERRORS: tuple[tuple[type[duckdb.Error], str, int, str], ...] = (
    (duckdb.TransactionException, "", 1205, "Transaction was deadlocked on lock resources. Rerun the transaction."),
    (duckdb.CatalogException, "already exists", 2714, "There is already an object with this name in the database."),
    (duckdb.CatalogException, "", 208, "Invalid object name."),
    (duckdb.BinderException, "", 207, "Invalid column name."),
    (duckdb.ConstraintException, "CHECK", 2628, "String or binary data would be truncated."),
    (duckdb.ConstraintException, "", 515, "Cannot insert the value NULL into a column that does not allow it."),
    (duckdb.ConversionException, "", 8114, "Error converting data type."),
    (duckdb.OutOfRangeException, "", 8115, "Arithmetic overflow error."),
    (duckdb.InvalidInputException, "", 8672, "The MERGE statement attempted to UPDATE the same row more than once."),
    (duckdb.ParserException, "", 102, "Incorrect syntax."),
)
_COUNTED = frozenset({"insert", "update", "delete", "merge", "copy"})
_COPY = re.compile(
    r"copy\s+into\s+(?P<table>[\w.\[\]]+)\s*(?P<columns>\([^)]*\))?\s*from\s+(?P<urls>'[^']+'(?:\s*,\s*'[^']+')*)\s*"
    r"with\s*\((?P<options>.*)\)\s*;?$",
    re.IGNORECASE | re.DOTALL,
)
_PARQUET = re.compile(r"file_type\s*=\s*'parquet'", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"credential\s*=\s*\(\s*identity\s*=\s*'(?P<identity>[^']*)'\s*(,\s*secret\s*=\s*'(?P<secret>[^']*)')?",
    re.IGNORECASE,
)
_STORES = re.compile(r"(?P<account>[a-z0-9]{3,24})\.(?:blob|dfs)\.core\.windows\.net")
ACCOUNT = "sandbox"
SAS = "sv=2026-01-01&sig=sandbox"


@dataclass
class Result:
    """What a statement answers: a number of rows, or columns with rows."""

    count: int | None = None
    """Of changed rows; 0 where a condition left the statement out, None where it has no rows."""
    columns: list[Column] = field(default_factory=list)
    rows: Sequence[Sequence[Any]] = ()


class Engine:
    """The pools of the stand-in.

    Args:
        directory: holds their files and the blobs.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.blobs = directory / "blobs"
        self.blobs.mkdir(exist_ok=True)
        self._pools = {name: self._open(name) for name in POOLS}

    def _open(self, name: str) -> duckdb.DuckDBPyConnection:
        pool = duckdb.connect(str(self._directory / f"{name}.duckdb"))
        # A pool compares texts without regard to case, unless a column has a binary collation.
        pool.execute("SET default_collation = 'nocase'")
        pool.execute("SET TimeZone = 'UTC'")
        _prepare(pool, name)
        return pool

    def session(self, pool: str) -> Session:
        """A session of its own on a pool."""
        return Session(self._pools[pool].cursor(), self.blobs)

    def reset(self) -> None:
        """Drop everything that was made in any pool, and every blob."""
        for name, pool in self._pools.items():
            found = pool.execute("SELECT schema_name FROM duckdb_schemas() WHERE NOT internal").fetchall()
            for schema in {schema for (schema,) in found} - {"main"}:
                pool.execute(f'DROP SCHEMA "{schema}" CASCADE')
            _prepare(pool, name)
        for path in self.blobs.rglob("*"):
            if path.is_file():
                path.unlink()

    def close(self) -> None:
        """Write everything to the files."""
        for pool in self._pools.values():
            pool.close()


def _prepare(pool: duckdb.DuckDBPyConnection, name: str) -> None:
    for schema in ("dbo", "sys"):
        pool.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    pool.execute(f"CREATE OR REPLACE MACRO main.db_name() AS '{name}'")
    flag = int(name != UNCOMMITTED)
    pool.execute(
        f"CREATE OR REPLACE VIEW sys.databases AS SELECT '{name}' AS name, {flag} AS is_read_committed_snapshot_on"
    )


class Session:
    """A login's session: its transaction, which an error dooms."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, blobs: Path) -> None:
        self._connection, self._blobs = connection, blobs
        self._connection.execute("SET schema = 'dbo'")
        self.in_transaction = False
        self._is_doomed = False

    def run(self, statement: Statement, values: Mapping[str, Any]) -> Result:
        """Run one statement; blocks.

        Raises:
            Refusal: with SQL Server's number.
        """
        if statement.verb in {"begin", "commit", "rollback"}:
            return self._transact(statement.verb)
        if self._is_doomed:
            raise Refusal(111233, "The current transaction has aborted, and any pending changes have been rolled back.")
        if self.in_transaction and statement.is_ddl:
            self._is_doomed = True
            raise Refusal(226, "The statement is not allowed within a multi-statement transaction.")
        try:
            return self._run(statement, values)
        except duckdb.Error as error:
            self._is_doomed = self.in_transaction
            raise _as_refusal(error) from error
        except Refusal:
            self._is_doomed = self.in_transaction
            raise

    def interrupt(self) -> None:
        """Have the statement that is running fail."""
        self._connection.interrupt()

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        self._connection.close()

    def _transact(self, verb: str) -> Result:
        if verb == "begin":
            if not self.in_transaction:
                self._connection.execute("BEGIN")
                self.in_transaction = True
            return Result()
        if not self.in_transaction:
            raise Refusal(3902, f"The {verb.upper()} TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        ending = "ROLLBACK" if self._is_doomed else verb.upper()
        self.in_transaction = self._is_doomed = False
        try:
            self._connection.execute(ending)
        except duckdb.Error as error:
            raise _as_refusal(error) from error
        return Result()

    def _run(self, statement: Statement, values: Mapping[str, Any]) -> Result:
        if statement.guard and self._connection.execute(statement.guard).fetchone():
            return Result(count=0)
        if statement.verb == "copy":
            return self._copy(statement)
        if statement.verb == "merge":
            self._check_distribution(statement)
        result = Result()
        for sql in statement.duckdb:
            cursor = self._connection.execute(sql, dict(values) or None)
            found = cursor.fetchall() if cursor.description else []
            if statement.verb in _COUNTED:
                result = Result(count=int(found[0][0]) if found else 0)
            elif statement.verb in {"select", "with"}:
                columns = [Column(str(name), str(kind)) for name, kind, *_ in cursor.description or ()]
                result = Result(len(found), columns, found)
        return result

    def _check_distribution(self, statement: Statement) -> None:
        """A MERGE wants a target that is distributed by hash, and changes nothing of what it is distributed by."""
        schema, _, table = statement.name.rpartition(".")
        found = self._connection.execute(
            "SELECT comment FROM duckdb_tables() WHERE lower(schema_name) = ? AND lower(table_name) = ?",
            (schema or "dbo", table),
        ).fetchone()
        column = str(found[0] or "") if found else ""
        if found and not column:
            raise Refusal(103010, "Parse error: the target of a MERGE has to be a hash-distributed table.")
        changes = " ".join(
            re.findall(r"\bupdate\s+set\s+(.*?)(?=\bwhen\b|;|$)", statement.text, re.IGNORECASE | re.DOTALL)
        )
        if column and re.search(rf"(?:^|[,.]\s*){column}\s*=", changes, re.IGNORECASE):
            raise Refusal(103010, "Parse error: a distribution column cannot be updated.")

    def _copy(self, statement: Statement) -> Result:
        """Load Parquet files of the stand-in's own blob store, by position; a real COPY INTO was never compared."""
        found = _COPY.fullmatch(statement.text)
        if found is None:
            raise near("copy")
        if not _PARQUET.search(found["options"]):
            raise Refusal(103010, "Parse error: the stand-in copies FILE_TYPE = 'PARQUET' only.")
        credential = _CREDENTIAL.search(found["options"])
        identity = credential["identity"].lower() if credential else ""
        if not (identity == "managed identity" or (credential is not None and credential["secret"] == SAS)):
            raise Refusal(105208, "COPY statement failed: the storage account does not admit the credential.")
        files = [str(path) for url in re.findall(r"'([^']+)'", found["urls"]) for path in self._files(url)]
        table, columns = found["table"].replace("[", '"').replace("]", '"'), found["columns"] or ""
        rows = self._connection.execute(
            f"INSERT INTO {table} {columns.replace('[', '').replace(']', '')} SELECT * FROM read_parquet($files)",
            {"files": files},
        ).fetchone()
        return Result(count=int(rows[0]) if rows else 0)

    def _files(self, url: str) -> list[Path]:
        target = urlsplit(url)
        store = _STORES.fullmatch(target.hostname or "")
        if target.scheme != "https" or store is None or store["account"] != ACCOUNT:
            raise Refusal(105208, "COPY statement failed: the location is no known storage account.")
        path = target.path.lstrip("/")
        found = sorted(self._blobs.glob(path)) if "*" in path else [self._blobs / path]
        if not found or not all(one.is_file() for one in found):
            raise Refusal(13807, "Content of directory on path cannot be listed.")
        return found


def _as_refusal(error: duckdb.Error) -> Refusal:
    for kind, word, number, message in _ERRORS:
        if isinstance(error, kind) and word in str(error):
            return Refusal(number, message)
    return Refusal(50000, f"Unsupported in this stand-in: {type(error).__name__}: {error}")
