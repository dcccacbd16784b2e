"""The steps of a rotation of the master key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from temporalio import activity

from activities.security.keyring import MasterKeys
from activities.storage.master_keys import KnownKey
from activities.storage.root_keys import StoredRootKeys
from activities.storage.sealed_rows import SEALED_TABLES, SealedRows
from contracts.errors import InvalidInput, Owner, Transient
from contracts.keys import (
    KeysRetired,
    RetireKeys,
    RewrapRows,
    RotateKeysInput,
    RotationBegun,
    RowCursor,
    RowsRewrapped,
)

PAGE = 200
"""Rows in one transaction: short enough that other writers do not wait."""


class Keys:
    """The activities of `RotateKeys`.

    Args:
        masters: the master keys of this process.
        roots: the root keys.
        rows: the sealed rows.
    """

    def __init__(self, masters: MasterKeys, roots: StoredRootKeys, rows: SealedRows) -> None:
        self._masters = masters
        self._roots = roots
        self._rows = rows

    @activity.defn(name="keys.begin")
    async def begin(self, request: RotateKeysInput) -> RotationBegun:
        """Make a root key for the new master key and name the master keys before it. Idempotent: yes.

        Raises:
            Transient: this worker's newest master key is another one.
            InvalidInput: the key is retired, or not the newest there is.
        """
        self._expect(request.key_id)
        await asyncio.to_thread(self._roots.eldest)
        known = await self._rows.known()
        live = {key_id for key_id, key in known.items() if not key.retired}
        _refuse_older(known[request.key_id], [known[key_id] for key_id in live])
        await asyncio.to_thread(self._roots.renew)
        used = {key_id for found in (await self._rows.counts()).values() for key_id in found if key_id}
        return RotationBegun(before=sorted((used | live) - {request.key_id}))

    @activity.defn(name="keys.rewrap")
    async def rewrap(self, step: RewrapRows) -> RowsRewrapped:
        """Bring the next rows under the new master key. Idempotent: yes, row by row.

        Raises:
            Transient: this worker's newest master key is another one, or it does not hold an older one.
        """
        self._expect(step.key_id)
        progress = _resumed(step)
        for _ in range(0, step.rows, PAGE):
            progress = await self._page(progress)
            if progress.cursor is None:
                break
            activity.heartbeat(progress)
        return progress

    @activity.defn(name="keys.retire")
    async def retire(self, request: RetireKeys) -> KeysRetired:
        """Retire the keys before, unless a record is not under the new one. Idempotent: yes.

        Raises:
            Transient: this worker's newest master key is another one.
        """
        self._expect(request.key_id)
        records, left = await self._rows.retire(request.before, request.key_id)
        return KeysRetired(records=records, left=left)

    async def _page(self, progress: RowsRewrapped) -> RowsRewrapped:
        cursor = progress.cursor or RowCursor(table=SEALED_TABLES[0].name)
        position = [sealed.name for sealed in SEALED_TABLES].index(cursor.table)
        page = await self._rows.rewrap(SEALED_TABLES[position], cursor.key or None, PAGE)
        following: RowCursor | None = None
        if page.last is not None:
            following = RowCursor(table=cursor.table, key=list(page.last))
        elif position + 1 < len(SEALED_TABLES):
            following = RowCursor(table=SEALED_TABLES[position + 1].name)
        return RowsRewrapped(cursor=following, rewrapped=progress.rewrapped + page.rewrapped)

    def _expect(self, key_id: str) -> None:
        if self._masters.fetch().key_id() != key_id:
            raise Transient(
                "master_key_not_newest",
                "This worker still seals with another master key than the one that is rotated to.",
                owner=Owner.OPERATOR,
                action="Give every worker the new key as its newest; the rotation goes on by itself then.",
            )


def _refuse_older(wanted: KnownKey, live: Sequence[KnownKey]) -> None:
    if wanted.retired or any(key.since > wanted.since for key in live):
        raise InvalidInput(
            "master_key_not_newest",
            "This master key is retired, or some process has a newer one.",
            owner=Owner.OPERATOR,
            action="Rotate to the newest key, or to another one that was never used.",
        )


def _resumed(step: RewrapRows) -> RowsRewrapped:
    details = activity.info().heartbeat_details
    return RowsRewrapped.model_validate(details[0]) if details else RowsRewrapped(cursor=step.cursor)
