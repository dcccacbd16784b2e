"""Organisations' own templates: every save is a version of its own, and none is changed."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, Integer, LargeBinary, Row, String, Table, func, select
from sqlalchemy.exc import IntegrityError

from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import Database, metadata
from activities.storage.master_keys import refuse_retired
from contracts.errors import Transient
from contracts.identity import StoredTemplate, TemplateWords

templates = Table(
    "templates",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("saved_at", DateTime(timezone=True), nullable=False),
)
EARLIER = "templates"
"""The purpose under which records without a key id would have been sealed."""


class TemplateStore:
    """Templates, each version sealed under a key of its own."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)

    async def save(self, organization_id: str, words: TemplateWords) -> StoredTemplate:
        """Keep the words as the template's next version; the newest one said again makes none.

        Idempotent: yes.

        Raises:
            Transient: another version was saved at this moment.
        """
        newest = await self.get(organization_id, words.name)
        if newest is not None and newest.words == words:
            return newest
        version = newest.version + 1 if newest else 1
        place = place_of(organization_id, words.name, version)
        sealed = self._sealer.seal(organization_id, words.model_dump_json().encode(), place)
        row = {
            "organization_id": organization_id,
            "name": words.name,
            "version": version,
            "sealed": sealed,
            "saved_at": datetime.now(UTC),
        }
        try:
            async with self._database.begin() as connection:
                await connection.execute(templates.insert().values(row))
                await refuse_retired(self._database, connection, sealed)
        except IntegrityError:
            raise Transient("template_changed", "Another version of the template was saved at this moment.") from None
        return StoredTemplate(organization_id=organization_id, version=version, saved_at=datetime.now(UTC), words=words)

    async def get(self, organization_id: str, name: str, version: int | None = None) -> StoredTemplate | None:
        """Return a version of a template, the newest when none is named; None when there is none."""
        statement = select(templates).where(templates.c.organization_id == organization_id, templates.c.name == name)
        if version is not None:
            statement = statement.where(templates.c.version == version)
        statement = statement.order_by(templates.c.version.desc()).limit(1)
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return self._opened(row) if row else None

    async def newest(self, organization_id: str) -> list[StoredTemplate]:
        """Return the newest version of each template, by name."""
        mine = templates.c.organization_id == organization_id
        last = (
            select(templates.c.name, func.max(templates.c.version).label("version"))
            .where(mine)
            .group_by(templates.c.name)
            .subquery()
        )
        both = (templates.c.name == last.c.name) & (templates.c.version == last.c.version)
        statement = select(templates).join(last, both).where(mine).order_by(templates.c.name)
        async with self._database.begin() as connection:
            return [self._opened(row) for row in await connection.execute(statement)]

    def _opened(self, row: Row[tuple[object, ...]]) -> StoredTemplate:
        place = place_of(row.organization_id, row.name, row.version)
        plain = self._sealer.open(row.organization_id, row.sealed, place)
        return StoredTemplate(
            organization_id=row.organization_id,
            version=row.version,
            saved_at=row.saved_at.replace(tzinfo=UTC),
            words=TemplateWords.model_validate_json(plain),
        )


def place_of(organization_id: str, name: str, version: int) -> str:
    """Return what a sealed template is bound to: it opens nowhere else."""
    return f"templates|{organization_id}|{name}|{version}"
