"""The Tableau connector against the emulated Tableau, through the official SDK."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pantab
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tableauserverclient as tsc
from pydantic import SecretStr

from activities.connectors.bi.tableau import Tableau
from activities.connectors.bi.tableau_hyper import TABLE, write_hyper
from activities.connectors.bi.tableau_schedule import interval_of
from activities.ports.connection import Connection
from activities.ports.datasets import DatasetColumn, DatasetConnector, PublishRequest
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, RateLimited, WedSyncError
from tests.support.emulators import Emulators
from tests.support.loopback import IN_DEVELOPMENT
from tests.support.publications import Remembered

EMULATED = ("tableau",)
SECRET = "sandbox-tableau-secret"
COLUMNS = [DatasetColumn("season", "text"), DatasetColumn("revenue", "decimal"), DatasetColumn("guests", "integer")]


def opened(base_url: str, secret: str = SECRET, **settings: str) -> Tableau:
    credential = {"tokenName": SecretStr("sandbox-pat"), "tokenSecret": SecretStr(secret)}
    return Tableau(
        Connection(
            *("lumen-studios", "tableau-main", "tableau", base_url, {"siteName": "lumen", **settings}, credential),
            outbound=IN_DEVELOPMENT,
        )
    )


@pytest.fixture
def tableau(emulators: Emulators) -> Tableau:
    return opened(emulators.base_url("tableau"))


@pytest.fixture
def request_of(tmp_path: Path) -> PublishRequest:
    path = tmp_path / "part.parquet"
    rows = {"season": ["summer", "winter", None], "revenue": [1.5, 2.5, None], "guests": [80, 120, 60]}
    pq.write_table(pa.table(rows), path)
    return PublishRequest(
        "Wedding Revenue Analytics", [path], COLUMNS, "request-1", scratch_dir=tmp_path, progress=Remembered()
    )


async def test_it_fulfils_the_port(tableau: Tableau):
    assert isinstance(tableau, DatasetConnector)


async def test_a_publication_makes_one_data_source_with_its_daily_schedule(
    tableau: Tableau, emulators: Emulators, request_of: PublishRequest
):
    answer = await tableau.publish(request_of)
    sources, tasks = emulators.objects("tableau", "datasources"), emulators.objects("tableau", "tasks")
    assert [source["name"] for source in sources] == ["Wedding Revenue Analytics"]
    assert [(task["schedule"]["frequency"], task["schedule"]["start"]) for task in tasks] == [("Daily", "06:00:00")]
    assert answer.rows == 3


async def test_a_second_publication_replaces_the_first_and_adds_no_schedule(
    tableau: Tableau, emulators: Emulators, request_of: PublishRequest
):
    first = await tableau.publish(request_of)
    second = await tableau.publish(request_of)
    assert second.remote_id == first.remote_id
    assert len(emulators.objects("tableau", "datasources")) == len(emulators.objects("tableau", "tasks")) == 1


async def test_a_large_extract_travels_in_pieces_and_arrives_whole(
    tableau: Tableau, emulators: Emulators, request_of: PublishRequest
):
    rows = 300_000
    noise = [uuid5(NAMESPACE_OID, str(number)).hex for number in range(rows)]
    table = {"season": noise, "revenue": [float(number) for number in range(rows)], "guests": list(range(rows))}
    pq.write_table(pa.table(table), request_of.files[0])
    answer = await tableau.publish(request_of)
    pieces = [item for item in emulators.requests("tableau") if item["operation"] == "appendToFileUpload"]
    assert len(pieces) > 1
    [published] = [item for item in emulators.effects("tableau") if item["kind"].startswith("datasource")]
    assert (answer.rows, published["body"]["rows"]) == (rows, rows)


async def test_provisioning_makes_the_project_once(emulators: Emulators):
    tableau = opened(emulators.base_url("tableau"), projectName="Reports")
    assert (await tableau.provision()).created == ["project Reports"]
    assert (await tableau.provision()).existing == ["project Reports"]


async def test_a_refused_token_is_an_expired_credential_and_stays_secret(emulators: Emulators):
    with pytest.raises(AuthExpired) as caught:
        await opened(emulators.base_url("tableau"), "wrong-secret").probe()
    assert "wrong-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"kind": "status", "status": 503}, OutcomeUnknown),
        ({"kind": "rate_limit", "retryAfter": 7}, RateLimited),
        ({"kind": "drop_after_effect"}, OutcomeUnknown),
        ({"kind": "html_login_page"}, OutcomeUnknown),
        ({"kind": "expire_token"}, AuthExpired),
    ],
)
async def test_each_fault_while_publishing_becomes_the_error_that_says_what_recovers(
    tableau: Tableau,
    emulators: Emulators,
    request_of: PublishRequest,
    rule: dict[str, Any],
    expected: type[WedSyncError],
):
    await tableau.provision()
    emulators.fault("tableau", method="POST", path="datasources", **rule, count=1)
    with pytest.raises(expected):
        await tableau.publish(request_of)


def test_the_extract_holds_the_rows_under_their_types(request_of: PublishRequest, tmp_path: Path):
    target = tmp_path / "x.hyper"
    assert write_hyper(request_of.files, COLUMNS, target) == 3
    table = pantab.frame_from_hyper(target, table=TABLE, return_type="pyarrow")
    assert table.to_pylist()[1] == {"season": "winter", "revenue": 2.5, "guests": 120}


def test_the_briefs_four_data_sources_are_there(tableau: Tableau):
    assert set(tableau.data_sources().values()) >= {
        "Wedding Revenue Analytics",
        "Client Satisfaction Metrics",
        "Seasonal Booking Patterns",
        "Vendor Performance Benchmarks",
    }


@pytest.mark.parametrize(
    ("cron", "kind", "pairs"),
    [
        ("0 6 * * *", tsc.DailyInterval, [("hours", "24")]),
        ("0 2 * * 1", tsc.WeeklyInterval, [("weekDay", "Monday")]),
        ("0 3 1 * *", tsc.MonthlyInterval, [("monthDay", "1")]),
    ],
)
def test_a_cron_expression_becomes_tableaus_recurrence(cron: str, kind: type, pairs: list[tuple[str, str]]):
    interval = interval_of(cron)
    assert (type(interval), interval._interval_type_pairs()) == (kind, pairs)


@pytest.mark.parametrize("cron", ["*/5 * * * *", "0 25 * * *", "0 6 1 * 1", "0 6 * 2 *", "daily"])
def test_a_cron_expression_tableau_cannot_follow_is_refused(cron: str):
    with pytest.raises(InvalidInput, match="refresh schedule"):
        interval_of(cron)
