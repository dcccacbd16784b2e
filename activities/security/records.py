"""Sealed records: a key of their own, wrapped under their organisation's, which comes from a master key.

A sealed record is `WSR1`, the master key's id, the wrapped record key, then the content under that key. Both boxes
are bound to the record's place: organisation, type, id and version. Rotating the master key changes the first box only.
"""

from __future__ import annotations

import secrets

from activities.security.envelope import KEY_BYTES, KEY_ID_BYTES, NONCE_BYTES, MasterKey, seal, unreadable, unseal
from activities.security.keyring import MasterKeys
from contracts.errors import Permanent

MAGIC = b"WSR1"
HEAD_BYTES = len(MAGIC) + KEY_ID_BYTES
_TAG_BYTES = 16
_CONTENT = HEAD_BYTES + NONCE_BYTES + KEY_BYTES + _TAG_BYTES


def head(key_id: str) -> bytes:
    """Return how every record that is sealed under this master key begins."""
    return MAGIC + bytes.fromhex(key_id)


def key_id_of(sealed: bytes) -> str | None:
    """Return the id of the master key a record is sealed under, None for one from before records had it."""
    return sealed[len(MAGIC) : HEAD_BYTES].hex() if sealed.startswith(MAGIC) else None


class Sealer:
    """Seals the records of one type.

    Args:
        keys: the master keys.
        earlier: the purpose under whose key, `<earlier>/<organisation>`, records without a key id were sealed.
    """

    def __init__(self, keys: MasterKeys, earlier: str) -> None:
        self._keys = keys
        self._earlier = earlier

    def seal(self, organization_id: str, plain: bytes, place: str) -> bytes:
        """Return the record, sealed under the newest master key."""
        record_key = secrets.token_bytes(KEY_BYTES)
        return self._wrapped(organization_id, record_key, place) + seal(record_key, plain, place)

    def open(self, organization_id: str, sealed: bytes, place: str) -> bytes:
        """Return the plain record.

        Raises:
            Transient: this process does not hold the master key.
            Permanent: the record was changed or moved.
        """
        if key_id_of(sealed) is None:
            return self._open_earlier(organization_id, sealed, place)
        return unseal(self._record_key(organization_id, sealed, place), sealed[_CONTENT:], place)

    def rewrapped(self, organization_id: str, sealed: bytes, place: str) -> bytes:
        """Return the record with its key wrapped under the newest master key; its content stays as it is.

        Raises:
            Transient: this process does not hold the master key.
            Permanent: the record was changed or moved.
        """
        if key_id_of(sealed) is None:
            return self.seal(organization_id, self._open_earlier(organization_id, sealed, place), place)
        record_key = self._record_key(organization_id, sealed, place)
        return self._wrapped(organization_id, record_key, place) + sealed[_CONTENT:]

    def _wrapped(self, organization_id: str, record_key: bytes, place: str) -> bytes:
        master = self._keys.fetch()
        box = seal(master.organization_key(organization_id), record_key, _wrap_place(place, master.key_id()))
        return head(master.key_id()) + box

    def _record_key(self, organization_id: str, sealed: bytes, place: str) -> bytes:
        master = self._keys.fetch(key_id_of(sealed))
        box = sealed[HEAD_BYTES:_CONTENT]
        return unseal(master.organization_key(organization_id), box, _wrap_place(place, master.key_id()))

    def _open_earlier(self, organization_id: str, sealed: bytes, place: str) -> bytes:
        for master in self._keys.every():
            opened = _opened(master, f"{self._earlier}/{organization_id}", sealed, place)
            if opened is not None:
                return opened
        raise unreadable()


def _opened(master: MasterKey, purpose: str, sealed: bytes, place: str) -> bytes | None:
    try:
        return unseal(master.derive(purpose), sealed, place)
    except Permanent:
        return None


def _wrap_place(place: str, key_id: str) -> str:
    return f"{place}|{key_id}"
