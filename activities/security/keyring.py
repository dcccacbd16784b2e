"""The master keys of a process: the newest seals, every one of them opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from activities.security.envelope import DerivingKey, MasterKey
from activities.security.key_files import KeyFiles, Signature
from contracts.errors import Owner, Transient


class MasterKeys(Protocol):
    """Where records find the master key that wraps their own."""

    def fetch(self, key_id: str | None = None) -> MasterKey:
        """Return the key with this id, the newest when absent."""
        ...

    def every(self) -> Sequence[MasterKey]:
        """Return all keys that are accepted, the newest first."""
        ...


class RootKeys(Protocol):
    """Where payloads, staged files and fingerprints find the secret from which their keys are derived."""

    def held(self, key_id: str | None = None) -> DerivingKey | None:
        """Return the key with this id, the newest when absent, None where the store has to be asked."""
        ...

    def fetch(self, key_id: str | None = None) -> DerivingKey:
        """Return the key with this id, the newest when absent; it may wait for the store."""
        ...

    def eldest(self) -> DerivingKey:
        """Return the first key, under which fingerprints stay comparable for ever."""
        ...


class KeyRing:
    """Master keys from files, which are read again when they change, or given ones, which stay.

    Args:
        files: where the keys lie; the newest is generated where there is none.
        given: the keys themselves, the newest first.
    """

    def __init__(self, files: KeyFiles | None = None, given: Sequence[MasterKey] = ()) -> None:
        self._files = files
        self._signature: Signature = ()
        self._keys = list(given)
        if files is not None:
            files.generate()
        self.every()

    def every(self) -> Sequence[MasterKey]:
        """Return all keys that are accepted, the newest first.

        Raises:
            Permanent: a changed file is not private, or holds no key.
        """
        if self._files is not None:
            self._renew(self._files)
        return self._keys

    def _renew(self, files: KeyFiles) -> None:
        # Taken before the keys are read: a file that changes in between is read again.
        signature = files.signature()
        # A running process outlives the loss of its file: it neither forgets the key nor invents another.
        if signature != self._signature and signature[0] is not None:
            self._keys, self._signature = list(files.read()), signature

    def fetch(self, key_id: str | None = None) -> MasterKey:
        """Return the key with this id, the newest when absent.

        Raises:
            Transient: this process does not hold it.
        """
        keys = self.every()
        for key in keys if key_id is not None else keys[:1]:
            if key_id in {None, key.key_id()}:
                return key
        raise Transient(
            "master_key_not_held",
            f"A record is sealed under the master key {key_id}, which this process does not hold.",
            owner=Owner.OPERATOR,
            action="Put that key into WEDSYNC_MASTER_KEY_PREVIOUS or master.key.previous; what waits goes on then.",
        )
