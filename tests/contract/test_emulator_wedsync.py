"""The emulated WedSync reporting API: what a reader of reports may rely on."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.wedding_dirt import REASONS
from emulators.wedding_files import write
from emulators.wedding_rows import DataSet, records
from emulators.weddings import FIELDS
from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client

_ORG = "lumen-studios"
_CANARIES = ("weddingId", "guestCount", "totalRevenue", "updatedAt", "version")


@pytest.fixture
def api(emulators: Emulators) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer sandbox-wedsync-token"}
    base = emulators.base_url("wedsync")
    with loopback_client(base, headers) as client:
        yield client


def _read(api: httpx.Client, report: str = "weddings", organization: str = _ORG, **params: Any) -> Any:
    answer = api.get(f"/v1/organizations/{organization}/reports/{report}/records", params=params)
    answer.raise_for_status()
    return answer.json()


def _pages(api: httpx.Client, **params: Any) -> Iterator[dict[str, Any]]:
    cursor: dict[str, str] = {}
    while True:
        page = _read(api, **params, **cursor)
        yield page
        if page["nextCursor"] is None:
            return
        cursor = {"cursor": page["nextCursor"]}


def _control(api: httpx.Client, verb: str, **body: Any) -> Any:
    root = str(api.base_url).removesuffix("/wedsync/")
    answer = api.post(
        f"{root}/_emulators/wedsync/{verb}", json={"organizationId": _ORG, "reportId": "weddings", **body}
    )
    answer.raise_for_status()
    return answer.json()


def test_every_record_of_the_default_data_set_is_read_exactly_once(api: httpx.Client) -> None:
    ids = [record["id"] for page in _pages(api, limit=333) for record in page["records"]]
    assert len(ids) == len(set(ids)) == 2000


def test_a_record_has_every_field_of_the_report(api: httpx.Client) -> None:
    (record,) = _read(api, limit=1)["records"]
    assert tuple(record) == FIELDS
    assert (record["weddingId"], record["clientName"], record["weddingDate"]) == (
        "wed-1001",
        "Anna and Ben Fisher",
        "2027-06-12",
    )


def test_reading_twice_gives_the_same_records(api: httpx.Client) -> None:
    assert _read(api, limit=500)["records"] == _read(api, limit=500)["records"]


def test_two_organisations_hold_different_data(api: httpx.Client) -> None:
    ours, theirs = _read(api, limit=50), _read(api, organization="other", limit=50)
    assert ours["records"] != theirs["records"]


@settings(max_examples=15)
@given(st.integers(0, 3_000_000), st.integers(1, 6), st.integers(0, 2**31))
def test_a_row_is_the_same_alone_and_among_others(first: int, count: int, seed: int) -> None:
    data = DataSet(4_000_000, seed, 0.05)
    together = records(data, data.weddings(range(first, first + count)))
    alone = [records(data, data.weddings([row]))[0] for row in range(first, first + count)]
    assert together == alone


@settings(max_examples=15)
@given(st.integers(0, 3000), st.floats(0, 0.4), st.integers(0, 2**31))
def test_the_number_of_dirty_rows_is_exact(rows: int, ratio: float, seed: int) -> None:
    dirt = DataSet(rows, seed, ratio).dirt
    kinds = DataSet(rows, seed, ratio).weddings(range(rows))
    found = Counter(REASONS[kind] for kind in dirt.kinds(kinds.index)[0].to_pylist() if kind >= 0)
    assert found.total() == round(rows * ratio)
    assert {reason: found[reason] for reason in REASONS} == dirt.counts()


def _faults_of(rows: list[dict[str, Any]]) -> Counter[str]:
    ids = Counter(row["id"] for row in rows)
    return Counter(
        {
            "missing_id": ids[None],
            "bad_date": sum(row["weddingDate"] == "31/02/2027" for row in rows),
            "negative_revenue": sum(row["totalRevenue"] < 0 for row in rows),
            "satisfaction_out_of_range": sum((row["satisfactionScore"] or 1) > 5 for row in rows),
            "guest_count_text": sum(isinstance(row["guestCount"], str) for row in rows),
            "over_long_id": sum(len(row["id"] or "") > 50 for row in rows),
            "duplicate_wedding_id": sum(count - 1 for key, count in ids.items() if key is not None),
        }
    )


def test_dirty_rows_are_visible_and_told_by_reason(api: httpx.Client) -> None:
    scenario = _control(api, "scenario", rows=1000, dirtyRatio=0.05, seed=7)
    rows = [record for page in _pages(api, limit=1000) for record in page["records"]]
    assert scenario["dirtyRows"] == 50
    assert _faults_of(rows) == scenario["dirtyByReason"]


def test_records_that_change_during_paging_are_neither_lost_nor_repeated(api: httpx.Client) -> None:
    pages = _pages(api, limit=400)
    first = next(pages)
    changed = _control(api, "touch", count=200)["changed"]
    rest = list(pages)
    ids = [record["id"] for page in (first, *rest) for record in page["records"]]
    assert len(ids) == len(set(ids)) == 2000
    again = [r["id"] for page in _pages(api, updatedSince=first["asOf"]) for r in page["records"]]
    assert again == sorted(changed, key=lambda wedding: int(wedding[4:]))
    assert {page["asOf"] for page in rest} == {first["asOf"]}


def test_a_touch_changes_the_numbers_the_version_and_the_time(api: httpx.Client) -> None:
    before = {record["id"]: record for record in _read(api, limit=2000)["records"]}
    touched = _control(api, "touch", count=5, at="2026-12-01T10:00:00Z")["changed"]
    after = {record["id"]: record for record in _read(api, limit=2000)["records"]}
    assert [wedding for wedding in before if before[wedding] != after[wedding]] == touched
    for wedding in touched:
        old, new = (tuple(side[wedding][name] for name in _CANARIES) for side in (before, after))
        assert all(left != right for left, right in itertools.islice(zip(old, new, strict=True), 1, None))
        assert (new[3], new[4]) == ("2026-12-01T10:00:00.000Z", 2)


def test_a_window_of_changes_includes_its_start_and_excludes_its_end(api: httpx.Client) -> None:
    early, late = "2026-12-01T10:00:00Z", "2026-12-01T11:00:00Z"
    first = _control(api, "touch", count=3, at=early)["changed"]
    _control(api, "touch", count=3, at=late)
    page = _read(api, updatedSince=early, updatedUntil=late)
    assert [record["id"] for record in page["records"]] == first


def test_filters_keep_what_they_name(api: httpx.Client) -> None:
    everything = _read(api, limit=2000)["records"]
    wanted = [r["id"] for r in everything if r["status"] in {"booked", "completed"} and r["guestCount"] >= 120]
    page = _read(api, limit=2000, filter=['status:in:["booked","completed"]', "guestCount:gte:120"])
    assert [record["id"] for record in page["records"]] == wanted
    assert page["totalRecords"] == len(wanted)
    assert _read(api, limit=1, status="booked,cancelled")["totalRecords"] == sum(
        r["status"] in {"booked", "cancelled"} for r in everything
    )


def test_a_stream_holds_all_pages(api: httpx.Client) -> None:
    _control(api, "scenario", rows=4500, seed=3)
    answer = api.get(f"/v1/organizations/{_ORG}/reports/revenue/records", params={"format": "ndjson"})
    streamed = [json.loads(line) for line in answer.text.splitlines()]
    assert streamed == [record for page in _pages(api, report="revenue", limit=4000) for record in page["records"]]


def test_the_control_plane_answers_the_same_without_a_token(api: httpx.Client) -> None:
    root = str(api.base_url).removesuffix("/wedsync/")
    with loopback_client(root) as client:
        answer = client.get("/_emulators/wedsync/reports/vendors/records", params={"limit": 3})
    assert answer.json()["records"] == _read(api, report="vendors", limit=3)["records"]


def test_changes_survive_a_restart(tmp_path: Path) -> None:
    core, wedsync = pytest.importorskip("emulators.core"), pytest.importorskip("emulators.wedsync")
    before = wedsync.build(core.State(tmp_path / "emulators.db"))
    before.store.set_scenario(_ORG, 100, 0.0, 7)
    before.store.touch(_ORG, 10, 1_800_000_000_000)
    before.state.close()
    after = wedsync.build(core.State(tmp_path / "emulators.db")).store.holding(_ORG)
    assert (after.data.rows, len(after.touched), after.touches) == (100, 10, 1)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"limit": 5001}, "invalid_limit"),
        ({"cursor": "nonsense"}, "invalid_cursor"),
        ({"filter": "shoeSize:eq:1"}, "unknown_field"),
        ({"filter": "status:like:1"}, "invalid_filter"),
        ({"updatedSince": "yesterday"}, "invalid_time"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(api: httpx.Client, params: dict[str, Any], code: str) -> None:
    answer = api.get(f"/v1/organizations/{_ORG}/reports/weddings/records", params=params)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


@pytest.mark.parametrize("token", [None, "Bearer wrong"])
def test_without_the_right_token_nothing_is_read(api: httpx.Client, token: str | None) -> None:
    api.headers.pop("Authorization")
    headers = {"Authorization": token} if token else {}
    answer = api.get(f"/v1/organizations/{_ORG}/reports", headers=headers)
    assert answer.status_code == 401


def test_a_file_holds_the_rows_that_the_api_serves(tmp_path: Path) -> None:
    data = DataSet(3000, 7)
    write(data, tmp_path / "weddings.parquet", file_format="parquet")
    table = pq.read_table(tmp_path / "weddings.parquet", columns=["id", "guestCount", "totalRevenue"]).to_pylist()
    assert table == records(data, data.weddings(range(3000)), ["id", "guestCount", "totalRevenue"])


def test_the_raw_layout_gives_the_same_numbers_through_the_example_mapping(tmp_path: Path) -> None:
    data = DataSet(2000, 7)
    write(data, tmp_path / "raw.csv", file_format="csv", layout="raw-csv")
    mapped = duckdb.sql(
        "SELECT wedding_id, cast(event_day as date)::varchar, adults + children, round(price * nights, 2) "
        f"FROM read_csv('{tmp_path / 'raw.csv'}')"
    ).fetchall()
    fields = ["id", "weddingDate", "guestCount", "totalRevenue"]
    assert mapped == [tuple(row.values()) for row in records(data, data.weddings(range(2000)), fields)]
