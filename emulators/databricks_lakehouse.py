"""The data of an emulated Databricks workspace: one DuckDB file per catalog, one folder per volume.

Every statement is one transaction of its own. From Delta's documentation: a COPY INTO skips the files it has loaded
into the table before, by their path and even when they have changed since; INSERT ... REPLACE WHERE replaces the rows
that match and refuses new rows that do not; of two writers of the same rows one fails with DELTA_CONCURRENT_APPEND.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb

from emulators.databricks_catalog import (
    BOOKS,
    CATALOGS,
    DEFAULT_SCHEMA,
    has_schema,
    refusal_of,
    require_objects,
    resolved,
    tables_of,
)
from emulators.databricks_execution import Done, Execution, Parameter
from emulators.databricks_sql import RefusedError, read

_SCHEMAS = """SELECT database_name, schema_name FROM duckdb_schemas()
    WHERE NOT internal AND schema_name <> 'main'"""


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
            self._engine.execute(f'CREATE SCHEMA IF NOT EXISTS {catalog}."{DEFAULT_SCHEMA}"')
            self._engine.execute(f"CREATE TABLE IF NOT EXISTS {catalog}.main.{BOOKS} (target VARCHAR, file VARCHAR)")

    def close(self) -> None:
        """Write the files out."""
        self._engine.close()

    def reset(self) -> None:
        """Forget every schema, volume and file."""
        with self._engine.cursor() as cursor:
            for catalog, schema in cursor.execute(_SCHEMAS).fetchall():
                cursor.execute(f'DROP SCHEMA {catalog}."{schema}" CASCADE')
            for catalog in CATALOGS:
                cursor.execute(f'CREATE SCHEMA {catalog}."{DEFAULT_SCHEMA}"')
                cursor.execute(f"DELETE FROM {catalog}.main.{BOOKS}")
        shutil.rmtree(self.volumes, ignore_errors=True)

    def session(self) -> duckdb.DuckDBPyConnection:
        """A connection for one statement, which `interrupt` stops."""
        return self._engine.cursor()

    def rows(self, name: str, limit: int) -> list[dict[str, Any]] | None:
        """Rows of `catalog.schema.table`, None where there is no such table."""
        with self._engine.cursor() as cursor:
            if tuple(name.split(".")) not in tables_of(cursor):
                return None
            found: list[dict[str, Any]] = cursor.sql(f"SELECT * FROM {name} LIMIT {limit}").to_arrow_table().to_pylist()
            return found

    def counts(self) -> dict[str, int]:
        """Number of rows per `catalog.schema.table`."""
        with self._engine.cursor() as cursor:
            names = [".".join(parts) for parts in tables_of(cursor)]
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
            cursor.execute(f'USE {catalog}."{schema if has_schema(cursor, catalog, schema) else DEFAULT_SCHEMA}"')
            statement = resolved(statement, catalog, schema)
            require_objects(cursor, statement, catalog, schema)
            return Execution(self, cursor, statement, parameters).done()
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            raise refusal_of(error, statement) from error
