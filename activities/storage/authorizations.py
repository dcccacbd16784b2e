"""Consents that a tenant has been asked for and has not yet given."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import Column, DateTime, LargeBinary, String, Table, delete, insert

from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import Database, metadata
from activities.storage.master_keys import refuse_retired
from contracts.base import Contract, ShortText
from contracts.integration import IntegrationConfiguration

authorizations = Table(
    "authorizations",
    metadata,
    Column("state_digest", String(64), primary_key=True),
    Column("organization_id", String(64), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
EARLIER = "authorizations"
"""The purpose under which records without a key id would have been sealed."""


class PendingAuthorization(Contract):
    """What is needed to finish a consent; kept sealed."""

    configuration: IntegrationConfiguration
    code_verifier: ShortText = Field(repr=False)
    redirect_uri: ShortText
    client: Annotated[dict[ShortText, ShortText], Field(max_length=2)] = Field(default_factory=dict, repr=False)
    """The tenant's own app, where the file names one."""


class AuthorizationStore:
    """Keeps consents under the digest of their `state`, so that who reads the store cannot finish one."""

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)

    async def put(self, state: str, pending: PendingAuthorization, expires_at: datetime) -> None:
        """Keep a consent until it is taken or expires."""
        organization_id, digest = pending.configuration.organization_id, _digest(state)
        sealed = self._sealer.seal(organization_id, pending.model_dump_json().encode(), place_of(digest))
        async with self._database.begin() as connection:
            await connection.execute(delete(authorizations).where(authorizations.c.expires_at < datetime.now(UTC)))
            await connection.execute(
                insert(authorizations).values(
                    state_digest=digest, organization_id=organization_id, sealed=sealed, expires_at=expires_at
                )
            )
            await refuse_retired(self._database, connection, sealed)

    async def take(self, state: str) -> PendingAuthorization | None:
        """Return the consent and forget it; None when it was never asked for, was taken before, or has expired."""
        digest = _digest(state)
        statement = (
            delete(authorizations)
            .where(authorizations.c.state_digest == digest, authorizations.c.expires_at >= datetime.now(UTC))
            .returning(authorizations.c.organization_id, authorizations.c.sealed)
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        plain = self._sealer.open(row[0], row[1], place_of(digest))
        return PendingAuthorization.model_validate_json(plain)


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def place_of(digest: str) -> str:
    """Return what a sealed consent is bound to: it opens nowhere else."""
    return f"authorization|{digest}"
