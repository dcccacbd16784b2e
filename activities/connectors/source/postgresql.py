"""PostgreSQL as a source: tables read as reports that the integration's settings define."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

import asyncpg
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transport.addresses import is_loopback
from activities.transport.outbound import Target, judged_addresses_async, vet
from activities.transport.tls import named_context, tls_error
from contracts.errors import AuthExpired, InvalidInput, Owner, Permanent, Transient, WedSyncError
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult

_SYSTEM = "postgresql"
_CONNECT_TIMEOUT_S = 20.0
_STATEMENT_TIMEOUT_S = 1_200
_GRACE_S = 30.0
"""How much later than the server we give a statement up."""
_REQUESTS = 3
"""A login, a look at the catalogue, and the rows."""
_OUR_FAULT = frozenset({"0A", "22", "25", "42"})
"""Classes of SQL state that say a statement cannot work."""
_ADDRESS = "postgresql://{host}:{port}/{database}"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_$]{0,62}$")]


class _Report(BaseModel):
    """A report: its table and columns, and how to tell an organisation's rows and when they changed."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)
    schema_name: Name = Field(default="public", alias="schema")
    table: Name
    columns: Annotated[list[Name], Field(min_length=1, max_length=500)]
    organization_column: Name | None = None
    """The column that holds the organisation's id; other organisations' rows are never read."""
    changed_column: Name | None = None
    """The column that holds the instant of a row's last change."""

    @property
    def relation(self) -> str:
        """The table as SQL names it."""
        return f"{_quoted(self.schema_name)}.{_quoted(self.table)}"


_REPORTS = TypeAdapter(dict[str, _Report])


