"""Synapse as a data warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse
from activities.connectors.warehouse.synapse_query import QUERY_LOGIN, ask
from activities.connectors.warehouse.synapse_session import ADDRESS, HOSTS, Session
from activities.connectors.warehouse.synapse_sql import SynapseSql
from activities.ports.analytics import QueryAnswer
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transform.analytics_sql import bind
from activities.transport.offload import offload_to
from contracts.analytics import AnalyticsQuery
from contracts.integration import IntegrationType

_QUERY_CALLS = 4
_SYSTEM = "synapse"


class Synapse(SqlWarehouse):
    """The connector of dedicated SQL pools; a call takes a session that has just become free, or opens one.

    Source: Microsoft Learn, Azure Synapse Analytics (COPY INTO, ALTER INDEX, UPDATE STATISTICS); driver python-tds 1.17
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=_SYSTEM,
        title="Azure Synapse Analytics",
        family=IntegrationType.DATA_WAREHOUSE,
        api_version="TDS 7.4",
        documentation_url="https://learn.microsoft.com/azure/synapse-analytics/sql-data-warehouse/",
        credential_fields=("user", "password", "sasToken"),
        optional_credential_fields=QUERY_LOGIN,
        default_base_url="",
        hosts=HOSTS,
        ports=(1433,),
        address=ADDRESS,
        capabilities=frozenset({Capability.WAREHOUSE}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=600, per_s=60.0),
        required_settings=("host", "database", "storageAccount", "container"),
        optional_settings=("stagingUrl",),
        batch_size=250_000,
        timeout_s=1_500.0,
        notes=(
            "queryUser and queryPassword are a login that can only read, for analytics queries; else user asks them.",
            "Never run against a real pool: COPY INTO inside a transaction, distributions and collations are unproven.",
            "A load is found again by its id and digest inside the transaction that would repeat it.",
            "The pool needs READ_COMMITTED_SNAPSHOT, because its readers see what is not committed otherwise.",
            "TDS 7.4 may come with TLS 1.2 only, which is a decision of its own in securityConfig.",
            "Synapse publishes no request limit; 600 statements per minute are ours, counted when a step begins.",
        ),
    )
    dialect: ClassVar[Dialect] = SynapseSql()

    def _open(self, query_tag: str) -> Session:
        del query_tag
        return Session(self._connection)

    async def query(self, query: AnalyticsQuery, into: Path) -> QueryAnswer:
        """Run a tenant's question, once every part of it is known to be allowed."""
        bound = bind(query, "tsql", lambda _: "%s", escape="%")
        await self._connection.admission.admit(_QUERY_CALLS)
        return await offload_to(_SYSTEM, ask, self._connection, query, bound, into)
