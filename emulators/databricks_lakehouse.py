"""Catalogs, tables and volumes of an emulated Databricks workspace: one DuckDB file per catalog, one folder per volume.

Every statement is one transaction of its own. From Delta's documentation: a COPY INTO skips the files it has loaded
into the table before, by their path and even when they have changed since; INSERT ... REPLACE WHERE replaces the rows
that match and refuses new rows that do not; of two writers of the same rows one fails with DELTA_CONCURRENT_APPEND.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from emulators.databricks_sql import RefusedError, Statement, duckdb_text, read

CATALOGS = ("wedsync", "harbour")
_DEFAULT_SCHEMA = "default"
_BOOKS = "_copied"
_SCHEMAS = """SELECT database_name, schema_name FROM duckdb_schemas()
    WHERE NOT internal AND schema_name <> 'main'"""
_COUNTS = {"UPDATE": "num_updated_rows", "DELETE": "num_deleted_rows", "INSERT": "num_inserted_rows"}
_ERRORS: tuple[tuple[type[Exception], str, str], ...] = (
    (duckdb.TransactionException, "DELTA_CONCURRENT_APPEND", "2D521"),
    (duckdb.OutOfRangeException, "NUMERIC_VALUE_OUT_OF_RANGE", "22003"),
    (duckdb.ConversionException, "CAST_INVALID_INPUT", "22018"),
    (duckdb.CatalogException, "UNRESOLVED_ROUTINE", "42883"),
    (duckdb.BinderException, "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703"),
    (duckdb.ParserException, "PARSE_SYNTAX_ERROR", "42601"),
    (duckdb.IOException, "PATH_NOT_FOUND", "42K03"),
    (duckdb.NotImplementedException, "UNSUPPORTED_FEATURE", "0A000"),
)


@dataclass(frozen=True)
class Done:
    """What a statement gave: its rows, and the effect (kind, type, name, rows) when it changed something."""

    rows: pa.Table
    effect: tuple[str, str, str, int] | None = None


@dataclass(frozen=True)
class Parameter:
    """A named parameter: its value as text, and its declared type."""

    value: str | None
    type: str


class Lakehouse:
    """The workspace's data below one directory."""

    def __init__(self, directory: Path) -> None:
        """Open what is there."""
        self._directory = directory
        self.volumes = directory / "volumes"
        self.volumes.mkdir(parents=True, exist_ok=True)
        # Few checkpoints: a commit that writes the table a second time says nothing about a workspace.
        self._engine = duckdb.connect(":memory:", config={"threads": 2, "checkpoint_threshold": "256MB"})
        self._engine.execute("SET GLOBAL TimeZone = 'UTC'")
        for catalog in CATALOGS:
            self._engine.execute(f"ATTACH '{self._directory / catalog}.duckdb' AS {catalog}")
            self._engine.execute(f'CREATE SCHEMA IF NOT EXISTS {catalog}."{_DEFAULT_SCHEMA}"')
            self._engine.execute(f"CREATE TABLE IF NOT EXISTS {catalog}.main.{_BOOKS} (target VARCHAR, file VARCHAR)")

    def close(self) -> None:
        """Write the files out."""
        self._engine.close()

    def reset(self) -> None:
        """Forget every schema, volume and file."""
        with self._engine.cursor() as cursor:
            for catalog, schema in cursor.execute(_SCHEMAS).fetchall():
                cursor.execute(f'DROP SCHEMA {catalog}."{schema}" CASCADE')
            for catalog in CATALOGS:
                cursor.execute(f'CREATE SCHEMA {catalog}."{_DEFAULT_SCHEMA}"')
                cursor.execute(f"DELETE FROM {catalog}.main.{_BOOKS}")
        shutil.rmtree(self.volumes, ignore_errors=True)

    def session(self) -> duckdb.DuckDBPyConnection:
        """A connection for one statement, which `interrupt` stops."""
        return self._engine.cursor()

    def rows(self, name: str, limit: int) -> list[dict[str, Any]] | None:
        """Rows of `catalog.schema.table`, None where there is no such table."""
        with self._engine.cursor() as cursor:
            if tuple(name.split(".")) not in _tables(cursor):
                return None
            found: list[dict[str, Any]] = cursor.sql(f"SELECT * FROM {name} LIMIT {limit}").to_arrow_table().to_pylist()
            return found

    def counts(self) -> dict[str, int]:
        """Number of rows per `catalog.schema.table`."""
        with self._engine.cursor() as cursor:
            names = [".".join(parts) for parts in _tables(cursor)]
            return {name: cursor.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in names}

    def volume(self, catalog: str, schema: str, name: str) -> Path:
        """The folder of a volume, which exists when the volume does."""
        return self.volumes / catalog / schema / name

    def place(self, path: str) -> Path:
        """Where a path such as `/Volumes/catalog/schema/volume/file` lies on disk.

        Raises:
            RefusedError: It names no volume that exists, or leaves it.
        """
        parts = [part for part in path.split("/") if part]
        if len(parts) < 4 or parts[0] != "Volumes" or {".", ".."} & set(parts):
            raise RefusedError("PATH_NOT_FOUND", "42K03", "The path is not one of a volume.")
        catalog, schema, name = (part.lower() for part in parts[1:4])
        folder = self.volume(catalog, schema, name)
        if not folder.is_dir():
            raise RefusedError("VOLUME_NOT_FOUND", "42704", "The volume does not exist.")
        return folder.joinpath(*parts[4:])

    def run(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        catalog: str,
        schema: str,
        parameters: dict[str, Parameter],
    ) -> Done:
        """Run one statement in a session; blocks.

        Raises:
            RefusedError: With the condition and SQL state Databricks would give.
            InterruptException: The session was interrupted.
        """
        if catalog not in CATALOGS:
            raise RefusedError("NO_SUCH_CATALOG_EXCEPTION", "42704", "The catalog does not exist.")
        statement = read(sql)
        try:
            cursor.execute(f'USE {catalog}."{schema if _has_schema(cursor, catalog, schema) else _DEFAULT_SCHEMA}"')
            statement = _resolved(statement, catalog, schema)
            _require(cursor, statement, catalog, schema)
            return _Run(self, cursor, statement, parameters).done()
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            raise _refusal(error, statement) from error


