"""Who says whether a vendor may be called now."""

from __future__ import annotations

from typing import Protocol


class Admission(Protocol):
    """The limits of one connection, shared by every worker."""

    async def admit(self, calls: int = 1) -> None:
        """Count vendor requests that are about to be made.

        Raises:
            RateLimited: they would be too many now; `retry_after_s` says when they are not.
            Transient: the vendor is given time to recover.
        """
        ...

    async def give_back(self, calls: int) -> None:
        """Uncount requests that were admitted and not made."""
        ...


class Unlimited:
    """Admits every request; for connections that no limit is known of."""

    async def admit(self, calls: int = 1) -> None:
        """Let the requests pass."""

    async def give_back(self, calls: int) -> None:
        """Uncount nothing."""


UNLIMITED = Unlimited()
