"""Keys for the personal values of an organisation's loads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from activities.security import fields
from activities.security.envelope import DerivingKey
from activities.storage.subject_keys import SubjectKeys

KeysOf = Callable[[Sequence[str]], Mapping[str, bytes | None]]
"""Subjects' names -> their keys; blocks."""

_PATIENCE_S = 300


class Protection:
    """Makes and opens what stands in the place of personal values.

    Args:
        subjects: the subjects' keys.
        root: the eldest root key, under which tokens stay the same for ever.
    """

    def __init__(self, subjects: SubjectKeys, root: DerivingKey) -> None:
        self._subjects = subjects
        self._root = root

    def of(self, organization_id: str) -> OrganizationSealing:
        """Return the sealing of an organisation, to be used in a thread beside the running loop."""
        loop = asyncio.get_running_loop()

        def keys(subjects: Sequence[str]) -> Mapping[str, bytes | None]:
            asked = asyncio.run_coroutine_threadsafe(self._subjects.of(organization_id, subjects), loop)
            return asked.result(_PATIENCE_S)

        return OrganizationSealing(self._token_key(organization_id), keys)

    async def opened(self, organization_id: str, subject: str, field: str, box: str) -> str | None:
        """Return the plain text of a box, None when the subject's key is destroyed.

        Raises:
            Permanent: it is no box of this subject and field.
        """
        name = fields.token(self._token_key(organization_id), subject)
        key = (await self._subjects.of(organization_id, [name]))[name]
        return None if key is None else fields.opened(key, field, box)

    async def forget(self, organization_id: str, subject: str) -> None:
        """Destroy a subject's key: no box of theirs opens again, and none is made again. Idempotent: yes."""
        await self._subjects.destroy(organization_id, fields.token(self._token_key(organization_id), subject))

    def _token_key(self, organization_id: str) -> bytes:
        return self._root.derive(f"field-tokens/{organization_id}")


class OrganizationSealing:
    """Fulfils `activities.transform.protection.Sealing`; the store knows subjects by their tokens alone."""

    def __init__(self, token_key: bytes, keys: KeysOf) -> None:
        self._token_key = token_key
        self._keys = keys

    def tokens(self, values: Sequence[str | None]) -> Sequence[str | None]:
        """Return the token of each value."""
        return fields.tokens(self._token_key, values)

    def boxes(self, subjects: Sequence[str | None], field: str, values: Sequence[str | None]) -> Sequence[str | None]:
        """Return each value sealed under its subject's key, nothing where that key is destroyed."""
        names = fields.tokens(self._token_key, subjects)
        keys = self._keys(sorted({name for name in names if name is not None}))
        return fields.boxes(keys, names, field, values)
