"""A warehouse in DuckDB, in this process: the loader's SQL without a network, for properties over many stories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.loading import Loader
from activities.connectors.warehouse.model import Table


class Session:
    """One connection; staged files are read where they lie."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": "1"})
        self.statements: list[str] = []
        self._files: dict[str, Path] = {}

    def run(self, operation: str, sql: str, *, writes: bool = True) -> list[tuple[Any, ...]]:
        if writes:
            self.statements.append(operation)
        return self.connection.execute(sql).fetchall()

    @contextmanager
    def transaction(self, operation: str) -> Iterator[None]:
        self.connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def stage(self, operation: str, directory: str, files: Sequence[Path]) -> None:
        self._files |= {path.name: path for path in files}

    def append(self, operation: str, table: Table, batch_id: str, directory: str, names: Sequence[str]) -> None:
        for name in names:
            self.run(operation, f"INSERT INTO {table.name} BY NAME SELECT * FROM '{self._files[name]}'")

    def unstage(self, operation: str, directory: str, names: Sequence[str]) -> None:
        for name in names:
            del self._files[name]

    def rows(self, table: str, order: str = "ALL") -> list[dict[str, Any]]:
        """Return a table's rows."""
        found = self.connection.execute(f"SELECT * FROM {table} ORDER BY {order}")
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


class StatementByStatement(Session):
    """A connection without transactions over statements; what it holds outlives the worker."""

    @contextmanager
    def transaction(self, operation: str) -> Iterator[None]:
        yield

    def append(self, operation: str, table: Table, batch_id: str, directory: str, names: Sequence[str]) -> None:
        inserts = (f"INSERT INTO {table.name} BY NAME SELECT * FROM '{self._files[name]}'" for name in names)
        script = f"BEGIN; DELETE FROM {table.name} WHERE BATCH_ID = '{batch_id}'; {'; '.join(inserts)}; COMMIT"
        self.run(operation, script)

    def close(self) -> None:
        """Hold nothing that would end with the worker."""


class RepeatableSql(Dialect):
    """Every statement can be repeated by itself."""

    transactional: ClassVar[bool] = False

    def refill(self, table: Table, select: str) -> list[str]:
        return [f"BEGIN; {'; '.join(super().refill(table, select))}; COMMIT"]


def warehouse() -> tuple[Loader, Session]:
    """Return a provisioned warehouse."""
    session = Session()
    loader = Loader(session, Dialect(), "duckdb")
    loader.provision()
    return loader, session
