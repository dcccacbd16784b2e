"""The fields of each report as the last sync of it knew them: names and kinds, no values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, String, Table, Text, select

from activities.storage.database import Database, metadata
from activities.storage.receipts import Scope

report_schemas = Table(
    "report_schemas",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("object_type", String(255), primary_key=True),
    Column("report_id", String(64), primary_key=True),
    Column("fields", Text, nullable=False),
    Column("known_at", DateTime(timezone=True), nullable=False),
)


class ReportSchemas:
    """What is known of reports, by the target they go to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, scope: Scope, report_id: str) -> dict[str, str]:
        """Return field -> kind, empty before the first sync."""
        table = report_schemas.c
        statement = select(table.fields).where(
            table.organization_id == scope.organization_id,
            table.integration_id == scope.integration_id,
            table.object_type == scope.object_type,
            table.report_id == report_id,
        )
        async with self._database.begin() as connection:
            found = (await connection.execute(statement)).scalar()
        return {} if found is None else json.loads(found)

    async def put(self, scope: Scope, report_id: str, fields: Mapping[str, str]) -> None:
        """Know a report by these fields from now on. Idempotent: yes."""
        row = {
            "organization_id": scope.organization_id,
            "integration_id": scope.integration_id,
            "object_type": scope.object_type,
            "report_id": report_id,
            "fields": json.dumps(fields, sort_keys=True),
            "known_at": datetime.now(UTC),
        }
        statement = self._database.insert(report_schemas).values(row)
        key = ["organization_id", "integration_id", "object_type", "report_id"]
        changed = {name: statement.excluded[name] for name in ("fields", "known_at")}
        async with self._database.begin() as connection:
            await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed))
