"""One statement of an emulated Databricks workspace, carried out by DuckDB in one transaction."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from emulators.databricks_catalog import BOOKS, has_schema, missing_table, tables_of, transaction
from emulators.databricks_duckdb import duckdb_text
from emulators.databricks_sql import RefusedError, Statement

if TYPE_CHECKING:
    from emulators.databricks_lakehouse import Lakehouse

_COUNTS = {"UPDATE": "num_updated_rows", "DELETE": "num_deleted_rows", "INSERT": "num_inserted_rows"}


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


class Execution:
    """A statement in its session."""

    def __init__(
        self,
        lakehouse: Lakehouse,
        cursor: duckdb.DuckDBPyConnection,
        statement: Statement,
        parameters: dict[str, Parameter],
    ) -> None:
        """Do nothing yet."""
        self._lakehouse, self._cursor = lakehouse, cursor
        self._statement, self._parameters = statement, parameters
        self._name = ".".join(statement.target)

    def done(self) -> Done:
        """Carry it out; blocks."""
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
        with transaction(self._cursor):
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
        books, inserted = f"{self._statement.target[0]}.main.{BOOKS}", 0
        with transaction(self._cursor):
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
        with transaction(self._cursor):
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
            raise missing_table()
        self._forget_copies()
        self._ask(f"DROP TABLE {self._name}")
        return self._defined("drop", created=True)

    def _identity(self) -> Any:
        catalog, schema, *rest = self._statement.target
        if not rest:
            return has_schema(self._cursor, catalog, schema) or None
        return tuple(self._statement.target) in tables_of(self._cursor) or None

    def _may_exist(self, *, created: bool) -> None:
        if not created and not self._statement.guarded:
            raise RefusedError("TABLE_OR_VIEW_ALREADY_EXISTS", "42P07", "The object already exists.")

    def _forget_copies(self) -> None:
        self._ask(f"DELETE FROM {self._statement.target[0]}.main.{BOOKS} WHERE target = '{self._name}'")

    def _defined(self, verb: str, *, created: bool, rows: int = 0) -> Done:
        effect = (verb, f"{self._statement.object_type}s", self._name, rows) if created else None
        selects = self._statement.object_type == "table" and rows
        shown = pa.table({"num_affected_rows": [rows], "num_inserted_rows": [rows]}) if selects else pa.table({})
        return Done(shown, effect)

    def _changed(self, **counts: int) -> Done:
        rows = counts["num_affected_rows"]
        table = pa.table({name: pa.array([count], pa.int64()) for name, count in counts.items()})
        return Done(table, (self._statement.kind, "tables", self._name, rows) if rows else None)