class PostgreSql:
    """Reads tables of a PostgreSQL database; a call is a session of its own, in one read-only transaction.

    Rows come by COPY, which the server streams: a million of them take no more memory here than one.

    Source: PostgreSQL 18, sections 13.2.2 (repeatable read), 20.11 (statement_timeout), COPY, appendix A (error codes).
    """

    manifest: ClassVar[Manifest] = Manifest(
        system=_SYSTEM,
        title="PostgreSQL",
        family=IntegrationType.REPORT_SOURCE,
        api_version="PostgreSQL 13 to 18",
        documentation_url="https://www.postgresql.org/docs/current/protocol.html",
        credential_fields=("user", "password"),
        default_base_url="",
        free_hosts=True,
        schemes=("postgresql",),
        ports=(5432, 5433, 6432),
        address=_ADDRESS,
        capabilities=frozenset({Capability.TABLES}),
        guarantee=EffectGuarantee.READS_ONLY,
        rate_limit=RateLimit(requests=60, per_s=60.0),
        required_settings=("reports",),
        optional_settings=("host", "port", "database"),
        timeout_s=_STATEMENT_TIMEOUT_S + _GRACE_S,
        notes=(
            "host, port and database are required unless baseUrl is postgresql://host:port/database.",
            "reports names what may be read: report id -> schema, table, columns, organizationColumn, changedColumn.",
            "A table of several organisations needs organizationColumn, or a role whose row security does the same.",
            "Connections are encrypted and the server's certificate is checked; loopback alone may go without.",
            "A database has no request limit; sixty a minute are ours.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def aclose(self) -> None:
        """Release nothing: each call has its own session."""

    async def probe(self) -> ConnectionProbe:
        """Log in and look up every report's table; the reports are the features.

        Raises:
            AuthExpired: the database refuses the credential.
            Permanent: a table or a column is not there, or may not be read.
            Transient: the database does not answer.
        """
        started = time.perf_counter()
        reports = self._reports()
        async with self._session("probe") as session:
            for report in reports.values():
                await _refuse_missing(session, report)
        latency_ms = (time.perf_counter() - started) * 1_000
        return ConnectionProbe(ok=True, latency_ms=latency_ms, features=sorted(reports)[:50])

    async def provision(self) -> ProvisionResult:
        """Make nothing: a source is only read. Idempotent: yes."""
        return ProvisionResult()

    async def columns(self, report_id: str) -> Sequence[str]:
        """Return the names of the report's columns, once the database has confirmed them."""
        report = self._report(report_id)
        async with self._session("report.look_up") as session:
            await _refuse_missing(session, report)
        return report.columns

    async def export(self, report_id: str, into: Path, since: datetime | None, before: datetime | None) -> None:
        """Stream the report's rows into a CSV file; every value is written as PostgreSQL's text of it."""
        report = self._report(report_id)
        statement, values = _select(report, self._connection.organization_id, since, before)
        async with self._session("report.read") as session:
            await _refuse_missing(session, report)
            await session.copy_from_query(statement, *values, output=into, format="csv", header=True)

    def _reports(self) -> dict[str, _Report]:
        try:
            return _REPORTS.validate_python(self._connection.settings.get("reports"))
        except ValidationError as error:
            places = sorted({".".join(map(str, one["loc"])) for one in error.errors()})
            raise InvalidInput(
                "reports_invalid",
                f"The setting `reports` of the database is not usable at: {', '.join(places)[:200] or 'the whole'}.",
                action="Give report id -> {table, columns}; names are letters, digits, `_` and `$`.",
                system=_SYSTEM,
            ) from None

    def _report(self, report_id: str) -> _Report:
        reports = self._reports()
        if report_id not in reports:
            raise InvalidInput(
                "report_not_found",
                f"The database's integration defines no report {report_id!r}.",
                action=f"Use one of: {', '.join(sorted(reports))[:500]}; or add it to the setting `reports`.",
                system=_SYSTEM,
            )
        return reports[report_id]

    @asynccontextmanager
    async def _session(self, operation: str) -> AsyncIterator[asyncpg.Connection]:
        """Yield a session in a read-only transaction that sees one moment, with the server's own time limit."""
        await self._connection.admission.admit(_REQUESTS)
        target = self._target()
        try:
            session = await self._connected(target, operation)
            try:
                async with (
                    asyncio.timeout(_STATEMENT_TIMEOUT_S + _GRACE_S),
                    session.transaction(isolation="repeatable_read", readonly=True),
                ):
                    await session.execute(
                        f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT_S}s'; SET LOCAL TimeZone = 'UTC'; "
                        "SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL search_path = pg_catalog"
                    )
                    yield session
                await session.close(timeout=_CONNECT_TIMEOUT_S)
            finally:
                # Does nothing to a session that was closed; another one must not stay open.
                session.terminate()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise _classified(error, operation) from None

    def _target(self) -> Target:
        connection = self._connection
        address = connection.base_url or self.manifest.address_of(None, connection.settings)
        target = vet(address, self.manifest, connection.outbound)
        if not target.path.strip("/"):
            raise InvalidInput(
                "database_missing",
                "The address of the database does not name a database.",
                action="Give baseUrl as postgresql://host:port/database.",
                system=_SYSTEM,
            )
        return target

    async def _connected(self, target: Target, operation: str) -> asyncpg.Connection:
        connection = self._connection
        addresses = await judged_addresses_async(target.host, target.port, connection.outbound, _SYSTEM)
        try:
            return await asyncpg.connect(
                host=list(addresses),
                port=[target.port] * len(addresses),
                user=connection.secret("user"),
                password=connection.secret("password"),
                database=target.path.strip("/"),
                ssl=False if is_loopback(target.host) else named_context(connection, target.host),
                timeout=_CONNECT_TIMEOUT_S,
                # A pooler between us and the server may hand every transaction to another session.
                statement_cache_size=0,
                server_settings={"application_name": "wedsync"},
            )
        except OSError as error:
            raise tls_error(_SYSTEM, operation, error, owner=Owner.TENANT) or error from None


def _quoted(name: str) -> str:
    return f'"{name}"'


def _select(
    report: _Report, organization_id: str, since: datetime | None, before: datetime | None
) -> tuple[str, list[str | datetime]]:
    """Return the SELECT of the report's rows as texts, and the values bound to it."""
    conditions: list[str] = []
    values: list[str | datetime] = []

    def where(column: str, kind: str, operator: str, value: str | datetime) -> None:
        values.append(value)
        conditions.append(f"{_quoted(column)}::{kind} {operator} ${len(values)}::{kind}")

    if report.organization_column is not None:
        where(report.organization_column, "text", "=", organization_id)
    for operator, instant in ((">=", since), ("<", before)):
        if instant is not None:
            if report.changed_column is None:
                raise InvalidInput(
                    "window_unsupported",
                    "The report has no column that tells when a row changed.",
                    action="Name one as `changedColumn` in the setting `reports`, or load the whole report.",
                    system=_SYSTEM,
                )
            where(report.changed_column, "timestamptz", operator, instant)
    columns = ", ".join(f"{_quoted(name)}::text AS {_quoted(name)}" for name in report.columns)
    condition = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {columns} FROM {report.relation}{condition}", values


async def _refuse_missing(session: asyncpg.Connection, report: _Report) -> None:
    rows = await session.fetch(
        "SELECT attname, has_column_privilege(attrelid, attnum, 'SELECT') AS readable FROM pg_attribute "
        "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
        report.relation,
    )
    readable: dict[str, bool] = {row["attname"]: row["readable"] for row in rows}
    wanted = [*report.columns, *filter(None, (report.organization_column, report.changed_column))]
    lacking = [name for name in wanted if not readable.get(name)]
    if lacking:
        raise Permanent(
            "table_unreadable",
            f"The table of the report does not offer the columns {', '.join(lacking)[:500]} to this user.",
            owner=Owner.TENANT,
            action="Correct the setting `reports`, or grant SELECT on the table's columns.",
            system=_SYSTEM,
            operation="report.look_up",
        )


def _classified(error: Exception, operation: str) -> WedSyncError:
    """Return our error for one of the driver's, by its class and SQL state.

    Source: PostgreSQL 18, appendix A.
    """
    state = str(getattr(error, "sqlstate", "") or "")
    where: dict[str, Any] = {"system": _SYSTEM, "operation": operation, "evidence": {"sqlState": state}}
    if state.startswith("28"):
        return AuthExpired(
            "credential_refused",
            "The database refuses the stored user or password.",
            action="Connect the integration again with a valid credential.",
            **where,
        )
    if state in {"42501", "3D000", "42P01", "42703", "3F000", "42883"}:
        return Permanent(
            "table_unreadable",
            "The database, a table or a column is not there for this user, or is of another type.",
            owner=Owner.TENANT,
            action="Correct the integration's settings, or grant the user what is missing.",
            **where,
        )
    if state == "57014":
        return Permanent(
            "statement_timeout",
            f"The database did not finish {operation} within {_STATEMENT_TIMEOUT_S // 60} minutes.",
            owner=Owner.TENANT,
            action="Index the columns the report is filtered by, or load it in slices of changedSince.",
            **where,
        )
    if state[:2] in _OUR_FAULT:
        return Permanent(
            "statement_refused",
            f"The database refuses the statement of {operation}.",
            action="Look the SQL state up in PostgreSQL's appendix A.",
            **where,
        )
    return Transient("database_unavailable", f"The database did not answer {operation}.", **where)
