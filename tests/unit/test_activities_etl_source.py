"""Which local files a load may name, and how a paged report is read again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from activities import etl_source
from activities.etl_source import fetch_report, local_file
from activities.ports.sources import SourcePage
from activities.security.envelope import MasterKey
from activities.storage.staging import Staging
from contracts.dataset import DataSource, SourceKind
from contracts.errors import InvalidInput
from contracts.etl import FetchProgress
from tests.support.damage import DAMAGE, damaged

HOSTILE = [
    "../secret.csv", "a/../../secret.csv", "%2e%2e/secret.csv", "%2e%2e%2fsecret.csv", "..%00/secret.csv",
    "x%00.csv", "\u2215..\u2215secret.csv", "n" * 230, "link.csv", "//host/secret.csv", ".", "", "a\\..\\secret.csv",
]  # fmt: skip


@pytest.fixture
def imports(tmp_path: Path) -> Path:
    folder = tmp_path / "imports"
    folder.mkdir()
    (tmp_path / "secret.csv").write_text("wedding_id\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "june 2027.csv").write_text("wedding_id\n")
    return folder


def source(uri: str) -> DataSource:
    return DataSource.model_validate({"kind": SourceKind.FILE, "uri": uri[:255], "format": "csv"})


def test_a_file_of_an_import_directory_is_found_by_its_uri(imports: Path):
    found, _ = local_file(source(f"file://{quote(str(imports / 'june 2027.csv'))}"), [imports])
    assert found == imports / "june 2027.csv"


@pytest.mark.parametrize("name", HOSTILE)
def test_f62_no_name_leads_out_of_the_import_directories(imports: Path, name: str):
    with pytest.raises(InvalidInput) as caught:
        local_file(source(f"file://{imports}/{name}"), [imports])
    assert caught.value.detail.code in {"source_not_allowed", "source_uri_invalid", "source_not_found"}
    assert "secret" not in str(caught.value)


def test_f62_a_name_longer_than_the_disk_allows_is_refused(imports: Path):
    with pytest.raises(InvalidInput) as caught:
        local_file(DataSource.model_construct(kind=SourceKind.FILE, uri=f"file://{imports}/{'n' * 300}"), [imports])
    assert caught.value.detail.code == "source_uri_invalid"


class Report:
    """Three pages of two records, which notes from where it was read."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    async def pages(self, report_id: str, *, cursor: str | None = None, **_: Any) -> AsyncIterator[SourcePage]:
        self.asked.append(cursor)
        for page in range(int(cursor or 0), 3):
            yield SourcePage([{"id": 2 * page}, {"id": 2 * page + 1}], str(page + 1) if page < 2 else None)


@pytest.fixture
async def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Staging, FetchProgress]:
    """What the first attempt had staged when it died on the third page."""
    monkeypatch.setattr(etl_source, "SEGMENT_RECORDS", 2)
    staging = Staging(f"file://{tmp_path}/objects", MasterKey(bytes(32)), tmp_path / "scratch")
    beats: list[FetchProgress] = []
    with staging.scratch() as folder:
        await fetch_report(Report(), "r", staging, "lumen/etl-1", folder, FetchProgress(), beats.append)  # type: ignore[arg-type]
    return staging, beats[1]


async def read_again(staging: Staging, progress: FetchProgress, report: Report) -> list[str]:
    with staging.scratch() as folder:
        path = await fetch_report(report, "r", staging, "lumen/etl-1", folder, progress, lambda _: None)  # type: ignore[arg-type]
        return path.read_text().split()


EVERY = [f'{{"id":{number}}}' for number in range(6)]


async def test_a_report_is_read_on_from_where_the_last_attempt_came(interrupted: tuple[Staging, FetchProgress]):
    report = Report()
    assert await read_again(*interrupted, report) == EVERY
    assert report.asked == ["2"]


@pytest.mark.parametrize("segment", [0, 1])
@pytest.mark.parametrize("kind", sorted({*DAMAGE} - {"repeated"}))
async def test_f12_a_report_with_a_damaged_segment_is_read_from_its_beginning(
    interrupted: tuple[Staging, FetchProgress], tmp_path: Path, segment: int, kind: str
):
    staging, progress = interrupted
    stored = tmp_path / "objects" / progress.segments[segment].key
    stored.write_bytes(damaged(stored.read_bytes(), kind, 0.5))
    report = Report()
    assert await read_again(staging, progress, report) == EVERY
    assert report.asked == [None]
