"""Redshift as a data warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.redshift_query import ask
from activities.connectors.warehouse.redshift_session import ADDRESS, Session
from activities.connectors.warehouse.redshift_sql import RedshiftSql
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse
from activities.ports.analytics import QueryAnswer
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transform.analytics_sql import bind
from activities.transport.offload import offload_to
from contracts.analytics import AnalyticsQuery
from contracts.integration import IntegrationType

_QUERY_CALLS = 6
_SYSTEM = "redshift"


class Redshift(SqlWarehouse):
    """The Redshift connector; a call takes a session that has just become free, or opens one.

    Source: Amazon Redshift Database Developer Guide (COPY, MERGE, VACUUM, ANALYZE, SVV_TABLE_INFO); driver
    redshift_connector 2.2.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=_SYSTEM,
        title="Amazon Redshift",
        family=IntegrationType.DATA_WAREHOUSE,
        api_version="redshift_connector 2.2",
        documentation_url="https://docs.aws.amazon.com/redshift/latest/dg/welcome.html",
        credential_fields=("user", "password", "accessKeyId", "secretAccessKey"),
        default_base_url="",
        hosts=(
            *("*.redshift.amazonaws.com", "*.redshift-serverless.amazonaws.com"),
            *("*.redshift.amazonaws.com.cn", "*.redshift-serverless.amazonaws.com.cn"),
        ),
        ports=(5439,),
        address=ADDRESS,
        capabilities=frozenset({Capability.WAREHOUSE}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=600, per_s=60.0),
        required_settings=("host", "database", "bucket", "region", "iamRole"),
        optional_settings=("stagingUrl",),
        batch_size=250_000,
        timeout_s=1_500.0,
        notes=(
            "A load is found again by its id and digest inside the transaction that would repeat it.",
            "A value of RAW or STAGING longer than 65,535 bytes fails its load: no column of Redshift is longer.",
            "Redshift publishes no request limit; 600 statements per minute are ours, counted when a step begins.",
        ),
    )
    dialect: ClassVar[Dialect] = RedshiftSql()

    def _open(self, query_tag: str) -> Session:
        return Session(self._connection, query_tag)

    async def query(self, query: AnalyticsQuery, into: Path) -> QueryAnswer:
        """Run a tenant's question, once every part of it is known to be allowed."""
        bound = bind(query, _SYSTEM, lambda _: "?")
        await self._connection.admission.admit(_QUERY_CALLS)
        return await offload_to(_SYSTEM, ask, self._connection, query, bound, into)
