"""The WedSync source connector against the emulated reporting API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from activities.connectors.source.wedsync import WedSyncReports
from activities.ports.connection import Connection
from activities.ports.sources import SourceConnector, SourcePage
from activities.wedding_source import WeddingSource
from contracts.errors import AuthExpired, InvalidInput, RateLimited, Transient, WedSyncError
from contracts.wedding import Wedding, WeddingEvent, WeddingKey, WeddingState
from tests.support.emulators import Emulators
from tests.support.loopback import IN_DEVELOPMENT
from workflows.wedding_facts import begun, take

EMULATED = ("wedsync",)
TOKEN = "sandbox-wedsync-token"


def opened(base_url: str, token: str = TOKEN) -> WedSyncReports:
    return WedSyncReports(
        Connection(
            *("lumen-studios", "source", "wedsync", base_url),
            credential={"token": SecretStr(token)},
            outbound=IN_DEVELOPMENT,
        )
    )


@pytest.fixture
async def reports(emulators: Emulators) -> AsyncIterator[WedSyncReports]:
    connector = opened(emulators.base_url("wedsync"))
    yield connector
    await connector.aclose()


async def all_pages(connector: WedSyncReports, report: str = "weddings", **where: Any) -> list[SourcePage]:
    return [page async for page in connector.pages(report, **where)]


def ids(pages: list[SourcePage]) -> list[str]:
    return [str(record["weddingId"]) for page in pages for record in page.records]


async def test_it_fulfils_the_port(reports: WedSyncReports):
    assert isinstance(reports, SourceConnector)


async def test_a_report_is_read_to_its_end_without_repeats(reports: WedSyncReports):
    found = ids(await all_pages(reports))
    assert (len(found), len(set(found))) == (2_000, 2_000)


async def test_many_named_records_are_read_by_addresses_that_servers_take(
    reports: WedSyncReports, emulators: Emulators
):
    everything = ids(await all_pages(reports))
    wanted = [*everything[:120], *(f"wed-{'9' * 60}-{number}"[:64] for number in range(3))]
    before = len(emulators.requests("wedsync"))
    pages = await all_pages(reports, record_ids=wanted)
    assert ids(pages) == everything[:120]
    assert ids(await all_pages(reports, record_ids=wanted, cursor=pages[0].cursor)) == everything[50:120]
    assert len(emulators.requests("wedsync")) - before == 5


async def test_reading_resumes_after_a_cursor(reports: WedSyncReports):
    pages = await all_pages(reports)
    assert ids(await all_pages(reports, cursor=pages[0].cursor)) == ids(pages[1:])


async def test_only_changed_records_are_read_since_an_instant(reports: WedSyncReports):
    pages = await all_pages(reports)
    assert pages[0].as_of is not None
    assert ids(await all_pages(reports, updated_since=pages[0].as_of)) == []


async def test_a_report_that_is_not_there_is_named(reports: WedSyncReports):
    with pytest.raises(InvalidInput, match="'no-such-report'"):
        await all_pages(reports, "no-such-report")


async def test_the_probe_lists_the_reports(reports: WedSyncReports):
    assert "weddings" in (await reports.probe()).features


def changed(emulators: Emulators, at: str, origin: str | None = None, **facts: Any) -> dict[str, Any]:
    given = {"weddingId": "w", "at": f"2026-11-01T{at}:00Z", "origin": origin, "facts": facts}
    return emulators.control("wedsync", "change", given)


def known(*events: WeddingEvent) -> WeddingState:
    now = datetime(2026, 11, 2, tzinfo=UTC)
    state = begun(WeddingState(wedding=Wedding(organization_id="lumen-studios", wedding_id="w", sequence=0)), now)
    for event in events:
        state = take(state, event, now)
    return state


async def test_f44_a_wedding_is_pulled_with_the_newest_event_about_each_fact(
    reports: WedSyncReports, emulators: Emulators
):
    first = changed(emulators, "10:00", weddingDate="2027-06-12", venueName="Barn", ceremonyTime="14:00:00")
    lost = changed(emulators, "11:00", "crm", weddingDate="2027-07-03")
    last = changed(emulators, "12:00", bookingStatus="paid", ceremonyTime=None)
    pulled = await WeddingSource(lambda _: reports).pull(WeddingKey(organization_id="lumen-studios", wedding_id="w"))
    heard = [
        WeddingEvent.model_validate(
            {name: one[name] for name in ("eventId", "sequence", "occurredAt", "origin")} | {"type": kind} | facts
        )
        for one, kind, facts in (
            (first, "moved", {"weddingDate": "2027-06-12", "venueName": "Barn", "ceremonyTime": "14:00"}),
            (last, "status_changed", {"bookingStatus": "paid"}),
        )
    ]
    state = known(*heard, pulled)
    told = state.wedding
    assert (str(told.wedding_date), told.venue_name, told.booking_status) == ("2027-07-03", "Barn", "paid")
    assert (state.stamps["wedding_date"].origin, state.stamps["wedding_date"].event_id) == ("crm", lost["eventId"])
    assert (state.sequence, state.gap_since, told.ceremony_time) == (3, None, None)
    assert known(pulled).wedding == told


async def test_f44_a_wedding_that_the_source_does_not_have_is_named(reports: WedSyncReports):
    with pytest.raises(InvalidInput) as caught:
        await reports.wedding("nobody")
    assert caught.value.detail.code == "wedding_unknown"


async def test_f44_an_answer_that_is_no_wedding_is_asked_for_again(reports: WedSyncReports, emulators: Emulators):
    changed(emulators, "10:00", weddingDate="sometime")
    with pytest.raises(Transient):
        await reports.wedding("w")


async def test_a_refused_token_is_an_expired_credential(emulators: Emulators):
    connector = opened(emulators.base_url("wedsync"), "wrong")
    with pytest.raises(AuthExpired):
        await connector.probe()
    await connector.aclose()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"kind": "status", "status": 503}, Transient),
        ({"kind": "rate_limit", "retryAfter": 7}, RateLimited),
        ({"kind": "truncate"}, Transient),
        ({"kind": "html_login_page"}, Transient),
        ({"kind": "reset"}, Transient),
        ({"kind": "expire_token"}, AuthExpired),
    ],
)
async def test_each_fault_becomes_the_error_that_says_what_recovers(
    reports: WedSyncReports, emulators: Emulators, rule: dict[str, Any], expected: type[WedSyncError]
):
    emulators.fault("wedsync", **rule, count=1)
    with pytest.raises(expected) as caught:
        await all_pages(reports)
    assert TOKEN not in str(caught.value)
