"""CSV, NDJSON and Parquet files as pages of records, a page at a time."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pydantic import JsonValue

from activities.ports.sources import SourcePage
from activities.transform.parquet import batches
from activities.transform.records import json_value
from contracts.dataset import DataSource, SourceFormat
from contracts.errors import InvalidInput

MALFORMED = "\x00malformed"
"""The key of a record that stands for an unreadable line; its value is the reason."""

PAGE_ROWS = 1_000
_MAX_LINE = 1_000_000
_SUFFIXES = {".csv": SourceFormat.CSV, ".ndjson": SourceFormat.NDJSON, ".jsonl": SourceFormat.NDJSON}

Row = dict[str, JsonValue]


def locate(source: DataSource, import_dirs: list[Path]) -> Path:
    """Return the file a `file://` source names.

    Raises:
        InvalidInput: not a file URI, no such file, or outside the directories files may be imported from.
    """
    parts = urlsplit(source.uri or "")
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
        raise InvalidInput("source_uri_invalid", "The source of kind file needs a uri of the form file:///path.")
    path = Path(unquote(parts.path)).resolve()
    if not any(path.is_relative_to(folder.resolve()) for folder in import_dirs):
        raise InvalidInput(
            "source_not_allowed",
            "The source file does not lie in a directory that files may be imported from.",
            action="Move the file into the import directory, or have the operator allow its directory.",
        )
    if not path.is_file():
        raise InvalidInput("source_not_found", "The source file does not exist.", action="Correct source.uri.")
    return path


def format_of(source: DataSource, path: Path) -> SourceFormat:
    """Return the stated format, otherwise the one the file's suffix means."""
    return source.format or _SUFFIXES.get(path.suffix.lower(), SourceFormat.PARQUET)


class FileReports:
    """A file as a report; the cursor is the number of records already read, so a resume skips them.

    Args:
        path: an existing file.
        file_format: how to read it.
    """

    def __init__(self, path: Path, file_format: SourceFormat) -> None:
        self._path = path
        self._format = file_format

    async def pages(
        self,
        report_id: str,  # noqa: ARG002 - a file is one report, whatever it is called
        *,
        cursor: str | None = None,
        updated_since: str | None = None,  # noqa: ARG002 - a file is always read whole
        record_ids: Sequence[str] = (),  # noqa: ARG002 - likewise
    ) -> AsyncIterator[SourcePage]:
        """Yield pages of at most 1,000 records.

        Raises:
            InvalidInput: the file is not of the stated format.
        """
        position = int(cursor or 0)
        rows = self._rows(position)
        page = await asyncio.to_thread(self._take, rows)
        while page:
            following = await asyncio.to_thread(self._take, rows)
            position += len(page)
            yield SourcePage(page, str(position) if following else None)
            page = following

    def _take(self, rows: Iterator[Row]) -> list[Row]:
        try:
            return list(islice(rows, PAGE_ROWS))
        except (UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
            raise InvalidInput(
                "source_unreadable",
                f"The source file cannot be read as {self._format}: {type(error).__name__}.",
                action="Save it again as UTF-8 in the stated format.",
            ) from None

    def _rows(self, skip: int) -> Iterator[Row]:
        if self._format is SourceFormat.PARQUET:
            return islice(_parquet(self._path), skip, None)
        return islice(_csv(self._path) if self._format is SourceFormat.CSV else _ndjson(self._path), skip, None)


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restkey=MALFORMED)
        for row in reader:
            if MALFORMED in row:
                yield {MALFORMED: f"line {reader.line_num} has more values than there are columns"}
            else:
                yield {name: value or None for name, value in row.items()}


def _ndjson(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        number = 0
        while line := file.readline(_MAX_LINE):
            number += 1
            if line.strip():
                yield _object(line, number)


def _object(line: str, number: int) -> Row:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    return cast("Row", found) if isinstance(found, dict) else {MALFORMED: f"line {number} is not a JSON object"}


def _parquet(path: Path) -> Iterator[Row]:
    for batch in batches(path, PAGE_ROWS):
        for row in batch.to_pylist():
            yield {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> JsonValue:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else json_value(value)
