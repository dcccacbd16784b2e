"""Connected integrations as activities read them; only the `Integration` workflow's activities write here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

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
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import Database, metadata
from activities.storage.master_keys import refuse_retired
from contracts.errors import InvalidInput, Transient
from contracts.health import HealthShard, HealthWord, IntegrationKey
from contracts.integration import CredentialRef, IntegrationConfiguration, IntegrationState
from contracts.names import shard_of

connections = Table(
    "connections",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("platform", String(40), nullable=False),
    Column("state", String(32), nullable=False),
    Column("version", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("last_sync_at", DateTime(timezone=True)),
    Column("last_sync_status", String(32)),
    Column("health", String(16)),
    Column("credential_expires_at", DateTime(timezone=True)),
    Column("refused_version", Integer),
    Column("refused_at", DateTime(timezone=True)),
    Column("refusal_settled", Boolean),
)
EARLIER = "connections"
"""The purpose under which records without a key id were sealed."""


_SCANNED = 1_000


class Refusal(StrEnum):
    """What is known of a credential that a vendor refused during work."""

    NEW = "new"
    LOOKED_INTO = "looked_into"
    """The keeper was told and has not found out yet."""
    STANDS = "stands"
    """The vendor accepts the credential, and refuses what was asked of it."""


@dataclass(frozen=True)
class StoredConnection:
    """An integration's configuration, state and freshness."""

    configuration: IntegrationConfiguration
    state: IntegrationState
    version: int
    changed_at: datetime
    last_sync_at: datetime | None
    last_sync_status: str | None
    health: HealthWord | None
    credential_expires_at: datetime | None = None

    @property
    def key(self) -> IntegrationKey:
        """The opaque facts that may travel in payloads."""
        return IntegrationKey(
            organization_id=self.configuration.organization_id,
            integration_id=self.configuration.integration_id,
            platform=self.configuration.platform,
            state=self.state,
        )


def unknown_integration(integration_id: str) -> InvalidInput:
    """Return the error of an integration that an organisation does not have."""
    return InvalidInput(
        "integration_not_found",
        f"There is no integration {integration_id!r} in this organisation.",
        action="Connect it first with `wedsync integrations connect FILE`.",
    )


