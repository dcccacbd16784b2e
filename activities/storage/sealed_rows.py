"""Every sealed row of the store, whatever its table: counted by master key, and brought under the newest one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Table, and_, case, func, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.ports.secrets import place_of as credential_place
from activities.security.keyring import MasterKeys
from activities.security.records import HEAD_BYTES, MAGIC, Sealer, head
from activities.storage import (
    alert_routes,
    authorizations,
    automations,
    connections,
    credentials,
    dead_letters,
    escalation_policies,
    idempotency,
    preferences,
    root_keys,
    subject_keys,
    templates,
)
from activities.storage.database import Database
from activities.storage.master_keys import KnownKey, known_keys, retire
from contracts.errors import Owner, Permanent
from contracts.integration import CredentialRef

Key = Sequence[str | int]
"""A row's primary key."""
_Values = Mapping[str, Any]


@dataclass(frozen=True)
class SealedTable:
    """A table with a column `sealed`: whom a row belongs to, and the place it is bound to."""

    table: Table
    earlier: str
    owner: Callable[[_Values], str]
    place: Callable[[_Values], str]

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def sealed(self) -> ColumnElement[bytes]:
        """The sealed column."""
        return self.table.c.sealed

    def key_of(self, row: _Values) -> Key:
        """Return a row's primary key."""
        return [row[column.name] for column in self.table.primary_key.columns]


def _organization(row: _Values) -> str:
    return str(row["organization_id"])


def _credential(row: _Values) -> str:
    return credential_place(
        CredentialRef(
            organization_id=row["organization_id"], integration_id=row["integration_id"], version=row["version"]
        )
    )


SEALED_TABLES = (
    # The first: nothing derived from a root key opens without it.
    SealedTable(
        root_keys.root_keys,
        root_keys.EARLIER,
        lambda _: root_keys.OWNER,
        lambda row: root_keys.place_of(row["generation"]),
    ),
    SealedTable(
        connections.connections,
        connections.EARLIER,
        _organization,
        lambda row: connections.place_of(row["organization_id"], row["integration_id"]),
    ),
    SealedTable(credentials.credentials, credentials.EARLIER, _organization, _credential),
    SealedTable(
        idempotency.idempotency_keys,
        idempotency.EARLIER,
        _organization,
        lambda row: idempotency.place_of(row["organization_id"], row["key"]),
    ),
    SealedTable(
        alert_routes.alert_routes,
        alert_routes.EARLIER,
        _organization,
        lambda row: alert_routes.place_of(row["organization_id"]),
    ),
    SealedTable(
        authorizations.authorizations,
        authorizations.EARLIER,
        _organization,
        lambda row: authorizations.place_of(row["state_digest"]),
    ),
    SealedTable(
        automations.automation_definitions,
        automations.EARLIER,
        _organization,
        lambda row: automations.place_of(row["organization_id"], row["definition_id"], row["version"]),
    ),
    SealedTable(
        escalation_policies.escalation_policies,
        escalation_policies.EARLIER,
        _organization,
        lambda row: escalation_policies.place_of(row["organization_id"], row["policy_id"]),
    ),
    SealedTable(
        preferences.preferences,
        preferences.EARLIER,
        _organization,
        lambda row: preferences.place_of(row["organization_id"], row["contact"]),
    ),
    SealedTable(
        subject_keys.subject_keys,
        subject_keys.EARLIER,
        _organization,
        lambda row: subject_keys.place_of(row["organization_id"], row["subject"]),
    ),
    SealedTable(
        dead_letters.dead_letters,
        dead_letters.EARLIER,
        _organization,
        lambda row: dead_letters.place_of(row["organization_id"], row["letter_id"]),
    ),
    SealedTable(
        templates.templates,
        templates.EARLIER,
        _organization,
        lambda row: templates.place_of(row["organization_id"], row["name"], row["version"]),
    ),
)


