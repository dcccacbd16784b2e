"""Reading who is booked when from an emulated Tave studio into the mirror, and writing a decision back."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import httpx
import pytest
from temporalio.client import Client, RPCError
from temporalio.service import RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.access import Access
from activities.booking_news import BookingNews, News, strategy_of
from activities.bookings import Bookings
from activities.connectors.booking.tave import Tave
from activities.ports.bookings import AssignmentRow, BookingRow, Row, SessionRow
from activities.storage.booking_mirror import BookingMirror
from activities.storage.connections import ConnectionStore, StoredConnection
from activities.storage.database import Database, migrate
from activities.storage.ledger import EffectLedger
from contracts.effects import EffectStep
from contracts.errors import AuthExpired, InvalidInput, RateLimited, Transient, WedSyncError
from contracts.integration import IntegrationConfiguration, IntegrationState
from contracts.names import wedding_workflow_id
from contracts.resource_day import ReadBookings, SystemRef
from contracts.wedding import WeddingEvent
from tests.support.deliveries import connection, delivery
from tests.support.emulators import Emulators
from tests.support.specs import OpenApi, SentRequest, specs_dir

EMULATED = ("tave",)
KEY = {"apiKey": "sandbox-tave-key"}
NOW = datetime(2027, 1, 1, tzinfo=UTC)
JUNE = (datetime(2027, 6, 1, tzinfo=UTC), datetime(2027, 7, 1, tzinfo=UTC))


@pytest.fixture
async def tave(emulators: Emulators) -> AsyncIterator[Tave]:
    connector = Tave(connection("tave", emulators.base_url("tave"), KEY, timeZone="Europe/London"))
    yield connector
    await connector.aclose()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/wedsync.db"
    migrate(url)
    found = Database(url)
    yield found
    await found.aclose()


@pytest.fixture
async def mirror(database: Database) -> BookingMirror:
    return BookingMirror(database, "lumen-studios", "tave-main")


def made(emulators: Emulators, path: str, **body: Any) -> str:
    """Have the studio's staff create something."""
    answer = httpx.post(f"{emulators.base_url('tave')}/{path}", json=body, headers={"X-API-KEY": KEY["apiKey"]})
    return str(answer.raise_for_status().json()["id"])


def changed(emulators: Emulators, path: str, **body: Any) -> None:
    answer = httpx.put(f"{emulators.base_url('tave')}/{path}", json=body, headers={"X-API-KEY": KEY["apiKey"]})
    answer.raise_for_status()


def deleted(emulators: Emulators, path: str) -> None:
    httpx.delete(f"{emulators.base_url('tave')}/{path}", headers={"X-API-KEY": KEY["apiKey"]}).raise_for_status()


async def read(tave: Tave, since: datetime | None = None) -> list[Row]:
    return [row async for page in tave.changes(since) for row in page]


async def filled(tave: Tave, mirror: BookingMirror, at: datetime = NOW, since: datetime | None = None) -> None:
    async for page in tave.changes(since):
        await mirror.put(page, at)
    await mirror.finished(at, whole=since is None)


async def test_the_studio_s_jobs_team_and_sessions_are_read(tave: Tave) -> None:
    rows = await read(tave)
    assert {row.booking_id for row in rows if isinstance(row, BookingRow)} == {"job-77", "job-91"}
    team = {(row.booking_id, row.resource_id) for row in rows if isinstance(row, AssignmentRow)}
    assert team == {("job-77", "ph-9"), ("job-91", "ph-9")}
    [session] = [row for row in rows if isinstance(row, SessionRow)]
    assert (session.session_id, session.booking_id, session.confirmed) == ("sess-1", "job-77", True)
    assert (session.starts_at, session.ends_at) == (
        datetime(2027, 6, 12, 12, tzinfo=UTC),
        datetime(2027, 6, 12, 21, tzinfo=UTC),
    )


async def test_every_page_of_a_large_studio_is_read(tave: Tave, emulators: Emulators) -> None:
    for number in range(105):
        made(emulators, "job", name=f"Wedding {number}")
    assert len([row for row in await read(tave) if isinstance(row, BookingRow)]) == 107


