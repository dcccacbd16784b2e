"""Days that were changed in a booking system, as news for the weddings whose bookings they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from temporalio import activity
from temporalio.client import RPCError
from temporalio.service import RPCStatusCode

from activities.ports.bookings import BookingRow, Row
from activities.storage.booking_mirror import BookingMirror
from activities.storage.ledger import EffectLedger
from contracts.errors import InvalidInput
from contracts.facts import AtOnce
from contracts.integration import IntegrationConfiguration
from contracts.names import effect_id, wedding_workflow_id
from contracts.wedding import WeddingEvent, WeddingEventType

_SETTING = "atOnce"


@dataclass(frozen=True)
class News:
    """What happened to a wedding."""

    organization_id: str
    wedding_id: str
    event: WeddingEvent


class BookingNews:
    """Finds out which weddings a reading of the booking system is news for.

    An integration takes part that declares, by its setting `atOnce`, whose word stands when its bookings and another
    system are changed at once: `source_wins`, `newest` or `manual`. The news bear the integration as their origin, so
    that the wedding does not write them back, and are marked as read, so that what we wrote there is no news. A day
    that was set back there before any reading saw what we wrote is not noticed.

    Args:
        ledger: knows for which wedding a booking was written to; one that never was is nobody's.
    """

    def __init__(self, ledger: EffectLedger) -> None:
        self._ledger = ledger

    async def of(
        self, configuration: IntegrationConfiguration, mirror: BookingMirror, rows: Sequence[Row]
    ) -> list[News]:
        """Return the news of rows that the mirror has not taken over yet.

        Raises:
            InvalidInput: the integration's setting `atOnce` is none of the three.
        """
        at_once = strategy_of(configuration)
        read = {row.booking_id: row for row in rows if isinstance(row, BookingRow) and row.day} if at_once else {}
        known = await mirror.days(list(read)) if read else {}
        moved = [row for booking_id, row in read.items() if known.get(booking_id, row.day) != row.day]
        if not moved:
            return []
        organization_id, integration_id = configuration.organization_id, configuration.integration_id
        weddings = await self._ledger.weddings_of(organization_id, integration_id, [row.booking_id for row in moved])
        return [
            News(organization_id, weddings[row.booking_id][0], _event(integration_id, row, at_once))
            for row in moved
            if len(weddings.get(row.booking_id, [])) == 1
        ]


async def tell(news: News) -> None:
    """Tell a wedding; one that has ended or never began is told nothing.

    Idempotent: yes, by the event's id.
    """
    timeline = activity.client().get_workflow_handle(wedding_workflow_id(news.organization_id, news.wedding_id))
    try:
        await timeline.signal("event", news.event)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def strategy_of(configuration: IntegrationConfiguration) -> AtOnce | None:
    """Return what an integration declares for changes at once, None where it declares nothing.

    Raises:
        InvalidInput: its setting `atOnce` is none of the three.
    """
    told = configuration.connection_config.settings.get(_SETTING)
    if told is None:
        return None
    try:
        return AtOnce(str(told))
    except ValueError:
        raise InvalidInput(
            "at_once_invalid",
            f"The setting {_SETTING} of the integration is none of {', '.join(AtOnce)}.",
            action="Correct it with `wedsync integrations reconfigure FILE`.",
        ) from None


def _event(integration_id: str, row: BookingRow, at_once: AtOnce | None) -> WeddingEvent:
    return WeddingEvent(
        event_id=effect_id(integration_id, row.booking_id, row.version, str(row.day)),
        type=WeddingEventType.MOVED,
        occurred_at=row.changed_at,
        origin=integration_id,
        at_once=at_once,
        is_read=True,
        wedding_date=row.day,
    )