class ConnectionStore:
    """Configurations, each sealed under a key of its own."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)

    async def put(self, configuration: IntegrationConfiguration, state: IntegrationState) -> None:
        """Write configuration and state. Idempotent: yes, by organisation and integration."""
        sealed = self._sealed(configuration)
        row = {
            "organization_id": configuration.organization_id,
            "integration_id": configuration.integration_id,
            "platform": configuration.platform,
            "state": state.value,
            "version": 1,
            "sealed": sealed,
            "changed_at": datetime.now(UTC),
        }
        statement = self._database.insert(connections).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=["organization_id", "integration_id"],
            set_={
                **{name: row[name] for name in ("platform", "state", "sealed", "changed_at")},
                "version": connections.c.version + 1,
            },
        )
        async with self._database.begin() as connection:
            await connection.execute(statement)
            await refuse_retired(self._database, connection, sealed)

    async def get(self, organization_id: str, integration_id: str) -> StoredConnection | None:
        """Return one integration of one organisation, None when it is not there."""
        statement = select(connections).where(_mine(organization_id, integration_id))
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).first()
        return self._stored(row) if row else None

    async def named(self, organization_id: str, integration_ids: Collection[str]) -> dict[str, StoredConnection]:
        """Return those of one organisation's integrations that are there, by id."""
        statement = select(connections).where(
            connections.c.organization_id == organization_id, connections.c.integration_id.in_(integration_ids)
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.integration_id: self._stored(row) for row in rows}

    async def of_organization(self, organization_id: str) -> list[StoredConnection]:
        """Return the integrations of an organisation, disconnected ones included."""
        statement = (
            select(connections)
            .where(connections.c.organization_id == organization_id)
            .order_by(connections.c.integration_id)
        )
        async with self._database.begin() as connection:
            return [self._stored(row) for row in (await connection.execute(statement)).all()]

    async def organizations(self) -> list[str]:
        """Return the organisations that have connected integrations."""
        statement = (
            select(connections.c.organization_id)
            .where(connections.c.state != IntegrationState.DISCONNECTED.value)
            .distinct()
            .order_by(connections.c.organization_id)
        )
        async with self._database.begin() as connection:
            return [str(row[0]) for row in (await connection.execute(statement)).all()]

    async def page(
        self, after: IntegrationKey | None, limit: int, platform: str | None = None
    ) -> Sequence[IntegrationKey]:
        """Return the next connected integrations of all organisations, in key order, of one platform or of all."""
        statement = select(
            connections.c.organization_id, connections.c.integration_id, connections.c.platform, connections.c.state
        ).where(connections.c.state != IntegrationState.DISCONNECTED.value)
        if platform is not None:
            statement = statement.where(connections.c.platform == platform)
        if after is not None:
            statement = statement.where(
                (connections.c.organization_id > after.organization_id)
                | (
                    (connections.c.organization_id == after.organization_id)
                    & (connections.c.integration_id > after.integration_id)
                )
            )
        statement = statement.order_by(connections.c.organization_id, connections.c.integration_id).limit(limit)
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            IntegrationKey(
                organization_id=row[0], integration_id=row[1], platform=row[2], state=IntegrationState(row[3])
            )
            for row in rows
        ]

    async def shard(self, part: HealthShard, platform: str | None = None) -> list[IntegrationKey]:
        """Return the connected integrations of one part of all, of one platform or of all."""
        found: list[IntegrationKey] = []
        after: IntegrationKey | None = None
        while page := await self.page(after, _SCANNED, platform):
            found += [
                key for key in page if shard_of(key.organization_id, key.integration_id, part.shards) == part.shard
            ]
            after = page[-1]
        return found

    async def several(self, keys: Sequence[IntegrationKey]) -> list[StoredConnection]:
        """Return the integrations that are there."""
        places = [(key.organization_id, key.integration_id) for key in keys]
        statement = select(connections).where(
            tuple_(connections.c.organization_id, connections.c.integration_id).in_(places)
        )
        async with self._database.begin() as connection:
            return [self._stored(row) for row in (await connection.execute(statement)).all()]

    async def observe_sync(self, organization_id: str, integration_id: str, at: datetime | None, status: str) -> None:
        """Note how the last sync ended, and with `at` that it brought the target up to date then."""
        noted: dict[str, object] = {"last_sync_status": status}
        if at is not None:
            noted["last_sync_at"] = at
        await self._set(organization_id, integration_id, noted)

    async def adopt_credential(self, old: CredentialRef, new: CredentialRef, expires_at: datetime | None) -> bool:
        """Name `new` as the credential in use where `old` is; False where another is. Idempotent: yes.

        Raises:
            Transient: the integration was changed at this moment.
        """
        mine = _mine(old.organization_id, old.integration_id)
        async with self._database.begin() as connection:
            row = (await connection.execute(select(connections).where(mine))).first()
            if row is None:
                return False
            stored = self._stored(row)
            config = stored.configuration.connection_config
            if config.credential_ref not in {old, new}:
                return False
            adopted = stored.configuration.model_copy(
                update={"connection_config": config.model_copy(update={"credential_ref": new})}
            )
            sealed = self._sealed(adopted)
            changed = await connection.execute(
                update(connections)
                .where(mine, connections.c.version == stored.version)
                .values(sealed=sealed, version=stored.version + 1, credential_expires_at=expires_at)
            )
            await refuse_retired(self._database, connection, sealed)
            if not changed.rowcount:
                raise Transient("integration_changed", "The integration was changed at this moment.")
        return True

    async def note_refusal(self, ref: CredentialRef, now: datetime, again_after: timedelta) -> Refusal:
        """Note that a vendor refuses this version, once in `again_after`, and return what that means."""
        fresh = (
            (connections.c.refused_version.is_(None))
            | (connections.c.refused_version != ref.version)
            | (connections.c.refused_at < now - again_after)
        )
        mine = _mine(ref.organization_id, ref.integration_id)
        statement = (
            update(connections)
            .where(mine, fresh)
            .values(refused_version=ref.version, refused_at=now, refusal_settled=False)
        )
        async with self._database.begin() as connection:
            if (await connection.execute(statement)).rowcount:
                return Refusal.NEW
            settled = (await connection.execute(select(connections.c.refusal_settled).where(mine))).scalar()
        return Refusal.STANDS if settled else Refusal.LOOKED_INTO

    async def settle_refusal(self, ref: CredentialRef, now: datetime) -> None:
        """Note that the vendor accepts this version, so that what it refused it refuses for another reason."""
        statement = (
            update(connections)
            .where(_mine(ref.organization_id, ref.integration_id))
            .values(refused_version=ref.version, refused_at=now, refusal_settled=True)
        )
        async with self._database.begin() as connection:
            await connection.execute(statement)

    async def _set(self, organization_id: str, integration_id: str, values: dict[str, object]) -> None:
        statement = update(connections).where(_mine(organization_id, integration_id)).values(values)
        async with self._database.begin() as connection:
            await connection.execute(statement)

    def _sealed(self, configuration: IntegrationConfiguration) -> bytes:
        place = place_of(configuration.organization_id, configuration.integration_id)
        return self._sealer.seal(configuration.organization_id, configuration.model_dump_json().encode(), place)

    def _stored(self, row: Row[tuple[object, ...]]) -> StoredConnection:
        record = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for a row's mapping
        organization_id, integration_id = record["organization_id"], record["integration_id"]
        plain = self._sealer.open(organization_id, record["sealed"], place_of(organization_id, integration_id))
        return StoredConnection(
            configuration=IntegrationConfiguration.model_validate_json(plain),
            state=IntegrationState(record["state"]),
            version=record["version"],
            changed_at=_utc(record["changed_at"]) or datetime.now(UTC),
            last_sync_at=_utc(record["last_sync_at"]),
            last_sync_status=record["last_sync_status"],
            health=HealthWord(record["health"]) if record["health"] else None,
            credential_expires_at=_utc(record["credential_expires_at"]),
        )


async def is_disconnected(connection: AsyncConnection, organization_id: str, integration_id: str) -> bool:
    """Return whether an integration is disconnected, which it does not become before the transaction ends."""
    mine = _mine(organization_id, integration_id)
    statement = select(connections.c.state).where(mine).with_for_update(read=True)
    return (await connection.execute(statement)).scalar_one_or_none() == IntegrationState.DISCONNECTED.value


def _mine(organization_id: str, integration_id: str) -> ColumnElement[bool]:
    return (connections.c.organization_id == organization_id) & (connections.c.integration_id == integration_id)


def place_of(organization_id: str, integration_id: str) -> str:
    """Return what a sealed configuration is bound to: it opens nowhere else."""
    return f"connection|{organization_id}|{integration_id}"


def _utc(value: datetime | None) -> datetime | None:
    """SQLite returns instants without their zone."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value
