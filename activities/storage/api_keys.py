"""API keys: only their digests are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Column, DateTime, String, Table, insert, select, update

from activities.storage.database import Database, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("organization_id", String(64)),
    Column("label", String(64), nullable=False),
    Column("role", String(16), nullable=False, server_default="operator"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
)

_PREFIX = "wsk"
_PARTS = 3


class Role(StrEnum):
    """What a key may do in its organisations: look at runs and states, or also start and change things."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True)
class ApiKey:
    """Who a key speaks for, and as what; no organisation means all of them."""

    key_id: str
    organization_id: str | None
    label: str
    role: Role = Role.OPERATOR

    def may_enter(self, organization_id: str) -> bool:
        """Whether the key's scope holds this organisation."""
        return self.organization_id is None or self.organization_id == organization_id


class ApiKeyStore:
    """Issues and verifies keys of the form `wsk_<id>_<secret>`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def issue(
        self,
        label: str,
        organization_id: str | None = None,
        expires_at: datetime | None = None,
        role: Role = Role.OPERATOR,
    ) -> str:
        """Return a new key; it cannot be read again.

        Args:
            label: an operator's word for it.
            organization_id: its scope, None for all organisations.
            expires_at: when it ends, None for never.
            role: what it may do.
        """
        key_id = secrets.token_hex(6)
        text = f"{_PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
        row = {
            "key_id": key_id,
            "digest": _digest(text),
            "organization_id": organization_id,
            "label": label,
            "role": role.value,
            "created_at": datetime.now(UTC),
            "expires_at": expires_at,
        }
        async with self._database.begin() as connection:
            await connection.execute(insert(api_keys).values(row))
        return text

    async def verify(self, text: str) -> ApiKey | None:
        """Return whom the key speaks for, None when it is unknown, expired or revoked."""
        parts = text.split("_", _PARTS - 1)
        key_id = parts[1] if len(parts) == _PARTS and parts[0] == _PREFIX else ""
        async with self._database.begin() as connection:
            row = (await connection.execute(select(api_keys).where(api_keys.c.key_id == key_id))).mappings().first()
        known = hmac.compare_digest(_digest(text), row["digest"] if row else _digest(""))
        if row is None or not known or row["revoked_at"] is not None:
            return None
        if row["expires_at"] is not None and _utc(row["expires_at"]) <= datetime.now(UTC):
            return None
        return ApiKey(row["key_id"], row["organization_id"], row["label"], Role(row["role"]))

    async def revoke(self, key_id: str) -> None:
        """End a key at once. Idempotent: yes."""
        statement = update(api_keys).where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
        async with self._database.begin() as connection:
            await connection.execute(statement.values(revoked_at=datetime.now(UTC)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _utc(value: datetime) -> datetime:
    """SQLite returns instants without their zone."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value
