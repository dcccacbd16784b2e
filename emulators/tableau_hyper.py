"""Looks into published .hyper files and applies incremental updates to them, with Tableau's own database engine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tableauhyperapi import (
    Connection,
    HyperException,
    HyperProcess,
    Name,
    TableName,
    Telemetry,
    escape_string_literal,
)

_COMPARISONS = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_MATCHED = ("update", "upsert", "delete")


class UpdateRefusedError(ValueError):
    """An update that the server's job ends with finish code 1; the message becomes the job's note."""


class HyperEngine:
    """One Hyper process, started on first use and shared; calls are serialised.

    Starting the engine takes from a third of a second to several seconds, hence the shared one.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: HyperProcess | None = None
        self._lock = threading.Lock()

    def _connect(self) -> Connection:
        if self._process is None or not self._process.is_open:
            self._process = self._start()
        return Connection(self._process.endpoint)

    def _start(self, attempts: int = 3) -> HyperProcess:
        # On a starved machine the engine misses its own start-up deadline, which is no fault of the request.
        settings = {"log_config": "", "default_database_version": "2"}
        while True:
            attempts -= 1
            try:
                return HyperProcess(Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters=settings)
            except HyperException:
                if not attempts:
                    raise

    def close(self) -> None:
        """Stop the process."""
        with self._lock:
            if self._process is not None:
                self._process.close()
                self._process = None

    def inspect(self, path: Path) -> dict[str, Any]:
        """Tables of a file: total `rows`, the first table's `columns`, and `tables` with schema, name, rows, columns.

        Raises:
            UpdateRefusedError: The file is not a Hyper database.
        """
        with self._lock, self._connect() as connection:
            try:
                connection.catalog.attach_database(path, "target")
                tables = [_describe(connection, table) for table in _tables(connection, "target")]
            except HyperException as error:
                message = "The file is not a readable Hyper database."
                raise UpdateRefusedError(message) from error
        return {
            "rows": sum(table["rows"] for table in tables),
            "columns": tables[0]["columns"] if tables else [],
            "tables": tables,
        }

    def append(self, target: Path, addition: Path) -> int:
        """Insert every table of `addition` into the table of the same name in `target`; returns rows added.

        Raises:
            UpdateRefusedError: As `inspect` and `apply` do.
        """
        actions = [
            {
                "action": "insert",
                "source-schema": table["schema"],
                "source-table": table["table"],
                "target-table": table["table"],
            }
            for table in self.inspect(addition)["tables"]
        ]
        return self.apply(target, addition, actions)

    def apply(self, target: Path, payload: Path | None, actions: Sequence[Mapping[str, Any]]) -> int:
        """Apply a batch of actions to a copy of `target` and put the copy in its place: all of them or none.

        Returns:
            Rows inserted, updated and deleted.

        Raises:
            UpdateRefusedError: An unknown action, table or column, or a condition that cannot be read.
        """
        changed = target.with_suffix(".changed")
        shutil.copyfile(target, changed)
        try:
            with self._lock, self._connect() as connection:
                connection.catalog.attach_database(changed, "target")
                if payload is not None:
                    connection.catalog.attach_database(payload, "payload")
                connection.execute_command("BEGIN")
                affected = sum(_Action(connection, action).run() for action in actions)
                connection.execute_command("COMMIT")
            changed.replace(target)
        except HyperException as error:
            message = f"The update could not be applied: {error.main_message}"
            raise UpdateRefusedError(message) from error
        finally:
            changed.unlink(missing_ok=True)
        return affected


def _tables(connection: Connection, database: str) -> list[TableName]:
    schemas = connection.catalog.get_schema_names(database)
    return [table for schema in schemas for table in connection.catalog.get_table_names(schema)]


def _schema(table: TableName) -> str:
    if table.schema_name is None:
        return "public"
    unescaped: str = table.schema_name.name.unescaped
    return unescaped


def _columns(connection: Connection, table: TableName) -> list[str]:
    return [column.name.unescaped for column in connection.catalog.get_table_definition(table).columns]


def _describe(connection: Connection, table: TableName) -> dict[str, Any]:
    return {
        "schema": _schema(table),
        "table": table.name.unescaped,
        "rows": connection.execute_scalar_query(f"SELECT COUNT(*) FROM {table}"),
        "columns": _columns(connection, table),
    }


