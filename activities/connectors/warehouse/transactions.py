"""The transaction of a session that sends its statements one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from contracts.errors import WedSyncError


class Session(Protocol):
    """What runs statements until it is closed."""

    def run(self, operation: str, statement: str) -> Any:
        """Run one statement."""

    def close(self) -> None:
        """End the session, and with it what is open."""


@contextmanager
def committed(session: Session, operation: str, noun: str = "") -> Iterator[None]:
    """Commit what the block did, or roll all of it back.

    Args:
        session: runs the three statements.
        operation: their name in errors.
        noun: follows `BEGIN`, `COMMIT` and `ROLLBACK` where the warehouse wants a word there.

    Raises:
        OutcomeUnknown: the answer to the commit was lost.
    """
    begin, commit, rollback = (f"{verb} {noun}".rstrip() for verb in ("BEGIN", "COMMIT", "ROLLBACK"))
    session.run(operation, begin)
    try:
        yield
    except BaseException:
        try:
            session.run(operation, rollback)
        except WedSyncError:
            session.close()
        raise
    session.run(operation, commit)