class _Run:
    def __init__(
        self,
        lakehouse: Lakehouse,
        cursor: duckdb.DuckDBPyConnection,
        statement: Statement,
        parameters: dict[str, Parameter],
    ) -> None:
        self._lakehouse, self._cursor = lakehouse, cursor
        self._statement, self._parameters = statement, parameters
        self._name = ".".join(statement.target)

    def done(self) -> Done:
        if self._statement.kind == "nothing":
            return Done(pa.table({}))
        act: Callable[[], Done] = getattr(self, f"_{self._statement.kind}")
        return act()

    def _text(self, tree: Any) -> str:
        types = {name: parameter.type for name, parameter in self._parameters.items()}
        return duckdb_text(tree, self._glob, types)

    def _glob(self, path: str) -> str:
        place = self._lakehouse.place(path)
        return str(place / "*") if place.is_dir() else str(place)

    def _values(self, text: str) -> dict[str, str | None] | None:
        wanted = {name: one.value for name, one in self._parameters.items() if f"${name}" in text}
        return wanted or None

    def _ask(self, text: str) -> list[tuple[Any, ...]]:
        return self._cursor.execute(text, self._values(text)).fetchall()

    def _query(self) -> Done:
        text = self._text(self._statement.tree)
        return Done(self._cursor.sql(text, params=self._values(text)).to_arrow_table())

    def _insert(self) -> Done:
        text, replaces = self._text(self._statement.tree), self._statement.replaces
        removed = 0
        with _transaction(self._cursor):
            if replaces is not None:
                condition = self._text(replaces)
                removed = int(self._ask(f"DELETE FROM {self._name} WHERE {condition}")[0][0])
            inserted = int(self._ask(text)[0][0])
            if replaces is not None:
                self._hold_to(condition, inserted)
        counts = pa.table({"num_affected_rows": [inserted], "num_inserted_rows": [inserted]})
        changed = removed + inserted
        return Done(counts, (self._statement.kind, "tables", self._name, inserted) if changed else None)

    def _hold_to(self, condition: str, inserted: int) -> None:
        if self._ask(f"SELECT count(*) FROM {self._name} WHERE {condition}")[0][0] < inserted:
            raise RefusedError("DELTA_REPLACE_WHERE_MISMATCH", "44000", "New rows do not match REPLACE WHERE.")

    def _alter(self) -> Done:
        self._ask(self._text(self._statement.tree))
        return self._defined("alter", created=True)

    def _update(self) -> Done:
        return self._changed(num_affected_rows=int(self._ask(self._text(self._statement.tree))[0][0]))

    _delete = _update

    def _merge(self) -> Done:
        actions = [action for (action,) in self._ask(self._text(self._statement.tree))]
        counts = {name: actions.count(action) for action, name in _COUNTS.items()}
        return self._changed(num_affected_rows=len(actions), **counts)

    def _copy(self) -> Done:
        place = self._lakehouse.place(self._statement.path)
        named = [place / name for name in self._statement.files]
        files = named or (sorted(place.rglob("*.parquet")) if place.is_dir() else [place])
        if not files or not all(path.is_file() for path in files):
            raise RefusedError("COPY_INTO_SOURCE_FILE_NOT_FOUND", "42K03", "A file of the source does not exist.")
        books, inserted = f"{self._statement.target[0]}.main.{_BOOKS}", 0
        with _transaction(self._cursor):
            known = {file for (file,) in self._ask(f"SELECT file FROM {books} WHERE target = '{self._name}'")}
            for path in files:
                file = str(path.relative_to(self._lakehouse.volumes))
                if file in known and not self._statement.forced:
                    continue
                found = self._ask(f"INSERT INTO {self._name} BY NAME SELECT * FROM read_parquet('{path}')")
                inserted += int(found[0][0])
                self._ask(f"INSERT INTO {books} VALUES ('{self._name}', '{file}')")
        return self._changed(num_affected_rows=inserted, num_inserted_rows=inserted, num_skipped_corrupt_files=0)

    def _create(self) -> Done:
        kind = self._statement.object_type
        if kind == "volume":
            folder = self._lakehouse.volume(*self._statement.target)
            created = not folder.is_dir()
            self._may_exist(created=created)
            folder.mkdir(parents=True, exist_ok=True)
            return self._defined("create", created=created)
        before = self._identity()
        if before is not None:
            if self._statement.tree is None or not self._statement.tree.args.get("replace"):
                self._may_exist(created=False)
                return self._defined("create", created=False)
            self._forget_copies()
        with _transaction(self._cursor):
            for sequence in self._statement.sequences:
                schema = ".".join(self._statement.target[:-1])
                self._ask(f"CREATE OR REPLACE SEQUENCE {schema}.{sequence}")
            self._ask(self._text(self._statement.tree))
        rows = self._ask(f"SELECT count(*) FROM {self._name}")[0][0] if kind == "table" else 0
        return self._defined("create", created=True, rows=int(rows))

    def _drop(self) -> Done:
        if self._statement.object_type == "volume":
            folder = self._lakehouse.volume(*self._statement.target)
            shutil.rmtree(folder, ignore_errors=True)
            return self._defined("drop", created=True)
        if self._identity() is None:
            if self._statement.guarded:
                return self._defined("drop", created=False)
            raise _missing_table()
        self._forget_copies()
        self._ask(f"DROP TABLE {self._name}")
        return self._defined("drop", created=True)

    def _identity(self) -> Any:
        catalog, schema, *rest = self._statement.target
        if not rest:
            return _has_schema(self._cursor, catalog, schema) or None
        return tuple(self._statement.target) in _tables(self._cursor) or None

    def _may_exist(self, *, created: bool) -> None:
        if not created and not self._statement.guarded:
            raise RefusedError("TABLE_OR_VIEW_ALREADY_EXISTS", "42P07", "The object already exists.")

    def _forget_copies(self) -> None:
        self._ask(f"DELETE FROM {self._statement.target[0]}.main.{_BOOKS} WHERE target = '{self._name}'")

    def _defined(self, verb: str, *, created: bool, rows: int = 0) -> Done:
        effect = (verb, f"{self._statement.object_type}s", self._name, rows) if created else None
        selects = self._statement.object_type == "table" and rows
        shown = pa.table({"num_affected_rows": [rows], "num_inserted_rows": [rows]}) if selects else pa.table({})
        return Done(shown, effect)

    def _changed(self, **counts: int) -> Done:
        rows = counts["num_affected_rows"]
        table = pa.table({name: pa.array([count], pa.int64()) for name, count in counts.items()})
        return Done(table, (self._statement.kind, "tables", self._name, rows) if rows else None)


