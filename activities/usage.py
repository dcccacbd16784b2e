"""Which connections an activity spoke through, so that its end can be told to those who look after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from activities.storage.connections import StoredConnection
from contracts.errors import WedSyncError


class Watcher(Protocol):
    """Learns how activities that used a connection ended."""

    async def ended(self, connection: StoredConnection, error: WedSyncError | None) -> WedSyncError | None:
        """Take note of an end.

        Args:
            connection: as it was when the activity opened it.
            error: what the activity raised or met there, None where it succeeded.

        Returns:
            The error to raise in the place of `error`; None keeps it.
        """
        ...


@dataclass
class Use:
    """What one activity does with connections."""

    connections: list[StoredConnection] = field(default_factory=list)
    met: dict[tuple[str, str], WedSyncError] = field(default_factory=dict)
    """Organisation and integration -> an error that the activity took for a finding instead of raising it."""
    holds: dict[tuple[str, str], object] = field(default_factory=dict)
    leaving: ExitStack = field(default_factory=ExitStack)

    def error_of(self, connection: StoredConnection) -> WedSyncError | None:
        """Return the error that the activity met at a connection."""
        return self.met.get(_identity(connection))


_use: ContextVar[Use | None] = ContextVar("use_of_connections", default=None)


@contextmanager
def collecting() -> Iterator[Use]:
    """Yield what `note`, `met` and `hold` fill while the block runs, tasks begun in it included."""
    use = Use()
    token = _use.set(use)
    try:
        with use.leaving:
            yield use
    finally:
        _use.reset(token)


def note(connection: StoredConnection) -> None:
    """Say that the running activity speaks through a connection; said twice, it counts once."""
    use = _use.get()
    if use is not None and not any(one.key == connection.key for one in use.connections):
        use.connections.append(connection)


def met(connection: StoredConnection, error: WedSyncError) -> None:
    """Say that the running activity met an error at a connection and goes on."""
    use = _use.get()
    if use is not None:
        use.met[_identity(connection)] = error


def hold(organization_id: str, integration_id: str, take: Callable[[], AbstractContextManager[object]]) -> None:
    """Enter `take()` until the running activity ends, once per connection; nothing happens outside an activity."""
    use = _use.get()
    if use is not None and (organization_id, integration_id) not in use.holds:
        use.holds[organization_id, integration_id] = use.leaving.enter_context(take())


def held(organization_id: str, integration_id: str) -> object | None:
    """Return what the running activity holds of a connection, None when it holds nothing."""
    use = _use.get()
    return None if use is None else use.holds.get((organization_id, integration_id))


def _identity(connection: StoredConnection) -> tuple[str, str]:
    return connection.configuration.organization_id, connection.configuration.integration_id