async def test_a_reading_of_changes_stops_where_the_known_begins(tave: Tave, emulators: Emulators) -> None:
    began = datetime.now(UTC) + timedelta(minutes=3)
    before = len(emulators.requests("tave"))
    assert await read(tave, since=began) == []
    assert len(emulators.requests("tave")) - before == 3


async def test_a_session_without_a_time_takes_its_whole_day_in_the_studio_s_zone(
    tave: Tave, emulators: Emulators
) -> None:
    made(emulators, "event", jobId="job-91", startDate="2027-06-20", endDate="2027-06-20", allDay=True)
    [session] = [row for row in await read(tave) if isinstance(row, SessionRow) and row.booking_id == "job-91"]
    assert (session.starts_at, session.ends_at) == (
        datetime(2027, 6, 19, 23, tzinfo=UTC),
        datetime(2027, 6, 20, 23, tzinfo=UTC),
    )


async def test_the_mirror_tells_the_sessions_of_open_jobs_by_their_photographer(
    tave: Tave, mirror: BookingMirror, emulators: Emulators
) -> None:
    await filled(tave, mirror)
    [session] = await mirror.sessions(["ph-9"], *JUNE)
    assert (session.session_id, session.booking_id, session.resource_id) == ("sess-1", "job-77", "ph-9")
    assert await mirror.sessions(["ph-8"], *JUNE) == []
    changed(emulators, "job/job-77", closed=True, stage="booked")
    await filled(tave, mirror, NOW + timedelta(hours=1))
    assert await mirror.sessions(["ph-9"], *JUNE) == []


async def test_a_deleted_session_is_gone_after_the_next_whole_reading(
    tave: Tave, mirror: BookingMirror, emulators: Emulators
) -> None:
    await filled(tave, mirror)
    deleted(emulators, "event/sess-1")
    await filled(tave, mirror, NOW + timedelta(minutes=1), since=NOW)
    assert len(await mirror.sessions(["ph-9"], *JUNE)) == 1
    await filled(tave, mirror, NOW + timedelta(hours=7))
    assert await mirror.sessions(["ph-9"], *JUNE) == []


async def test_the_photographers_of_one_role_can_stand_in_for_each_other(
    tave: Tave, mirror: BookingMirror, emulators: Emulators
) -> None:
    other = made(emulators, "address-book", kind="person", firstName="Sasha")
    made(emulators, "job-contact", jobId="job-91", contactId=other, jobRoles=["role-photographer"])
    await filled(tave, mirror)
    assert await mirror.like("ph-9") == [other]


async def test_another_organisation_s_mirror_of_the_same_studio_is_another(
    tave: Tave, mirror: BookingMirror, tmp_path: Path
) -> None:
    await filled(tave, mirror)
    database = Database(f"sqlite:///{tmp_path}/wedsync.db")
    stranger = BookingMirror(database, "other-studio", "tave-main")
    assert (await stranger.sessions(["ph-9"], *JUNE), await stranger.reads()) == ([], None)
    await database.aclose()


async def test_the_clients_of_a_job_are_found_with_their_addresses(tave: Tave) -> None:
    assert await tave.recipients("job-91") == ["couple91@couples.example.com"]


async def test_a_decision_confirms_the_session_moves_the_stage_and_leaves_a_note(
    tave: Tave, emulators: Emulators
) -> None:
    facts = {
        "bookingId": "job-77",
        "updatesBookingStatus": True,
        "newStatus": "turned_down",
        "timelineChanges": {"affectedSessions": [{"sessionId": "sess-1", "confirmed": False}]},
    }
    steps = tave.plan(delivery("tave", type="booking_decision", metadata=facts))
    for step in [*steps, *steps[:1]]:
        await tave.apply(step)
    [session] = emulators.objects("tave", "events")
    [job] = [one for one in emulators.objects("tave", "jobs") if one["id"] == "job-77"]
    assert sorted(step.kind for step in steps) == ["event.update", "job.status", "note.create"]
    assert (session["confirmed"], session["startTime"], job["stage"]) == (False, "13:00:00", "lead")
    assert [one["jobId"] for one in emulators.objects("tave", "notes")] == ["job-77"]


