"""The WedSync source connector against the emulated reporting API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from activities.connectors.source.wedsync import WedSyncReports
from activities.ports.connection import Connection
from activities.ports.connector import SourceConnector, SourcePage
from contracts.errors import AuthExpired, InvalidInput, RateLimited, Transient, WedSyncError
from tests.support.emulators import Emulators
from tests.support.loopback import IN_DEVELOPMENT

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
