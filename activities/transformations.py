"""The verbs of a transformation: check what is asked, and carry it out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from temporalio import activity

from activities.source_progress import resume
from activities.sources import Sources
from activities.storage.staging import Staging
from activities.sync_dataset import Dataset, build_dataset
from activities.sync_extraction import Extraction
from activities.sync_parts import Parts
from activities.transform.files import FileReports
from activities.transform.mapping import compile_mapping
from activities.transform.records import Rules, Selection, check_mapping
from contracts.dataset import DataSource, SourceFormat, SourceKind
from contracts.errors import InvalidInput
from contracts.integration import FieldMapping, TransformationRule
from contracts.sync import Books, DataFilter, RecordResult, RecordStatus
from contracts.sync_schema import KnownFields, SchemaPolicy
from contracts.sync_steps import ExtractProgress
from contracts.transformation import DataTransformation, SourceColumns, TransformedData

_KIND = "transform"


@dataclass(frozen=True)
class _Plan:
    """What the extraction is asked for."""

    source: DataSource
    filters: Sequence[DataFilter]
    rules: Sequence[TransformationRule]
    mapping: Sequence[FieldMapping]
    schema_policy: SchemaPolicy = SchemaPolicy.EVOLVE
    known_fields: KnownFields = field(default_factory=dict)
    record_ids: Sequence[str] = ()


class Transformations:
    """The activities of `TransformReport`; records are filtered, checked and mapped as those of a sync are.

    Args:
        sources: finds what a request names as its source.
        staging: the sealed object store.
    """

    def __init__(self, sources: Sources, staging: Staging) -> None:
        self._sources = sources
        self._staging = staging

    @activity.defn(name="transform.check")
    async def check(self, request: DataTransformation) -> SourceColumns:
        """Refuse early what cannot work. Idempotent: yes, it only reads.

        Raises:
            InvalidInput: source, filters, rules or mapping do not fit.
        """
        check_mapping(request.data_mapping)
        if request.source.windowed and request.source.kind is not SourceKind.DATABASE:
            raise InvalidInput(
                "window_unsupported",
                "A transformation reads only databases from one instant to another.",
                action="Use dataFilters on the field that tells when a record changed.",
            )
        Rules(request.transformation_rules)
        with self._staging.scratch() as folder:
            columns = await self._sources.columns(request.organization_id, request.source, folder)
        if columns is not None:
            compile_mapping(request.data_mapping, columns)
            Selection(request.data_filters).check(columns)
        return SourceColumns(columns=(columns or [])[:500])

    @activity.defn(name="transform.run")
    async def run(self, request: DataTransformation) -> TransformedData:
        """Read the source and stage its good records as sealed Parquet, the others' ids and reasons beside them.

        Idempotent: yes, the staged objects have fixed names and are replaced as a whole. Resumes a paged source from
        its heartbeat.

        Raises:
            InvalidInput: source, filters, rules or mapping do not fit.
            Transient: the source does not answer.
        """
        parts = Parts(self._staging, request.organization_id, request.transformation_id, _KIND)
        prefix = f"{request.organization_id}/{_KIND}/{request.transformation_id}".replace(":", "-")
        progress = resume()
        with self._staging.scratch() as folder:
            path, file_format = await self._sources.fetch(
                request.organization_id,
                request.source,
                folder,
                prefix=prefix,
                progress=progress,
                beat=activity.heartbeat,
            )
            dataset = await self._dataset(request, path, file_format, parts, folder)
            return await self._stage(request, prefix, dataset, folder)

    async def _dataset(
        self, request: DataTransformation, path: Path, file_format: SourceFormat, parts: Parts, folder: Path
    ) -> Dataset:
        source = request.source.model_copy(update={"format": file_format})
        plan = _Plan(source, request.data_filters, request.transformation_rules, request.data_mapping)
        extraction = Extraction(plan, parts, folder, ExtractProgress(), resumable=False)
        async for page in FileReports(path, file_format).pages(""):
            await extraction.take(page)
        extracted = await extraction.close()
        refs = await parts.refs(extracted.parts, 0, extracted.parts.count)
        files = [await self._staging.fetch(ref, folder) for ref in refs]
        dataset = await asyncio.to_thread(build_dataset, files, extracted.columns, folder)
        await parts.drop_parts()
        return dataset

    async def _stage(self, request: DataTransformation, prefix: str, dataset: Dataset, folder: Path) -> TransformedData:
        books = Books(read=dataset.books.read, created=dataset.books.updated, rejected=dataset.books.rejected)
        transformed = await self._staging.put_file(f"{prefix}/transformed.parquet", dataset.path, books.created)
        quarantine = None
        if books.rejected:
            rejected = folder / "quarantine.ndjson"
            await asyncio.to_thread(_write_rejected, dataset.outcomes, rejected)
            quarantine = await self._staging.put_file(f"{prefix}/quarantine.ndjson", rejected, books.rejected)
        return TransformedData(
            transformation_id=request.transformation_id, parts=[transformed], quarantine=quarantine, books=books
        )


def _write_rejected(outcomes: Path, into: Path) -> None:
    with outcomes.open("rb") as every, into.open("wb") as rejected:
        for line in every:
            if RecordResult.model_validate_json(line).status is RecordStatus.REJECTED:
                rejected.write(line)
