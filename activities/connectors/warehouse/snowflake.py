"""Snowflake as a data warehouse: migrations, transactional loads of each layer, marts and analytics."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from activities.connectors.warehouse import snowflake_sql as sql
from activities.connectors.warehouse.snowflake_session import ACCOUNT_ADDRESS, Session
from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.ports.warehouse import LayerFiles
from activities.transport.offload import offload
from contracts.errors import Owner, Permanent, WedSyncError
from contracts.etl import EtlBatch, Layer, LayerLoaded, MartsLoaded, TablesBuilt
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult

T = TypeVar("T")
_TABLES = {Layer.RAW: sql.RAW_TABLE, Layer.STAGING: sql.STAGING_TABLE}
_MARTS = "MARTS"
_ANALYTICS = "ANALYTICS"
_IDLE_S = 60.0
"""How long a session waits for the next step; a session policy may end idle ones after five minutes."""


class Snowflake:
    """The Snowflake connector; a call takes a session that has just become free, or opens one.

    Source: docs.snowflake.com/en/developer-guide/python-connector, connector 5.2; SQL reference for MERGE, COPY INTO
    and PUT.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="snowflake",
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
        rate_limit=RateLimit(requests=20, per_s=1.0),
        required_settings=("account", "warehouse", "database"),
        optional_settings=("role",),
        batch_size=250_000,
        timeout_s=1_500.0,
        notes=("A load is found again by its id and digest inside the transaction that would repeat it.",),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._idle: deque[tuple[float, Session]] = deque()

    async def probe(self) -> ConnectionProbe:
        """Log in, which an idle session would not prove, and select a constant."""
        started = time.perf_counter()
        await offload(self._log_in)
        return ConnectionProbe(
            ok=True,
            latency_ms=(time.perf_counter() - started) * 1_000,
            account=self._connection.setting("account") or None,
            features=["merge", "copy_parquet", "transactions"],
        )

    async def provision(self) -> ProvisionResult:
        """Create schemas, tables, stage, lock rows and unknown members where they are missing."""
        return await self._in_session("provision", _provision)

    async def aclose(self) -> None:
        """Log the idle sessions out."""
        await offload(self._close_idle, 0.0)

    async def load_layer(self, batch: EtlBatch, files: LayerFiles) -> LayerLoaded:
        """Load the files into RAW or STAGING in one transaction; found again by digest."""
        return await self._in_session(_tag(batch), _load_layer, batch, files)

    async def load_marts(self, batch: EtlBatch) -> MartsLoaded:
        """Merge the batch into dimensions and facts in one transaction; a finished batch is not merged again."""
        return await self._in_session(_tag(batch), _load_marts, batch)

    async def build_analytics(self, batch: EtlBatch) -> TablesBuilt:
        """Replace the ANALYTICS tables when the marts have changed since they were built."""
        return await self._in_session(_tag(batch), _build_analytics, batch)

    async def optimize(self, batch: EtlBatch) -> Mapping[str, str]:
        """Cluster the facts by date and supplier, which Snowflake then keeps up by itself."""
        statement = f"ALTER TABLE {sql.FACT_TABLE} CLUSTER BY (WEDDING_DATE, SUPPLIER_SK)"
        await self._in_session(_tag(batch), lambda session: session.run("facts.cluster", statement))
        return {sql.FACT_TABLE: "clustered by WEDDING_DATE, SUPPLIER_SK"}

    def _log_in(self) -> None:
        session = Session(self._connection, "wedsync:probe")
        try:
            session.number("probe", "SELECT 1")
        finally:
            session.close()

    async def _in_session(self, tag: str, work: Callable[..., T], *args: object) -> T:
        def call() -> T:
            session = self._session(f"wedsync:{tag}")
            try:
                done = work(session, *args)
            except BaseException:
                session.close()
                raise
            self._idle.append((time.monotonic(), session))
            self._close_idle(_IDLE_S)
            return done

        return await offload(call)

    def _session(self, tag: str) -> Session:
        self._close_idle(_IDLE_S)
        with suppress(IndexError):
            _, session = self._idle.pop()
            try:
                session.tag(tag)
            except WedSyncError:
                session.close()
            else:
                return session
        return Session(self._connection, tag)

    def _close_idle(self, longer_than_s: float) -> None:
        with suppress(IndexError):
            while time.monotonic() - self._idle[0][0] >= longer_than_s:
                self._idle.popleft()[1].close()