@contextmanager
def _transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    cursor.begin()
    try:
        yield
        cursor.commit()
    except BaseException:
        with suppress(duckdb.TransactionException):
            cursor.rollback()
        raise


def _tables(cursor: duckdb.DuckDBPyConnection) -> set[tuple[str, ...]]:
    names = "SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE table_name <> ?"
    return set(cursor.execute(names, [_BOOKS]).fetchall())


def _has_schema(cursor: duckdb.DuckDBPyConnection, catalog: str, schema: str) -> bool:
    question = "SELECT 1 FROM duckdb_schemas() WHERE database_name = ? AND schema_name = ?"
    return bool(cursor.execute(question, [catalog, schema]).fetchall())


def _resolved(statement: Statement, catalog: str, schema: str) -> Statement:
    """The statement with its target's full name."""
    if not statement.target:
        return statement
    context = (catalog,) if statement.object_type == "schema" else (catalog, schema)
    wanted = len(context) + 1
    missing = wanted - len(statement.target)
    return replace(statement, target=(*context[:missing], *statement.target)[-wanted:])


def _require(cursor: duckdb.DuckDBPyConnection, statement: Statement, catalog: str, schema: str) -> None:
    """Name what is missing the way Databricks does, which DuckDB's errors do not tell apart."""
    known = _tables(cursor)
    for name in statement.reads:
        if (*(catalog, schema)[: 3 - len(name)], *name) not in known:
            raise _missing_table()
    if statement.kind in {"insert", "update", "delete", "merge", "copy", "alter"} and statement.target not in known:
        raise _missing_table()
    if statement.kind == "create" and statement.object_type != "schema":
        inside = statement.target[0], statement.target[1]
        if not _has_schema(cursor, *inside):
            raise RefusedError("SCHEMA_NOT_FOUND", "42704", "The schema does not exist.")


def _missing_table() -> RefusedError:
    return RefusedError("TABLE_OR_VIEW_NOT_FOUND", "42P01", "The table or view cannot be found.")


def _refusal(error: duckdb.Error, statement: Statement) -> RefusedError:
    if isinstance(error, duckdb.ConstraintException):
        if "NOT NULL" in str(error):
            return RefusedError("DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "23502", "A column that is NOT NULL got a null.")
        return RefusedError("DELTA_EXCEED_CHAR_VARCHAR_LIMIT", "22001", "A text is longer than its column allows.")
    if isinstance(error, duckdb.InvalidInputException) and statement.kind == "merge":
        return RefusedError(
            "DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE", "21506", "Several source rows match one row."
        )
    for kind, condition, state in _ERRORS:
        if isinstance(error, kind):
            return RefusedError(condition, state, f"{type(error).__name__}: {error}")
    return RefusedError("INTERNAL_ERROR", "XX000", f"{type(error).__name__}: {error}")
