"""Bringing the store's records under a new master key."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.base import Contract, ShortText

KeyId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
"""The public fingerprint of a key."""


class RowCursor(Contract):
    """The last row that was seen: its table, and its primary key where the table is not at its end."""

    table: ShortText
    key: Annotated[list[ShortText | int], Field(max_length=8)] = []


class RotateKeysInput(Contract):
    """Bring every record under this master key, and retire those that sealed records before.

    The fields after the first say how far a run came that continued as new.
    """

    key_id: KeyId
    cursor: RowCursor | None = None
    passes: int = 0
    rewrapped: int = 0
    before: Annotated[list[KeyId], Field(max_length=100)] = []


class RotateKeysResult(Contract):
    """What was done: every record is under this key, and the retired ones seal nothing any more."""

    key_id: KeyId
    records: int
    rewrapped: int
    """Of the records, at least so many by this run; what a killed worker had not reported is not counted."""
    retired: Annotated[list[KeyId], Field(max_length=100)] = []


class RotationBegun(Contract):
    """The master keys, other than the new one, that have sealed records and are not retired."""

    before: Annotated[list[KeyId], Field(max_length=100)] = []


class RewrapRows(Contract):
    """One step: so many rows after a cursor."""

    key_id: KeyId
    cursor: RowCursor | None = None
    rows: int = Field(default=5_000, ge=1, le=100_000)


class RowsRewrapped(Contract):
    """How far a step came; no cursor when all tables are at their end."""

    cursor: RowCursor | None = None
    rewrapped: int = 0


class RetireKeys(Contract):
    """Retire master keys, unless a record is not under the new one."""

    key_id: KeyId
    before: Annotated[list[KeyId], Field(max_length=100)] = []


class KeysRetired(Contract):
    """How many records there are, and how many are not under the new key; nothing is retired unless none is left."""

    records: int = 0
    left: int = 0


class KeyUse(Contract):
    """A master key: whether this process holds it, whether it is retired, and how many records it seals, by table."""

    key_id: ShortText
    """Empty for records from before key ids."""
    newest: bool = False
    held: bool = False
    retired: bool = False
    rows: Annotated[dict[ShortText, int], Field(max_length=50)] = {}


class KeysStatus(Contract):
    """Every master key that this process holds or that a record is under."""

    keys: Annotated[list[KeyUse], Field(max_length=200)] = []
