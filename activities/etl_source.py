"""The source of a load as one local file: a file that may be imported, or a paged report fetched resumably."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from activities.ports.sources import SourceConnector, SourcePage
from activities.storage.staging import Staging
from contracts.dataset import STAGED_FILE_LOST, DataSource, SourceFormat
from contracts.errors import InvalidInput, WedSyncError
from contracts.etl import FetchProgress

SEGMENT_RECORDS = 20_000


def local_file(source: DataSource, import_dirs: Sequence[Path] | None) -> tuple[Path, SourceFormat]:
    """Return the file that a `file://` source names, and its format.

    Args:
        source: a source of kind `file`.
        import_dirs: directories files may come from; None allows every absolute path.

    Raises:
        InvalidInput: it is no file URI, lies elsewhere, is missing or is empty.
    """
    parts = urlsplit(source.uri or "")
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise InvalidInput(
            "source_uri_invalid",
            "The source of kind file has no uri of the form file:///directory/name.",
            action="Give the file's absolute path as a file:// uri.",
        )
    try:
        path = Path(unquote(parts.path)).resolve()
        path.is_file()
    except (OSError, ValueError):
        raise InvalidInput(
            "source_uri_invalid", "The source's uri is no path of a file.", action="Correct source.uri."
        ) from None
    if import_dirs is not None and not any(path.is_relative_to(folder.resolve()) for folder in import_dirs):
        raise InvalidInput(
            "source_not_allowed",
            "The source file does not lie in a directory that files may be imported from.",
            action="Move the file into an import directory, or have the operator allow its directory.",
        )
    if not path.is_file():
        raise InvalidInput("source_not_found", "The source file does not exist.", action="Correct source.uri.")
    if path.stat().st_size == 0:
        raise InvalidInput("source_empty", "The source file is empty.", action="Check that the export is complete.")
    if source.format is None:
        raise InvalidInput("format_missing", "The source has no format.", action="Name csv, ndjson or parquet.")
    return path, source.format


async def fetch_report(
    connector: SourceConnector,
    report_id: str,
    staging: Staging,
    prefix: str,
    folder: Path,
    progress: FetchProgress,
    beat: Callable[[FetchProgress], None],
    updated_since: str | None = None,
) -> Path:
    """Read the report's pages into one NDJSON file, staging every 20,000 records so that a successor resumes there.

    Args:
        connector: the source.
        report_id: which report.
        staging: where segments are sealed.
        prefix: `<organisation>/<run>`, the segments' place.
        folder: a private scratch directory.
        progress: the heartbeat of an earlier attempt, or a fresh one.
        beat: called with each new resume point.
        updated_since: ISO instant; only records changed at or after it.
    """
    target = folder / "report.ndjson"
    state = await _restored(progress, staging, folder, target)
    waiting: list[str] = []
    if state.segments and state.cursor is None:
        return target
    async for page in connector.pages(report_id, cursor=state.cursor, updated_since=updated_since):
        waiting += _lines(page)
        if len(waiting) >= SEGMENT_RECORDS or page.cursor is None:
            segment = folder / f"segment-{len(state.segments):05d}.ndjson"
            await asyncio.to_thread(segment.write_text, "".join(waiting), encoding="utf-8")
            ref = await staging.put_file(f"{prefix}/{segment.name}", segment, len(waiting))
            await asyncio.to_thread(_append, target, segment)
            waiting = []
            state = FetchProgress(cursor=page.cursor, segments=[*state.segments, ref])
            beat(state)
    return target


async def _restored(progress: FetchProgress, staging: Staging, folder: Path, target: Path) -> FetchProgress:
    """Write what an earlier attempt staged into `target` and return how far it came; not at all if a part is lost."""
    await asyncio.to_thread(target.touch)
    try:
        for ref in progress.segments:
            await asyncio.to_thread(_append, target, await staging.fetch(ref, folder))
    except WedSyncError as error:
        if error.detail.code not in STAGED_FILE_LOST:
            raise
        await asyncio.to_thread(target.write_bytes, b"")
        return FetchProgress()
    return progress


def _lines(page: SourcePage) -> list[str]:
    return [json.dumps(dict(record), ensure_ascii=False, separators=(",", ":")) + "\n" for record in page.records]


def _append(target: Path, segment: Path) -> None:
    with target.open("ab") as out, segment.open("rb") as part:
        while chunk := part.read(1 << 20):
            out.write(chunk)
    segment.unlink()
