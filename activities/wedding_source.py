"""Reading weddings at their source."""

from __future__ import annotations

from collections.abc import Callable

from temporalio import activity

from activities.ports.sources import SourceConnector
from contracts.wedding import WeddingEvent, WeddingKey


class WeddingSource:
    """The verbs of the source of weddings.

    Args:
        wedsync: opens the source of an organisation.
    """

    def __init__(self, wedsync: Callable[[str], SourceConnector]) -> None:
        self._wedsync = wedsync

    @activity.defn(name="timeline.pull")
    async def pull(self, wedding: WeddingKey) -> WeddingEvent:
        """Return a wedding as its source has it now.

        Idempotent: yes, it changes nothing; the same wedding is restated by the same event.

        Raises:
            InvalidInput: no such wedding, or this installation has no source.
            AuthExpired: the source refuses the token.
            Transient: the source does not answer.
        """
        return await self._wedsync(wedding.organization_id).wedding(wedding.wedding_id)
