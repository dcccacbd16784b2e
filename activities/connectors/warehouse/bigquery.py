"""BigQuery as a data warehouse: what it is, and how its SQL differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from activities.connectors.warehouse.bigquery_query import MOST_BYTES, PAGE_ROWS, ask
from activities.connectors.warehouse.bigquery_session import Session
from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.model import Column, Table, Type
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse
from activities.ports.analytics import QueryAnswer
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transform.analytics_sql import bind
from activities.transport.offload import offload_to
from contracts.analytics import AnalyticsQuery
from contracts.integration import IntegrationType

_QUERY_CALLS = 8
_SECONDS_PER_LOOK = 5
"""The client looks twice in ten seconds after a job that goes on."""
_SYSTEM = "bigquery"


class GoogleSql(Dialect):
    """GoogleSQL's spelling; what belongs together is one script, because a session's transaction outlives its client.

    Source: cloud.google.com/bigquery/docs/reference/standard-sql: data types, DDL, DML, procedural language.
    """

    types: ClassVar[dict[Type, str]] = {
        **Dialect.types,
        Type.TEXT: "STRING",
        Type.INTEGER: "INT64",
        Type.MONEY: "NUMERIC(12, 2)",
        Type.SCORE: "NUMERIC(3, 2)",
        Type.TIMESTAMP: "DATETIME",
        Type.BOOLEAN: "BOOL",
    }
    transactional: ClassVar[bool] = False

    def type_of(self, column: Column) -> str:
        """Leave the length out: rows that are too long were held back before."""
        return self.types[column.type]

    def create_table(self, table: Table) -> str:
        """Partition by month where the rows are asked by their day, and cluster by the rest."""
        days = [one.name for one in table.columns if one.type is Type.DATE and one.name in table.clustered_by]
        rest = [name for name in table.clustered_by if name not in days]
        partition = f" PARTITION BY DATE_TRUNC({days[0]}, MONTH)" if days else ""
        cluster = f" CLUSTER BY {', '.join(rest)}" if rest else ""
        return f"{super().create_table(table)}{partition}{cluster}"

    def existing_columns(self, schemas: Sequence[str]) -> str:
        """Make the datasets first: one that is missing cannot be asked what it holds."""
        made = "".join(f"{self.create_schema(schema)}; " for schema in schemas)
        columns = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM {}.INFORMATION_SCHEMA.COLUMNS"
        return made + " UNION ALL ".join(columns.format(schema) for schema in schemas)

    def weekday(self, day: str) -> str:
        """Turn the week, which begins with Sunday as 1."""
        return f"(MOD(EXTRACT(DAYOFWEEK FROM {day}) + 5, 7) + 1)"

    def month(self, day: str) -> str:
        """Name the part as GoogleSQL does."""
        return f"CAST(DATE_TRUNC({day}, MONTH) AS DATE)"

    def average(self, number: str) -> str:
        """Name the type as GoogleSQL does."""
        return f"AVG(CAST({number} AS FLOAT64))"

    def median(self, number: str) -> str:
        """Take the middle of the sorted values, or of the two there: PERCENTILE_CONT is no aggregate here."""
        values = f"ARRAY_AGG({number} IGNORE NULLS ORDER BY {number})"
        low, high = (f"CAST(FLOOR((COUNT({number}) - {less}) / 2) AS INT64)" for less in (1, 0))
        return f"({values}[SAFE_OFFSET({low})] + {values}[SAFE_OFFSET({high})]) / 2"

    def refill(self, table: Table, select: str) -> list[str]:
        """Replace the rows in one script, which is a job."""
        return [f"BEGIN TRANSACTION; {self.clear(table)}; {self.insert(table, select)}; COMMIT TRANSACTION"]

    def arrangements(self, table: Table) -> list[tuple[str, str]]:
        """Do nothing: BigQuery keeps partitions and clusters by itself."""
        del table
        return []


class BigQuery(SqlWarehouse):
    """The BigQuery connector: four datasets of one project.

    Source: cloud.google.com/bigquery/docs/reference/rest/v2 by the official client google-cloud-bigquery 3.47.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=_SYSTEM,
        title="BigQuery",
        family=IntegrationType.DATA_WAREHOUSE,
        api_version="v2",
        documentation_url="https://cloud.google.com/bigquery/docs/reference/rest",
        credential_fields=("serviceAccountKey",),
        default_base_url="https://bigquery.googleapis.com",
        hosts=("*.googleapis.com",),
        capabilities=frozenset({Capability.WAREHOUSE}),
        guarantee=EffectGuarantee.IDEMPOTENCY_KEY,
        rate_limit=RateLimit(requests=6_000, per_s=60.0),
        required_settings=("project",),
        optional_settings=("location", MOST_BYTES),
        batch_size=250_000,
        timeout_s=1_500.0,
        notes=(
            "serviceAccountKey is the whole JSON of the key file; it signs the tokens, no address in it is called.",
            "location is that of the datasets, US when absent; it cannot be changed once they exist.",
            "maximumBytesBilled bounds what one analytics query may read, 10 GiB when absent.",
            "A project takes 1,500 load jobs per table and day; a load makes one per file.",
            "100 requests per second and user is the API's limit; a step's are counted when it begins.",
        ),
    )
    dialect: ClassVar[Dialect] = GoogleSql()
    requests_per_statement: ClassVar[int] = 2
    """The insert, and the wait for the rows."""

    def _open(self, query_tag: str) -> Session:
        return Session(self._connection, query_tag)

    async def query(self, query: AnalyticsQuery, into: Path) -> QueryAnswer:
        """Run a tenant's question, once every part of it is known to be allowed."""
        bound = bind(query, _SYSTEM, lambda at: f"@p{at}")
        looks, pages = query.timeout_s // _SECONDS_PER_LOOK, query.max_rows // PAGE_ROWS
        await self._connection.admission.admit(_QUERY_CALLS + looks + pages)
        return await offload_to(_SYSTEM, ask, self._connection, query, bound, into)
