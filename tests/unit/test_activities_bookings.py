"""Who is busy and what is free: the mirror, the calendars and everybody's holds, for one organisation only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from activities.access import Access
from activities.bookings import Bookings, hours_of
from activities.ports.bookings import AssignmentRow, BookingRow, SessionRow
from activities.storage.booking_mirror import BookingMirror
from activities.storage.connections import ConnectionStore, StoredConnection
from activities.storage.database import Database, migrate
from activities.storage.slot_holds import SlotHoldStore
from contracts.conflict import BookingConflict
from contracts.errors import InvalidInput
from contracts.integration import IntegrationConfiguration, IntegrationState
from contracts.notification import Slot
from contracts.resource_day import (
    BusySpan,
    FindSlot,
    HoldStatus,
    LookAround,
    RankAlternatives,
    SlotHold,
    resource_day,
)

NOON = datetime(2027, 6, 12, 11, tzinfo=UTC)
DAY = resource_day("o", "tave-main", "ph-9", date(2027, 6, 12), "Europe/London")
WANTED = Slot(resource_id="ph-9", starts_at=NOON, ends_at=NOON + timedelta(hours=8))
CONFLICT = BookingConflict(
    conflict_id="c",
    type="double_booking",
    conflict_date=date(2027, 6, 12),
    duration=480,
    photographer_id="ph-9",
    primary_booking_id="a",
    conflicting_booking_id="b",
)


def stored(organization: str = "o", **settings: Any) -> StoredConnection:
    configuration = IntegrationConfiguration.model_validate(
        {
            "organizationId": organization,
            "integrationId": "tave-main",
            "platform": "tave",
            "connectionConfig": {"timeZone": "Europe/London", **settings},
        }
    )
    return StoredConnection(configuration, IntegrationState.ACTIVE, 1, NOON, None, None, None)


@dataclass
class FakeConnections:
    """One booking system per organisation."""

    async def of_organization(self, organization_id: str) -> list[StoredConnection]:
        return [stored(organization_id)]


@dataclass
class FakeAccess:
    async def stored(self, organization_id: str, integration_id: str) -> StoredConnection:
        return stored(organization_id)

    manifest = staticmethod(Access.manifest)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/wedsync.db"
    migrate(url)
    found = Database(url)
    yield found
    await found.aclose()


@pytest.fixture
def bookings(database: Database) -> Bookings:
    return Bookings(cast("Access", FakeAccess()), cast("ConnectionStore", FakeConnections()), database)


async def mirrored(database: Database, *sessions: tuple[str, str, datetime, float]) -> None:
    """Fill the mirror: booking, resource, begin and hours of each session."""
    mirror = BookingMirror(database, "o", "tave-main")
    for number, (booking, resource, begins, hours) in enumerate(sessions):
        await mirror.put(
            [
                BookingRow(booking, closed=False, version="1"),
                AssignmentRow(f"as-{number}", booking, resource, "photographer"),
                SessionRow(f"s-{number}", booking, begins, begins + timedelta(hours=hours), "Europe/London", True, "1"),
            ],
            NOON,
        )
    await mirror.finished(NOON, whole=True)


def asked(**changes: Any) -> RankAlternatives:
    given = {"day": DAY, "wanted": WANTED, "resource_ids": ["ph-9", "ph-7"], "now": NOON - timedelta(days=100)}
    return RankAlternatives(**{**given, **changes})


async def test_a_colleague_who_is_free_is_offered_and_one_who_is_held_elsewhere_is_not(
    bookings: Bookings, database: Database
):
    await mirrored(database, ("a", "ph-9", NOON, 8), ("z", "ph-7", NOON + timedelta(days=40), 8))
    free = (await bookings.rank(asked())).alternatives
    other = resource_day("o", "tave-main", "ph-7", date(2027, 6, 12), "Europe/London")
    hold = SlotHold(
        hold_id="h",
        booking_ids=["q"],
        slot=WANTED.model_copy(update={"resource_id": "ph-7"}),
        since=NOON,
        status=HoldStatus.CONFIRMED,
    )
    await SlotHoldStore(database).replace(other, [hold])
    held = (await bookings.rank(asked())).alternatives
    at_noon = {one.starts_at for one in free if one.photographer_id == "ph-7"}
    assert at_noon == {NOON}
    assert all(one.photographer_id != "ph-7" for one in held)


async def test_what_a_calendar_shows_is_not_offered(bookings: Bookings, database: Database):
    await mirrored(database, ("a", "ph-9", NOON, 8))
    whole = Slot(resource_id="ph-7", starts_at=DAY.opens_at, ends_at=DAY.closes_at)
    found = await bookings.rank(asked(calendar=[BusySpan(slot=whole)]))
    assert all(one.photographer_id != "ph-7" for one in found.alternatives)


async def test_another_organisation_s_bookings_take_nobody_s_time(bookings: Bookings, database: Database):
    await mirrored(database, ("a", "ph-9", NOON, 8))
    stranger = resource_day("other", "tave-main", "ph-9", date(2027, 6, 12), "Europe/London")
    found = await bookings.rank(asked(day=stranger))
    assert found.taken == []


async def test_a_conflict_is_about_the_session_of_that_day_else_about_the_day_s_first_hours(
    bookings: Bookings, database: Database
):
    request = FindSlot(organization_id="o", integration_id="tave-main", conflict=CONFLICT)
    blind = await bookings.locate(request)
    await mirrored(database, ("b", "ph-9", NOON, 2), ("a", "ph-9", NOON + timedelta(days=30), 2))
    seen = await bookings.locate(request)
    assert blind.slot.starts_at == datetime(2027, 6, 12, 7, tzinfo=UTC)
    assert (seen.slot, seen.sessions) == (WANTED, {"b": ["s-0"]})


async def test_the_mirror_is_stale_until_it_is_read_and_known_from_then_on(bookings: Bookings, database: Database):
    before = await bookings.sources(LookAround(day=DAY))
    await mirrored(database, ("a", "ph-9", NOON, 8), ("z", "ph-7", NOON, 8))
    after = await bookings.sources(LookAround(day=DAY, max_age_s=10**9))
    assert (before.stale, before.known, after.stale, after.known) == (True, False, False, True)
    assert (before.resource_ids, after.resource_ids) == (["ph-9"], ["ph-9", "ph-7"])


def test_working_hours_that_cannot_be_read_say_how_they_read():
    with pytest.raises(InvalidInput) as caught:
        hours_of(stored(workingHours="all day"))
    assert caught.value.detail.code == "working_hours_invalid"