class _Action:
    """One entry of an action batch, turned into the engine's SQL."""

    def __init__(self, connection: Connection, action: Mapping[str, Any]) -> None:
        self._connection = connection
        self._action = action
        self._kind = action.get("action")
        self._target = self._resolve("target", "target")
        self._source = self._resolve("payload", "source") if "source-table" in action else None

    def _resolve(self, database: str, side: str) -> TableName:
        name, schema = self._action.get(f"{side}-table"), self._action.get(f"{side}-schema")
        found = [
            table
            for table in _tables(self._connection, database)
            if table.name.unescaped == name and schema in {None, _schema(table)}
        ]
        if len(found) != 1:
            message = f"The {side} table {name!r} names {len(found)} tables; it must name exactly one."
            raise UpdateRefusedError(message)
        return found[0]

    def run(self) -> int:
        """Execute it and return the number of rows touched."""
        if self._kind not in {"insert", "replace", *_MATCHED}:
            message = f"The action {self._kind!r} is unknown."
            raise UpdateRefusedError(message)
        if self._source is None and self._kind != "delete":
            message = f"The action {self._kind!r} needs a source table."
            raise UpdateRefusedError(message)
        affected = 0
        if self._kind == "replace":
            affected += self._execute(f"DELETE FROM {self._target}")
        if self._kind in {"update", "upsert"}:
            affected += self._update()
        if self._kind == "delete":
            affected += self._execute(f"DELETE FROM {self._target} AS t WHERE {self._matches()}")
        if self._kind in {"insert", "replace", "upsert"}:
            affected += self._insert(only_new=self._kind == "upsert")
        return affected

    def _execute(self, statement: str) -> int:
        return int(self._connection.execute_command(statement) or 0)

    def _shared(self) -> list[str]:
        theirs = set(_columns(self._connection, self._target))
        ours = _columns(self._connection, self._source) if self._source is not None else []
        unknown = [column for column in ours if column not in theirs]
        if unknown:
            message = f"The source has {len(unknown)} column(s) that the target does not have."
            raise UpdateRefusedError(message)
        return ours

    def _update(self) -> int:
        assignments = ", ".join(f"{Name(column)} = s.{Name(column)}" for column in self._shared())
        condition = _sql(self._action.get("condition"))
        return self._execute(f"UPDATE {self._target} AS t SET {assignments} FROM {self._source} AS s WHERE {condition}")

    def _insert(self, *, only_new: bool) -> int:
        columns = self._shared()
        into, values = ", ".join(f"{Name(c)}" for c in columns), ", ".join(f"s.{Name(c)}" for c in columns)
        statement = f"INSERT INTO {self._target} ({into}) SELECT {values} FROM {self._source} AS s"
        if only_new:
            condition = _sql(self._action.get("condition"))
            statement += f" WHERE NOT EXISTS (SELECT 1 FROM {self._target} AS t WHERE {condition})"
        return self._execute(statement)

    def _matches(self) -> str:
        condition = _sql(self._action.get("condition"))
        if self._source is None:
            return condition
        return f"EXISTS (SELECT 1 FROM {self._source} AS s WHERE {condition})"


def _sql(condition: Any) -> str:
    if not isinstance(condition, Mapping):
        message = "The action needs a condition."
        raise UpdateRefusedError(message)
    operator, arguments = condition.get("op"), condition.get("args")
    if operator in {"and", "or"} and arguments:
        return "(" + f" {operator} ".join(_sql(argument) for argument in arguments) + ")"
    if operator == "not" and arguments:
        return f"(NOT {_sql(arguments[0])})"
    sides = [
        *(f"t.{Name(condition[key])}" for key in ("target-col",) if key in condition),
        *(f"s.{Name(condition[key])}" for key in ("source-col",) if key in condition),
        *(_constant(condition[key]) for key in ("const",) if key in condition),
    ]
    if operator not in _COMPARISONS or len(sides) != 2:
        message = f"The condition's operator {operator!r} is unknown or does not compare exactly two things."
        raise UpdateRefusedError(message)
    return f"({sides[0]} {_COMPARISONS[operator]} {sides[1]})"


def _constant(constant: Mapping[str, Any]) -> str:
    kind, value = constant.get("type"), constant.get("v")
    if kind == "string":
        literal: str = escape_string_literal(str(value))
        return literal
    if kind in {"date", "datetime"}:
        return f"CAST({escape_string_literal(str(value))} AS {'DATE' if kind == 'date' else 'TIMESTAMP'})"
    if kind == "boolean":
        return "TRUE" if str(value).lower() == "true" else "FALSE"
    return repr(float(str(value))) if "." in str(value) else str(int(str(value)))
