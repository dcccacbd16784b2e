"""Credentials, sealed in the SQL store and named by reference everywhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import SecretStr
from sqlalchemy import Column, DateTime, Integer, LargeBinary, String, Table, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from activities.ports.secrets import destroyed, place_of, superseded
from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import Database, metadata
from activities.storage.master_keys import refuse_retired
from contracts.integration import CredentialRef

credentials = Table(
    "credentials",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
EARLIER = "credentials"
"""The purpose under which records without a key id were sealed."""


class SealedSecretStore:
    """The default store: AES-256-GCM, a key per version, bound to owner, integration and version."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)

    async def put(
        self, organization_id: str, integration_id: str, values: Mapping[str, str], *, after: int | None = None
    ) -> CredentialRef:
        """Store the values as the next version and return its reference.

        Raises:
            Transient: `after` is not the newest version, or another write was faster.
        """
        mine = (credentials.c.organization_id == organization_id) & (credentials.c.integration_id == integration_id)
        try:
            async with self._database.begin() as connection:
                newest = (await connection.execute(select(func.max(credentials.c.version)).where(mine))).scalar() or 0
                if after is not None and after != newest:
                    raise superseded(integration_id)
                ref = CredentialRef(organization_id=organization_id, integration_id=integration_id, version=newest + 1)
                sealed = self._sealer.seal(organization_id, json.dumps(dict(values)).encode(), place_of(ref))
                await connection.execute(
                    insert(credentials).values(
                        organization_id=organization_id,
                        integration_id=integration_id,
                        version=ref.version,
                        sealed=sealed,
                        created_at=datetime.now(UTC),
                    )
                )
                await refuse_retired(self._database, connection, sealed)
        except IntegrityError:
            raise superseded(integration_id) from None
        return ref

    async def get(self, ref: CredentialRef) -> Mapping[str, SecretStr]:
        """Return the values of a version.

        Raises:
            AuthExpired: the version was destroyed.
        """
        statement = select(credentials.c.sealed).where(
            credentials.c.organization_id == ref.organization_id,
            credentials.c.integration_id == ref.integration_id,
            credentials.c.version == ref.version,
        )
        async with self._database.begin() as connection:
            sealed = (await connection.execute(statement)).scalar()
        if sealed is None:
            raise destroyed(ref)
        plain = json.loads(self._sealer.open(ref.organization_id, sealed, place_of(ref)))
        return {name: SecretStr(value) for name, value in plain.items()}

    async def newest(self, organization_id: str, integration_id: str) -> CredentialRef | None:
        """Return the newest version, None when there is none."""
        mine = (credentials.c.organization_id == organization_id) & (credentials.c.integration_id == integration_id)
        async with self._database.begin() as connection:
            version = (await connection.execute(select(func.max(credentials.c.version)).where(mine))).scalar()
        if version is None:
            return None
        return CredentialRef(organization_id=organization_id, integration_id=integration_id, version=version)

    async def drop(self, ref: CredentialRef) -> None:
        """Destroy one version."""
        statement = delete(credentials).where(
            credentials.c.organization_id == ref.organization_id,
            credentials.c.integration_id == ref.integration_id,
            credentials.c.version == ref.version,
        )
        async with self._database.begin() as connection:
            await connection.execute(statement)

    async def destroy(self, organization_id: str, integration_id: str) -> int:
        """Destroy every version and return how many there were."""
        statement = delete(credentials).where(
            credentials.c.organization_id == organization_id, credentials.c.integration_id == integration_id
        )
        async with self._database.begin() as connection:
            return (await connection.execute(statement)).rowcount
