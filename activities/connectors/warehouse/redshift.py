"""Redshift as a data warehouse: what it is, and what it does to keep the facts arranged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.loading import Loader
from activities.connectors.warehouse.model import FACT_TABLE
from activities.connectors.warehouse.redshift_session import ADDRESS, Session
from activities.connectors.warehouse.redshift_sql import RedshiftSql
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse, WarehouseSession
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from contracts.etl import EtlBatch
from contracts.integration import IntegrationType

_OPTIMIZE_CALLS = 8


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

    async def optimize(self, batch: EtlBatch) -> Mapping[str, str]:
        """Sort the facts and count them anew for the planner; returns the figures before and after."""
        return await self._in_session(_OPTIMIZE_CALLS, batch.etl_id, _optimize)


def _optimize(_: Loader, session: WarehouseSession) -> Mapping[str, str]:
    before = _arrangement(session)
    session.run("facts.vacuum", f"VACUUM FULL {FACT_TABLE.name}")
    session.run("facts.analyze", f"ANALYZE {FACT_TABLE.name}")
    return {FACT_TABLE.name: f"vacuumed and analysed{_compared(before, _arrangement(session))}"}


def _arrangement(session: WarehouseSession) -> tuple[float, float] | None:
    """Return the percentages of unsorted rows and of stale statistics; None where the user may not see them."""
    schema, _, table = FACT_TABLE.name.lower().partition(".")
    found = session.run(
        "facts.arrangement",
        "SELECT COALESCE(unsorted, 0), COALESCE(stats_off, 0) FROM svv_table_info "
        f"WHERE \"schema\" = '{schema}' AND \"table\" = '{table}'",
        writes=False,
    )
    return (float(found[0][0]), float(found[0][1])) if found else None


def _compared(before: tuple[float, float] | None, after: tuple[float, float] | None) -> str:
    if before is None or after is None:
        return ""
    return f": unsorted {before[0]:g} -> {after[0]:g} %, statistics off {before[1]:g} -> {after[1]:g} %"