def _tag(batch: EtlBatch) -> str:
    return f"{batch.organization_id}:{batch.etl_id}:{batch.run_id}"


def _provision(session: Session) -> ProvisionResult:
    found = session.run(
        "schema.read",
        "SELECT TABLE_SCHEMA || '.' || TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA LIKE 'WEDDING_%%'",
        writes=False,
    )
    tables = {str(name) for (name,) in found}
    wanted = {name for name, _ in sql.migrations() if "." in name and name != sql.STAGE}
    for name, statement in sql.migrations():
        if name not in tables and not wanted <= tables:
            session.run("schema.create", statement)
    if session.number("schema.first_rows", f"SELECT COUNT(*) FROM {sql.LOCKS_TABLE}") < len(sql.LOCKS):
        for statement in sql.first_rows():
            session.run("schema.first_rows", statement)
    return ProvisionResult(created=sorted(wanted - tables), existing=sorted(wanted & tables))


def _load_layer(session: Session, batch: EtlBatch, files: LayerFiles) -> LayerLoaded:
    table, layer = _TABLES[files.layer], files.layer.upper()
    if _finished(session, batch, layer, files.digest):
        return LayerLoaded(rows=_held(session, table, batch), replayed=True)
    directory = f"{sql.path_part(batch.organization_id)}/{sql.path_part(batch.etl_id)}"
    for path in files.files:
        session.run(f"{layer}.put", _put(path, directory))
    with session.transaction(f"{layer}.load"):
        session.run(f"{layer}.lock", sql.lock(layer), batch.etl_id)
        if _finished(session, batch, layer, files.digest):
            return LayerLoaded(rows=_held(session, table, batch), replayed=True)
        _forget(session, batch, layer, table)
        if files.files:
            session.run(f"{layer}.copy", sql.copy_into(table, directory, [path.name for path in files.files]))
        held = _held(session, table, batch)
        if held != files.rows:
            raise _miscounted(table, held, files.rows)
        _record(session, batch, layer, files.digest, held)
    for path in files.files:
        with suppress(WedSyncError):
            session.run(f"{layer}.remove", f"REMOVE @{sql.STAGE}/{directory}/{sql.path_part(path.name)}")
    return LayerLoaded(rows=held)


def _put(path: Path, directory: str) -> str:
    local = path.as_posix().replace("\\", "\\\\").replace("'", "\\'")
    return f"PUT 'file://{local}' @{sql.STAGE}/{directory}/ AUTO_COMPRESS = FALSE OVERWRITE = TRUE"


def _forget(session: Session, batch: EtlBatch, layer: str, table: str) -> None:
    """Remove an earlier content of the same batch, and what was derived from it, inside the open transaction."""
    if not session.number(
        f"{layer}.count", f"SELECT COUNT(*) FROM {sql.LOADS_TABLE} WHERE BATCH_ID = %s", batch.etl_id
    ):
        return
    session.run(f"{layer}.forget", f"DELETE FROM {table} WHERE BATCH_ID = %s", batch.etl_id)
    derived = (layer, _MARTS) if layer == "STAGING" else (layer,)
    for name in derived:
        session.run(
            f"{layer}.forget", f"DELETE FROM {sql.LOADS_TABLE} WHERE BATCH_ID = %s AND LAYER = %s", batch.etl_id, name
        )


def _held(session: Session, table: str, batch: EtlBatch) -> int:
    return session.number("rows.count", f"SELECT COUNT(*) FROM {table} WHERE BATCH_ID = %s", batch.etl_id)


def _finished(session: Session, batch: EtlBatch, layer: str, digest: str) -> bool:
    statement = f"SELECT COUNT(*) FROM {sql.LOADS_TABLE} WHERE BATCH_ID = %s AND LAYER = %s AND DIGEST = %s"
    return session.number("loads.read", statement, batch.etl_id, layer, digest) > 0


def _record(
    session: Session,
    batch: EtlBatch,
    layer: str,
    digest: str | None,
    rows: int,
    counts: tuple[int, int, int] = (0, 0, 0),
) -> None:
    session.run(
        "loads.write",
        f"INSERT INTO {sql.LOADS_TABLE} (BATCH_ID, LAYER, DIGEST, RUN_ID, ROWS_LOADED, ROWS_CREATED, ROWS_UPDATED, "
        "DIMENSION_ROWS) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        batch.etl_id, layer, digest, batch.run_id, rows, *counts,
    )  # fmt: skip


