"""Redshift as a data warehouse."""

from __future__ import annotations

from typing import ClassVar

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.redshift_session import ADDRESS, Session
from activities.connectors.warehouse.redshift_sql import RedshiftSql
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from contracts.integration import IntegrationType


class Redshift(SqlWarehouse):
    """The Redshift connector; a call takes a session that has just become free, or opens one.

    Source: Amazon Redshift Database Developer Guide (COPY, MERGE, VACUUM, ANALYZE, SVV_TABLE_INFO); driver
    redshift_connector 2.2.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="redshift",
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
