"""Snowflake as a data warehouse: what it is, how its SQL differs, and what it does to keep the facts arranged."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.model import Table, Type
from activities.connectors.warehouse.snowflake_query import QUERY_ROLE, ask
from activities.connectors.warehouse.snowflake_session import ACCOUNT_ADDRESS, Session
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse
from activities.ports.analytics import QueryAnswer
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transform.analytics_sql import bind
from activities.transport.offload import offload_to
from contracts.analytics import AnalyticsQuery
from contracts.integration import IntegrationType

_QUERY_CALLS = 5
_SYSTEM = "snowflake"


class SnowflakeSql(Dialect):
    """Snowflake's spelling.

    Source: docs.snowflake.com SQL reference: data types, MERGE, CREATE TABLE AS, PERCENTILE_CONT.
    """

    types: ClassVar[dict[Type, str]] = {
        **Dialect.types,
        Type.INTEGER: "NUMBER",
        Type.MONEY: "NUMBER(12,2)",
        Type.SCORE: "NUMBER(3,2)",
        Type.TIMESTAMP: "TIMESTAMP_NTZ",
    }

    def weekday(self, day: str) -> str:
        """Count from a Monday: DAYOFWEEK depends on the account's WEEK_START."""
        return f"(MOD(DATEDIFF('day', CAST('1900-01-01' AS DATE), {day}), 7) + 1)"

    def arrangements(self, table: Table) -> list[tuple[str, str]]:
        """Cluster by what is asked for, which Snowflake then keeps up by itself."""
        keys = ", ".join(table.clustered_by)
        return [(f"clustered by {keys}", f"ALTER TABLE {table.name} CLUSTER BY ({keys})")]


class Snowflake(SqlWarehouse):
    """The Snowflake connector; a call takes a session that has just become free, or opens one.

    Source: docs.snowflake.com/en/developer-guide/python-connector, connector 5.2; SQL reference for MERGE, COPY INTO
    and PUT.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=_SYSTEM,
        title="Snowflake",
        family=IntegrationType.DATA_WAREHOUSE,
        api_version="Python connector 5.2",
        documentation_url="https://docs.snowflake.com/en/developer-guide/python-connector/python-connector",
        credential_fields=("user",),
        optional_credential_fields=("password", "privateKey", "token"),
        default_base_url="",
        hosts=("*.snowflakecomputing.com", "*.snowflakecomputing.cn"),
        address=ACCOUNT_ADDRESS,
        capabilities=frozenset({Capability.WAREHOUSE}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=600, per_s=60.0),
        required_settings=("account", "warehouse", "database"),
        optional_settings=("role", QUERY_ROLE),
        batch_size=250_000,
        timeout_s=1_500.0,
        notes=(
            "queryRole names a role that can only read, for analytics queries; they run as role where it is absent.",
            "A load is found again by its id and digest inside the transaction that would repeat it.",
            "Snowflake publishes no request limit; 600 statements per minute are ours, counted when a step begins.",
        ),
    )
    dialect: ClassVar[Dialect] = SnowflakeSql()

    def _open(self, query_tag: str) -> Session:
        return Session(self._connection, query_tag)

    async def query(self, query: AnalyticsQuery, into: Path) -> QueryAnswer:
        """Run a tenant's question, once every part of it is known to be allowed."""
        bound = bind(query, _SYSTEM, lambda _: "%s", escape="%")
        await self._connection.admission.admit(_QUERY_CALLS)
        return await offload_to(_SYSTEM, ask, self._connection, query, bound, into)