def _load_marts(session: Session, batch: EtlBatch) -> MartsLoaded:
    rows = _held(session, sql.STAGING_TABLE, batch)
    earlier = _earlier_marts(session, batch)
    if earlier is None:
        with session.transaction("marts.load"):
            session.run("marts.lock", sql.lock(_MARTS), batch.etl_id)
            earlier = _earlier_marts(session, batch)
            if earlier is None:
                earlier = _merge_marts(session, batch, rows)
    run_id, created, updated, dimension_rows = earlier
    if run_id != batch.run_id:
        created = updated = dimension_rows = 0
    return MartsLoaded(
        created=created,
        updated=updated,
        unchanged=max(rows - created - updated, 0),
        standing=session.number("facts.verify", sql.standing_facts(), batch.etl_id),
        dimension_rows=dimension_rows,
        tables=_counts(session, sql.MART_TABLES),
    )


def _earlier_marts(session: Session, batch: EtlBatch) -> tuple[str, int, int, int] | None:
    found = session.run(
        "loads.read",
        f"SELECT RUN_ID, ROWS_CREATED, ROWS_UPDATED, DIMENSION_ROWS FROM {sql.LOADS_TABLE} "
        "WHERE BATCH_ID = %s AND LAYER = %s",
        batch.etl_id, _MARTS, writes=False,
    )  # fmt: skip
    return (str(found[0][0]), int(found[0][1]), int(found[0][2]), int(found[0][3])) if found else None


def _merge_marts(session: Session, batch: EtlBatch, rows: int) -> tuple[str, int, int, int]:
    created = updated = changes = dimension_rows = 0
    for table, statement in sql.marts(batch.as_of):
        counts = session.merge(f"{table}.merge", statement, batch.etl_id)
        inserted, changed = counts.get("inserted", 0), counts.get("updated", 0)
        changes += inserted + changed
        if table == sql.FACT_TABLE:
            created, updated = inserted, changed
        elif table != sql.DATES_TABLE:
            dimension_rows += inserted
    if changes:
        session.run("marts.mark", f"UPDATE {sql.LOCKS_TABLE} SET CHANGES = CHANGES + 1 WHERE NAME = '{_MARTS}'")
    _record(session, batch, _MARTS, None, rows, (created, updated, dimension_rows))
    return batch.run_id, created, updated, dimension_rows


def _build_analytics(session: Session, batch: EtlBatch) -> TablesBuilt:
    statements = sql.analytics()
    marks: dict[str, Any] = dict(
        session.run("marks.read", f"SELECT NAME, CHANGES FROM {sql.LOCKS_TABLE}", writes=False)
    )
    existing = session.run(
        "schema.read",
        "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'WEDDING_ANALYTICS'",
        writes=False,
    )
    current = marks.get(_MARTS) == marks.get(_ANALYTICS) and len(existing) >= len(statements)
    if not current:
        for table, statement in statements.items():
            session.run(f"{table}.replace", statement)
        session.run(
            "marks.write",
            f"UPDATE {sql.LOCKS_TABLE} SET CHANGES = %s, HOLDER = %s WHERE NAME = '{_ANALYTICS}'",
            int(marks.get(_MARTS) or 0), batch.etl_id,
        )  # fmt: skip
    return TablesBuilt(tables=_counts(session, tuple(statements)), rebuilt=not current)


def _counts(session: Session, tables: tuple[str, ...]) -> dict[str, int]:
    counts = " UNION ALL ".join(f"SELECT '{table}', COUNT(*) FROM {table}" for table in tables)
    return {str(table): int(rows) for table, rows in session.run("rows.count", counts, writes=False)}


def _miscounted(table: str, held: int, expected: int) -> Permanent:
    return Permanent(
        "rows_miscounted",
        f"{table} holds {held} rows of this load where {expected} were sent; nothing was committed.",
        owner=Owner.ENGINEER,
        action="Compare the staged files with the table and start the load again.",
        system="snowflake",
        operation="rows.count",
        evidence={"held": held, "expected": expected},
    )
