"""The automations an organisation saved, version by version, and the runs that follow its weddings."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    delete,
    func,
    select,
)

from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import Database, metadata
from activities.storage.master_keys import refuse_retired
from contracts.automation import AutomationDefinition
from contracts.automation_steps import AutomationRunKey
from contracts.errors import Transient

automation_definitions = Table(
    "automation_definitions",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("definition_id", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("enabled", Boolean, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
automation_runs = Table(
    "automation_runs",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("orchestration_id", String(64), primary_key=True),
    Column("wedding_id", String(64), index=True),
    Column("registered_at", DateTime(timezone=True), nullable=False),
)
EARLIER = "automations"
"""The purpose under which records without a key id would have been sealed."""
_MOST_TOLD = 2_000


class AutomationStore:
    """Definitions sealed under the organisation's key, for their messages are personal; a version never changes."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)

    async def save(self, definition: AutomationDefinition) -> AutomationDefinition:
        """Save a definition as the next version and return it; the newest one said again stays as it is.

        Raises:
            Transient: somebody else saved it at the same time.
        """
        owner, name = definition.organization_id, definition.definition_id
        async with self._database.begin() as connection:
            mine = _of(owner, name)
            newest = select(automation_definitions).where(*mine).order_by(automation_definitions.c.version.desc())
            row = (await connection.execute(newest.limit(1))).one_or_none()
            if row is not None and self._opened(row).model_copy(update={"version": 0}) == definition.model_copy(
                update={"version": 0}
            ):
                return self._opened(row)
            saved = definition.model_copy(update={"version": 1 if row is None else row.version + 1})
            place = place_of(owner, name, saved.version)
            sealed = self._sealer.seal(owner, saved.model_dump_json().encode(), place)
            statement = self._database.insert(automation_definitions).values(
                organization_id=owner,
                definition_id=name,
                version=saved.version,
                enabled=saved.enabled,
                sealed=sealed,
                changed_at=datetime.now(UTC),
            )
            if not (await connection.execute(statement.on_conflict_do_nothing())).rowcount:
                raise Transient("automation_changed", "Somebody else saved this automation just now; save it again.")
            await refuse_retired(self._database, connection, sealed)
        return saved

    async def newest(self, organization_id: str, definition_id: str | None = None) -> list[AutomationDefinition]:
        """Return the newest version of every definition, or of one."""
        found = automation_definitions.alias()
        newest = (
            select(func.max(found.c.version))
            .where(
                found.c.organization_id == automation_definitions.c.organization_id,
                found.c.definition_id == automation_definitions.c.definition_id,
            )
            .scalar_subquery()
        )
        statement = (
            select(automation_definitions)
            .where(*_of(organization_id, definition_id), automation_definitions.c.version == newest)
            .order_by(automation_definitions.c.definition_id)
        )
        async with self._database.begin() as connection:
            return [self._opened(row) for row in await connection.execute(statement)]

    async def concerns(self, organization_id: str, wedding_id: str | None) -> bool:
        """Return whether the organisation has definitions, or the wedding runs, that an event may concern."""
        definition = select(automation_definitions.c.version).where(*_of(organization_id, None)).limit(1)
        async with self._database.begin() as connection:
            if (await connection.execute(definition)).first() is not None:
                return True
        return bool(await self.runs(organization_id, wedding_id))

    async def register(self, key: AutomationRunKey, wedding_id: str | None) -> None:
        """Remember a run, so that it is told of its wedding. Idempotent: yes."""
        statement = self._database.insert(automation_runs).values(
            organization_id=key.organization_id,
            orchestration_id=key.orchestration_id,
            wedding_id=wedding_id,
            registered_at=datetime.now(UTC),
        )
        async with self._database.begin() as connection:
            await connection.execute(statement.on_conflict_do_nothing())

    async def ended(self, key: AutomationRunKey) -> None:
        """Forget a run. Idempotent: yes."""
        mine = (
            automation_runs.c.organization_id == key.organization_id,
            automation_runs.c.orchestration_id == key.orchestration_id,
        )
        async with self._database.begin() as connection:
            await connection.execute(delete(automation_runs).where(*mine))

    async def runs(self, organization_id: str, wedding_id: str | None) -> list[AutomationRunKey]:
        """Return the runs of a wedding, or those of no wedding."""
        column = automation_runs.c.wedding_id
        mine = column.is_(None) if wedding_id is None else column == wedding_id
        statement = (
            select(automation_runs)
            .where(automation_runs.c.organization_id == organization_id, mine)
            .order_by(automation_runs.c.registered_at)
            .limit(_MOST_TOLD)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
        owner = organization_id
        return [AutomationRunKey(organization_id=owner, orchestration_id=one.orchestration_id) for one in rows]

    def _opened(self, row: Row[tuple[object, ...]]) -> AutomationDefinition:
        place = place_of(row.organization_id, row.definition_id, row.version)
        return AutomationDefinition.model_validate_json(self._sealer.open(row.organization_id, row.sealed, place))


def place_of(organization_id: str, definition_id: str, version: int) -> str:
    """Return what a sealed definition is bound to: it opens nowhere else."""
    return f"automation|{organization_id}|{definition_id}|{version}"


def _of(organization_id: str, definition_id: str | None) -> list[ColumnElement[bool]]:
    mine: list[ColumnElement[bool]] = [automation_definitions.c.organization_id == organization_id]
    if definition_id is not None:
        mine.append(automation_definitions.c.definition_id == definition_id)
    return mine
