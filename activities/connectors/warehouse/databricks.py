"""Databricks as a data warehouse: what it is, how its SQL differs, and what it does to keep the facts arranged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from activities.connectors.warehouse.databricks_query import CALLS, ask
from activities.connectors.warehouse.databricks_session import Session
from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.model import Column, Table, Type
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse
from activities.ports.analytics import QueryAnswer
from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, OAuth, RateLimit
from activities.transform.analytics_sql import bind
from contracts.analytics import AnalyticsQuery
from contracts.integration import IntegrationType

_SYSTEM = "databricks"


class DatabricksSql(Dialect):
    """Databricks' spelling: every statement is a commit of its own, so those of the loader replace or merge.

    Source: docs.databricks.com SQL reference: data types, INSERT, MERGE, CREATE TABLE, percentile_cont, weekday.
    """

    types: ClassVar[dict[Type, str]] = {**Dialect.types, Type.TEXT: "STRING", Type.TIMESTAMP: "TIMESTAMP_NTZ"}
    transactional: ClassVar[bool] = False

    def type_of(self, column: Column) -> str:
        """Leave the length out: STRING has none, and rows that are too long were held back before."""
        return self.types[column.type]

    def create_table(self, table: Table) -> str:
        """Cluster by what the rows are asked by (liquid clustering)."""
        keys = f" CLUSTER BY ({', '.join(table.clustered_by)})" if table.clustered_by else ""
        return f"{super().create_table(table)}{keys}"

    def weekday(self, day: str) -> str:
        """Count from Monday, which is 0 here."""
        return f"(WEEKDAY({day}) + 1)"

    def average(self, number: str) -> str:
        """Name the type as Databricks does, which has no DOUBLE PRECISION."""
        return f"AVG(CAST({number} AS DOUBLE))"

    def refill(self, table: Table, select: str) -> list[str]:
        """Replace the rows in one statement."""
        return [f"INSERT OVERWRITE {table.name} ({', '.join(table.names)}) {select}"]

    def arrangements(self, table: Table) -> list[tuple[str, str]]:
        """Cluster what was written since, then count the columns' values for the planner."""
        return [
            (f"clustered by {', '.join(table.clustered_by)}", f"OPTIMIZE {table.name}"),
            ("statistics renewed", f"ANALYZE TABLE {table.name} COMPUTE STATISTICS FOR ALL COLUMNS"),
        ]


class Databricks(SqlWarehouse):
    """The Databricks connector: a Unity Catalog catalog behind a SQL warehouse.

    Source: the Statement Execution API 2.0 and the Files API, docs.databricks.com/api/workspace/statementexecution.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=_SYSTEM,
        title="Databricks",
        family=IntegrationType.DATA_WAREHOUSE,
        api_version="Statement Execution API 2.0",
        documentation_url="https://docs.databricks.com/api/workspace/statementexecution",
        credential_fields=("accessToken",),
        optional_credential_fields=("clientId", "clientSecret"),
        oauth=OAuth(
            authorize_url="/oidc/v1/authorize",
            token_url="/oidc/v1/token",  # noqa: S106 - a path
            scopes=("all-apis",),
            client_credentials=True,
        ),
        default_base_url="",
        address="https://{workspace}",
        hosts=("*.cloud.databricks.com", "*.azuredatabricks.net", "*.gcp.databricks.com", "*.databricks.azure.cn"),
        capabilities=frozenset({Capability.WAREHOUSE}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=600, per_s=60.0),
        required_settings=("warehouseId", "catalog"),
        optional_settings=("workspace",),
        batch_size=250_000,
        timeout_s=1_500.0,
        notes=(
            "workspace is a host such as adb-1.2.azuredatabricks.net.",
            "accessToken is a personal access token, or renewed from clientId and clientSecret.",
            "There are no transactions over statements: each can be repeated, and a load is found again by its digest.",
            "The principal needs CREATE SCHEMA on the catalog and CAN USE on the warehouse.",
            "Databricks publishes no statement limit; 600 requests per minute are ours, counted when a step begins.",
        ),
    )
    dialect: ClassVar[Dialect] = DatabricksSql()

    def __init__(self, connection: Connection) -> None:
        base_url = self.manifest.address_of(connection.base_url, connection.settings)
        super().__init__(replace(connection, base_url=base_url))

    def _open(self, query_tag: str) -> Session:
        return Session(self._connection, query_tag)

    async def query(self, query: AnalyticsQuery, into: Path) -> QueryAnswer:
        """Run a tenant's question, once every part of it is known to be allowed."""
        bound = bind(query, _SYSTEM, lambda at: f":p{at}")
        async with self._connection.together(CALLS):
            return await ask(self._connection, query, bound, into)
