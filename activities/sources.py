"""The source of a load as one local file, wherever it lies: a disk, an object store, a database or WedSync."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from activities.access import Access
from activities.etl_source import fetch_report, local_file
from activities.ports.sources import SourceConnector, TableConnector
from activities.storage.imports import ImportStores
from activities.storage.staging import Staging
from activities.transform import extract, reading
from activities.transport.offload import offload
from contracts.dataset import DataSource, SourceFormat, SourceKind
from contracts.errors import InvalidInput
from contracts.etl import FetchProgress

SourceFactory = Callable[[str], SourceConnector]
"""Organisation -> its open WedSync reporting API."""


class Sources:
    """Finds what a request names as its source.

    Args:
        access: opens the integrations of databases.
        staging: where what is read of paged reports is sealed.
        import_dirs: the directories files may be imported from; None allows every absolute path.
        stores: the object stores files may be imported from.
        wedsync: opens the reporting API of an organisation.
    """

    def __init__(
        self,
        access: Access,
        staging: Staging,
        import_dirs: Sequence[Path] | None,
        *,
        stores: ImportStores | None = None,
        wedsync: SourceFactory | None = None,
    ) -> None:
        self._access = access
        self._staging = staging
        self._import_dirs = None if import_dirs is None else list(import_dirs)
        self._stores = stores or ImportStores()
        self._wedsync = wedsync

    async def columns(self, organization_id: str, source: DataSource, folder: Path) -> list[str] | None:
        """Return the names of the source's columns, None where only reading all of it tells.

        Raises:
            InvalidInput: the request does not name a source that is there.
        """
        _refuse_misfits(source)
        if source.kind is SourceKind.DATABASE:
            database, report_id = await self._database(organization_id, source)
            return list(await database.columns(report_id))
        if source.kind is SourceKind.FILE and _is_local(source):
            path, file_format = local_file(source, self._import_dirs)
            return await offload(_columns, folder, path, file_format)
        return None

    async def fetch(
        self,
        organization_id: str,
        source: DataSource,
        folder: Path,
        *,
        prefix: str,
        progress: FetchProgress,
        beat: Callable[[FetchProgress], None],
    ) -> tuple[Path, SourceFormat]:
        """Return a local file that holds the whole source, and its format.

        Args:
            organization_id: whose source it is.
            source: as the request names it.
            folder: a private scratch directory.
            prefix: `<organisation>/<run>`, under which a paged report's segments are sealed.
            progress: the heartbeat of an earlier attempt, or a fresh one.
            beat: called with each new resume point.

        Raises:
            InvalidInput: the request does not name a source that is there.
            Transient: the source does not answer.
        """
        _refuse_misfits(source)
        if source.kind is SourceKind.DATABASE:
            database, report_id = await self._database(organization_id, source)
            path = folder / "report.csv"
            await database.export(report_id, path, source.changed_since, source.changed_before)
            return path, SourceFormat.CSV
        if source.kind is SourceKind.WEDSYNC:
            if self._wedsync is None:
                raise InvalidInput("source_not_available", "This worker has no access to WedSync reports.")
            connector = self._wedsync(organization_id)
            report_id = source.report_id or ""
            since = source.changed_since
            path = await fetch_report(
                connector,
                report_id,
                self._staging,
                prefix,
                folder,
                progress,
                beat,
                None if since is None else since.isoformat(),
            )
            return path, SourceFormat.NDJSON
        if _is_local(source):
            return local_file(source, self._import_dirs)
        file_format = _format(source)
        path = folder / f"source.{file_format}"
        await self._stores.fetch(organization_id, source.uri or "", path)
        return path, file_format

    async def _database(self, organization_id: str, source: DataSource) -> tuple[TableConnector, str]:
        connector = await self._access.connector(organization_id, source.integration_id or "", TableConnector)
        return connector, source.report_id or ""


def _is_local(source: DataSource) -> bool:
    return not (source.uri or "").lower().startswith(("s3:", "gs:", "az:"))


def _format(source: DataSource) -> SourceFormat:
    if source.format is None:
        raise InvalidInput("format_missing", "The source has no format.", action="Name csv, ndjson or parquet.")
    return source.format


def _columns(folder: Path, path: Path, file_format: SourceFormat) -> list[str]:
    with extract.engine(folder, path) as connection:
        return reading.columns_of(connection, path, file_format)


def _refuse_misfits(source: DataSource) -> None:
    if source.kind is not SourceKind.FILE and source.report_id is None:
        raise InvalidInput("report_missing", "The source names no report.", action="Give source.reportId.")
    if source.kind is SourceKind.DATABASE and source.integration_id is None:
        raise InvalidInput("integration_missing", "The source names no database.", action="Give source.integrationId.")
