"""Which connections an activity spoke through, so that its end can be told to those who look after them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from activities.storage.connections import StoredConnection
from contracts.errors import WedSyncError

_used: ContextVar[list[StoredConnection] | None] = ContextVar("connections_used", default=None)


class Watcher(Protocol):
    """Learns how activities that used a connection ended."""

    async def ended(self, connection: StoredConnection, error: WedSyncError | None) -> WedSyncError | None:
        """Take note of an end.

        Args:
            connection: as it was when the activity opened it.
            error: what the activity raised, None where it succeeded.

        Returns:
            The error to raise in the place of `error`; None keeps it.
        """
        ...


@contextmanager
def collecting() -> Iterator[list[StoredConnection]]:
    """Yield the list that `note` fills while the block runs, tasks begun in it included."""
    used: list[StoredConnection] = []
    token = _used.set(used)
    try:
        yield used
    finally:
        _used.reset(token)


def note(connection: StoredConnection) -> None:
    """Say that the running activity speaks through a connection; said twice, it counts once."""
    used = _used.get()
    if used is not None and not any(one.key == connection.key for one in used):
        used.append(connection)