@dataclass(frozen=True)
class Page:
    """How far one step came: the last row seen, None at the table's end, and how many it rewrapped."""

    last: Key | None
    rewrapped: int


class SealedRows:
    """The rows of all sealed tables.

    Args:
        database: the store.
        keys: the master keys.
    """

    def __init__(self, database: Database, keys: MasterKeys) -> None:
        self._database = database
        self._keys = keys

    async def rewrap(self, sealed: SealedTable, after: Key | None, limit: int) -> Page:
        """Bring the next rows after a key under the newest master key.

        Idempotent: yes. A row that is written meanwhile stays as it was written; the next count shows whether it needs
        another pass.
        """
        sealer = Sealer(self._keys, sealed.earlier)
        wanted = and_(sealed.sealed.is_not(None), _head(sealed.sealed) != head(self._keys.fetch().key_id()))
        columns = tuple_(*sealed.table.primary_key.columns)
        statement = select(sealed.table).where(wanted).order_by(*sealed.table.primary_key.columns).limit(limit)
        if after is not None:
            statement = statement.where(columns > tuple_(*after))
        async with self._database.begin() as connection:
            rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
        changed = 0
        async with self._database.begin() as connection:
            for row in rows:
                new = _rewrapped(sealer, sealed, row)
                mine = columns == tuple_(*sealed.key_of(row))
                swap = update(sealed.table).where(mine, sealed.sealed == row["sealed"]).values(sealed=new)
                changed += (await connection.execute(swap)).rowcount
        return Page(sealed.key_of(rows[-1]) if len(rows) == limit else None, changed)

    async def counts(self) -> dict[str, Counter[str]]:
        """Return the number of rows by table and by master key id, which is empty for rows from before key ids."""
        async with self._database.begin() as connection:
            return {sealed.name: await _count(connection, sealed) for sealed in SEALED_TABLES}

    async def known(self) -> dict[str, KnownKey]:
        """Return every master key that was some process's newest, by its id."""
        async with self._database.begin() as connection:
            return await known_keys(connection)

    async def retire(self, key_ids: Sequence[str], newest: str) -> tuple[int, int]:
        """Retire master keys unless a row is not under the newest; return all rows and those that are not.

        Idempotent: yes.
        """
        async with self._database.begin() as connection:
            for key_id in key_ids:
                # Before the count: from here on no record can be committed under it.
                await retire(self._database, connection, key_id)
            counted = [await _count(connection, sealed) for sealed in SEALED_TABLES]
            records = sum(found.total() for found in counted)
            left = records - sum(found[newest] for found in counted)
            if left:
                await connection.rollback()
            return records, left


def _rewrapped(sealer: Sealer, sealed: SealedTable, row: _Values) -> bytes:
    try:
        return sealer.rewrapped(sealed.owner(row), row["sealed"], sealed.place(row))
    except Permanent as error:
        raise Permanent(
            "sealed_row_unreadable",
            f"A row of the table {sealed.name} does not open under any master key that is accepted here.",
            owner=Owner.OPERATOR,
            action="Restore that row from a backup, or delete it, then rotate again.",
            evidence={"table": sealed.name, "row": list(sealed.key_of(row))},
        ) from error


def _head(column: ColumnElement[bytes]) -> ColumnElement[bytes]:
    return func.substr(column, 1, HEAD_BYTES, type_=LargeBinary)


async def _count(connection: AsyncConnection, sealed: SealedTable) -> Counter[str]:
    marked = func.substr(sealed.sealed, 1, len(MAGIC), type_=LargeBinary) == literal(MAGIC, LargeBinary)
    key = case((marked, _head(sealed.sealed)), else_=literal(MAGIC, LargeBinary)).label("head")
    statement = select(key, func.count()).where(sealed.sealed.is_not(None)).group_by(key)
    rows = (await connection.execute(statement)).all()
    return Counter({bytes(found)[len(MAGIC) :].hex(): count for found, count in rows})
