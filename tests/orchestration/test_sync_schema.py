"""SyncReport with the real activities: a report whose fields change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from temporalio.client import Client, WorkflowFailureError

from contracts.errors import ErrorKind
from contracts.sync import Books, SynchronizationResult, SyncStatus
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_dead_letters import letters
from tests.orchestration.test_sync_report_vendors import House, house, temporal_for  # noqa: F401 - fixtures

EMULATED = ("hubspot", "wedsync")
MAPPING = [{"source": name, "target": name} for name in ("wedding_name", "venue_name", "guest_count")]
ROWS = [{"id": f"wed-{n}", "wedding_name": f"W{n}", "venue_name": f"Barn {n}", "guest_count": n} for n in range(20)]


class Report:
    """A report in a file, whose fields a test changes."""

    def __init__(self, house: House, client: Client, folder: Path) -> None:  # noqa: F811
        self.house, self.client, self.file = house, client, folder / "report.parquet"

    def holds(self, rows: Sequence[Mapping[str, Any]]) -> None:
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), self.file)

    async def sync(self, policy: str = "evolve") -> SynchronizationResult:
        source = {"kind": "file", "uri": self.file.as_uri(), "format": "parquet", "reportId": "import"}
        return await self.house.sync_now(self.client, source=source, dataMapping=MAPPING, schemaPolicy=policy)

    async def refused(self, policy: str) -> tuple[str, str]:
        before = len(self.house.emulators.effects("hubspot"))
        with pytest.raises(WorkflowFailureError) as caught:
            await self.sync(policy)
        assert len(self.house.emulators.effects("hubspot")) == before
        detail = caught.value.cause.details[0]  # type: ignore[attr-defined]
        return detail["kind"], detail["code"]


@pytest.fixture
async def report(house: House, temporal_for: Any, tmp_path: Path) -> AsyncIterator[Report]:  # noqa: F811
    async with temporal_for() as client:
        found = Report(house, client, tmp_path)
        found.holds(ROWS)
        first = await found.sync()
        assert (first.drift, first.books.created) == ([], 20)
        yield found


def told(result: SynchronizationResult) -> list[str]:
    return [change.sentence() for change in result.drift]


async def test_f34_a_new_field_is_told_once_and_then_known(report: Report) -> None:
    report.holds([{**row, "weather": "dry"} for row in ROWS])
    assert told(await report.sync()) == ["weather is new"]
    assert told(await report.sync()) == []


async def test_f34_a_lost_field_that_nothing_needs_is_told(report: Report) -> None:
    report.holds([{**row, "weather": "dry"} for row in ROWS])
    await report.sync()
    report.holds(ROWS)
    assert told(await report.sync()) == ["weather is missing"]


async def test_f34_a_field_of_another_kind_is_told_and_its_values_are_cast(report: Report) -> None:
    report.holds([{**row, "guest_count": str(row["guest_count"])} for row in ROWS])
    result = await report.sync()
    assert (told(result), result.books) == (["guest_count was number and is text"], Books(read=20, unchanged=20))


async def test_f34_a_frozen_report_is_refused_before_anything_is_written(report: Report) -> None:
    report.holds([{**row, "weather": "dry", "venue_name": "Elsewhere"} for row in ROWS])
    assert await report.refused("freeze") == (ErrorKind.QUALITY_GATE_FAILED, "schema_drifted")
    assert await report.refused("freeze") == (ErrorKind.QUALITY_GATE_FAILED, "schema_drifted")
    await report.sync("evolve")
    assert (await report.sync("freeze")).status is SyncStatus.SUCCESS


async def test_f34_a_quarantined_record_is_kept_until_it_fits_again(report: Report) -> None:
    file = report.file.with_suffix(".ndjson")
    source = {"kind": "file", "uri": file.as_uri(), "format": "ndjson", "reportId": "import"}
    lines = [{**row, "guest_count": str(n)} if n < 3 else row for n, row in enumerate(ROWS)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = await report.house.sync_now(report.client, source=source, dataMapping=MAPPING, schemaPolicy="quarantine")
    kept = await letters(report.house)
    assert {letter.record_id for letter in kept} == {"wed-0", "wed-1", "wed-2"}
    assert {letter.reason for letter in kept} == {"the report's schema changed: guest_count was number and is text"}
    assert (result.status, result.books.rejected) == (SyncStatus.PARTIAL, 3)


async def test_f34_a_field_the_mapping_needs_is_never_silently_null(report: Report) -> None:
    report.holds([{name: value for name, value in row.items() if name != "venue_name"} for row in ROWS])
    assert (await report.refused("evolve"))[1] == "missing_column"
    assert (await report.refused("quarantine"))[1] == "too_many_rejected"
