"""Answers by idempotency key, so that a repeated request is answered and not done again."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Column, ColumnElement, DateTime, Integer, LargeBinary, String, Table, delete, select, update

from activities.security.envelope import DerivingKey
from activities.security.keyring import MasterKeys
from activities.security.records import Sealer
from activities.storage.database import Database, metadata
from activities.storage.master_keys import refuse_retired

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer),
    Column("sealed", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False, index=True),
)

KEPT_FOR = timedelta(days=7)
EARLIER = "idempotency"
"""The purpose under which records without a key id were sealed."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer worth repeating."""

    status: int
    headers: Mapping[str, str]
    body: str = field(repr=False)


@dataclass(frozen=True)
class Mismatch:
    """The key was used for another request."""


class IdempotencyStore:
    """Requests are known by a keyed fingerprint, answers are sealed: both may hold personal data.

    A request whose answer was never stored, because its process died, is done again; the workflow id
    makes that harmless.

    Args:
        database: the store.
        keys: the master keys, which seal answers.
        root: returns the key of fingerprints, which stays the same for as long as they are compared.
    """

    def __init__(self, database: Database, keys: MasterKeys, root: Callable[[], DerivingKey]) -> None:
        self._database = database
        self._sealer = Sealer(keys, EARLIER)
        self._root = root

    def fingerprint(self, organization_id: str, request: bytes) -> str:
        """Return the fingerprint of a request in its canonical form."""
        return hmac.new(self._root().derive(f"{EARLIER}/{organization_id}"), request, hashlib.sha256).hexdigest()

    async def begin(self, organization_id: str, key: str, fingerprint: str) -> Answer | Mismatch | None:
        """Claim a key for a request; return its stored answer, a mismatch, or None when it is to be done.

        Idempotent: yes, the first request owns the key.
        """
        row = {
            "organization_id": organization_id,
            "key": key,
            "fingerprint": fingerprint,
            "created_at": datetime.now(UTC),
        }
        claim = self._database.insert(idempotency_keys).values(row).on_conflict_do_nothing()
        expired = delete(idempotency_keys).where(idempotency_keys.c.created_at < datetime.now(UTC) - KEPT_FOR)
        async with self._database.begin() as connection:
            await connection.execute(expired)
            await connection.execute(claim)
            found = (await connection.execute(select(idempotency_keys).where(_mine(organization_id, key)))).mappings()
            stored = found.one()
        if not hmac.compare_digest(stored["fingerprint"], fingerprint):
            return Mismatch()
        if stored["sealed"] is None:
            return None
        plain = json.loads(self._sealer.open(organization_id, stored["sealed"], place_of(organization_id, key)))
        return Answer(stored["status"], plain["headers"], plain["body"])

    async def complete(self, organization_id: str, key: str, answer: Answer) -> None:
        """Store the answer; an answer already there stays. Idempotent: yes."""
        plain = json.dumps({"headers": dict(answer.headers), "body": answer.body}).encode()
        sealed = self._sealer.seal(organization_id, plain, place_of(organization_id, key))
        statement = (
            update(idempotency_keys)
            .where(_mine(organization_id, key), idempotency_keys.c.sealed.is_(None))
            .values(status=answer.status, sealed=sealed)
        )
        async with self._database.begin() as connection:
            await connection.execute(statement)
            await refuse_retired(self._database, connection, sealed)

    async def release(self, organization_id: str, key: str) -> None:
        """Free a key whose request was refused. Idempotent: yes; a stored answer stays."""
        statement = delete(idempotency_keys).where(_mine(organization_id, key), idempotency_keys.c.sealed.is_(None))
        async with self._database.begin() as connection:
            await connection.execute(statement)


def _mine(organization_id: str, key: str) -> ColumnElement[bool]:
    return (idempotency_keys.c.organization_id == organization_id) & (idempotency_keys.c.key == key)


def place_of(organization_id: str, key: str) -> str:
    """Return what a sealed answer is bound to: it opens nowhere else."""
    return f"idempotency|{organization_id}|{key}"