async def test_f45_a_session_that_the_studio_moves_at_the_same_time_keeps_its_new_time_and_is_written_once(
    tave: Tave, emulators: Emulators
) -> None:
    facts = {
        "bookingId": "job-77",
        "timelineChanges": {"affectedSessions": [{"sessionId": "sess-1", "confirmed": False}]},
    }
    steps = tave.plan(delivery("tave", type="booking_decision", metadata=facts))
    [step] = [one for one in steps if one.kind == "event.update"]
    [before] = emulators.objects("tave", "events")
    changed(emulators, "event/sess-1", **{**_writable(before), "startTime": "15:00"})
    since = len([one for one in emulators.requests("tave") if one["method"] == "PUT"])
    for _ in range(3):
        await tave.apply(step)
    [session] = emulators.objects("tave", "events")
    assert (session["startTime"], session["confirmed"]) == ("15:00:00", False)
    assert len([one for one in emulators.requests("tave") if one["method"] == "PUT"]) - since == 1


def _writable(session: dict[str, Any]) -> dict[str, Any]:
    names = ("jobId", "typeId", "startDate", "endDate", "startTime", "endTime", "timezoneId", "confirmed")
    return {name: session[name] for name in names}


@pytest.mark.parametrize(
    ("fault", "kind"), [("expire_token", AuthExpired), ("rate_limit", RateLimited), ("garbage", Transient)]
)
async def test_a_reading_that_is_refused_says_what_recovers(
    tave: Tave, emulators: Emulators, fault: str, kind: type[WedSyncError]
) -> None:
    emulators.fault("tave", fault, method="GET", count=1)
    with pytest.raises(kind):
        await read(tave)


async def test_every_request_is_one_the_vendor_describes(tave: Tave, emulators: Emulators, tmp_path: Path) -> None:
    packed = specs_dir("tave") / "vsco-workspace-v2-openapi.json.gz"
    described = tmp_path / "tave.json"
    described.write_bytes(gzip.decompress(packed.read_bytes()))
    base = httpx.URL(emulators.base_url("tave")).path
    sent: list[SentRequest] = []

    async def record(request: httpx.Request) -> None:
        body = json.loads(request.content) if request.content else None
        query = parse_qs(request.url.query.decode())
        sent.append(SentRequest(request.method, request.url.path.removeprefix(base), query, body))

    tave._http._client.event_hooks["request"].append(record)
    await read(tave)
    await read(tave, since=NOW)
    await tave.recipients("job-77")
    problems = [(one.method, one.path, problem) for one in sent for problem in OpenApi(described).problems(one)]
    assert (len(sent), problems) == (8, [])


def declared(at_once: str | None) -> IntegrationConfiguration:
    settings = {} if at_once is None else {"atOnce": at_once}
    given = {"organizationId": "lumen-studios", "integrationId": "tave-main", "platform": "tave"}
    return IntegrationConfiguration.model_validate({**given, "connectionConfig": settings})


async def written(tave: Tave, ledger: EffectLedger, job: str, day: str, wedding: str = "wed-1001") -> None:
    """Have a wedding write its day into a job."""
    step = EffectStep(
        effect_id=f"{wedding}-{day}",
        organization_id="lumen-studios",
        integration_id="tave-main",
        system="tave",
        kind="job.update",
        object_id=job,
        payload={"eventDate": day},
        wedding_id=wedding,
    )
    await ledger.claim(step, "test", timedelta(minutes=1))
    outcome = await tave.apply(step)
    await ledger.receipt(step, outcome.remote_id)


async def news_of(
    tave: Tave, ledger: EffectLedger, mirror: BookingMirror, at_once: str | None = "manual"
) -> list[News]:
    """Bring the mirror up to date, and return what is news about days."""
    found = []
    async for page in tave.changes(None):
        found += await BookingNews(ledger).of(declared(at_once), mirror, page)
        await mirror.put(page, NOW)
    return found


