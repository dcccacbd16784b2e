"""An admission that counts what it is asked for, and refuses when the test says so."""

from __future__ import annotations

from contracts.errors import RateLimited


class Counting:
    """Counts admitted requests.

    Args:
        room: how many it admits before it refuses.
    """

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.calls = 0

    async def admit(self, calls: int = 1) -> None:
        """Count, or refuse with a second's wait."""
        if self.calls + calls > self.room:
            raise RateLimited("at_the_limit", "The test admits no more.", retry_after_s=1.0)
        self.calls += calls

    async def give_back(self, calls: int) -> None:
        """Uncount."""
        self.calls -= calls