@pytest.fixture
def job(emulators: Emulators) -> str:
    return made(emulators, "job", name="A wedding", stage="booked", eventDate="2027-06-12")


async def test_f45_a_day_that_staff_change_is_told_once_to_the_wedding_whose_job_it_is(
    tave: Tave, emulators: Emulators, database: Database, mirror: BookingMirror, job: str
):
    ledger = EffectLedger(database)
    await written(tave, ledger, job, "2027-06-19")
    assert await news_of(tave, ledger, mirror) == []
    changed(emulators, f"job/{job}", stage="booked", eventDate="2027-07-03")
    [news] = await news_of(tave, ledger, mirror)
    event = news.event
    assert (news.wedding_id, event.type, str(event.wedding_date)) == ("wed-1001", "moved", "2027-07-03")
    assert (event.origin, event.at_once, event.is_read) == ("tave-main", "manual", True)
    assert event.occurred_at is not None
    assert await news_of(tave, ledger, mirror) == []


@pytest.mark.parametrize("weddings", [(), ("wed-1", "wed-2")])
async def test_f45_a_job_of_no_wedding_or_of_several_is_news_for_nobody(
    tave: Tave, emulators: Emulators, database: Database, mirror: BookingMirror, job: str, weddings: tuple[str, ...]
):
    ledger = EffectLedger(database)
    for wedding in weddings:
        await written(tave, ledger, job, "2027-06-19", wedding)
    await news_of(tave, ledger, mirror)
    changed(emulators, f"job/{job}", stage="booked", eventDate="2027-07-03")
    assert await news_of(tave, ledger, mirror) == []


@dataclass
class Studio:
    """An organisation's one booking system, as `bookings.refresh` opens it."""

    tave: Tave
    configuration: IntegrationConfiguration

    async def connector(self, *_: object) -> Tave:
        return self.tave

    async def stored(self, *_: object) -> StoredConnection:
        return StoredConnection(self.configuration, IntegrationState.ACTIVE, 1, NOW, None, None, None)


class Timelines:
    """Weddings' timelines that may be away, and what they were told."""

    def __init__(self) -> None:
        self.away = False
        self.told: list[tuple[str, str]] = []

    def get_workflow_handle(self, workflow_id: str) -> Timelines:
        self._asked = workflow_id
        return self

    async def signal(self, _name: str, event: WeddingEvent) -> None:
        if self.away:
            raise RPCError("", RPCStatusCode.UNAVAILABLE, b"")
        self.told.append((self._asked, event.event_id))


async def test_f45_news_that_could_not_be_told_are_told_by_the_next_attempt(
    tave: Tave, emulators: Emulators, database: Database, job: str
):
    timelines = Timelines()
    inside = ActivityEnvironment(client=cast("Client", timelines))
    bookings = Bookings(cast("Access", Studio(tave, declared("newest"))), cast("ConnectionStore", None), database)
    source = SystemRef(organization_id="lumen-studios", integration_id="tave-main", system="tave")
    await written(tave, EffectLedger(database), job, "2027-06-19")
    await inside.run(bookings.refresh, ReadBookings(source=source))
    changed(emulators, f"job/{job}", stage="booked", eventDate="2027-07-03")
    timelines.away = True
    with pytest.raises(RPCError):
        await inside.run(bookings.refresh, ReadBookings(source=source))
    timelines.away = False
    for _ in range(2):
        await inside.run(bookings.refresh, ReadBookings(source=source))
    told = set(timelines.told)
    assert [timeline for timeline, _ in told] == [wedding_workflow_id("lumen-studios", "wed-1001")]


async def test_f45_an_integration_that_declares_nothing_tells_nothing(
    tave: Tave, emulators: Emulators, database: Database, mirror: BookingMirror, job: str
):
    ledger = EffectLedger(database)
    await news_of(tave, ledger, mirror, None)
    await written(tave, ledger, job, "2027-07-03")
    assert await news_of(tave, ledger, mirror, None) == []


def test_f45_a_strategy_that_is_none_is_refused_by_name():
    with pytest.raises(InvalidInput, match="newest, source_wins, manual"):
        strategy_of(declared("oldest"))
