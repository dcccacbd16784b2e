"""Transforming report data without sending it anywhere (WS-333)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contracts.base import Contract, OpaqueId, ShortText
from contracts.dataset import DatasetRef, DataSource
from contracts.integration import FieldMapping, TransformationRule
from contracts.sync import Books, DataFilter, SyncPriority


class DataTransformation(Contract):
    """Filter, check and map the records of a source."""

    transformation_id: OpaqueId
    organization_id: OpaqueId
    source: DataSource
    data_filters: Annotated[list[DataFilter], Field(max_length=50)] = []
    transformation_rules: Annotated[list[TransformationRule], Field(max_length=100)] = []
    data_mapping: Annotated[list[FieldMapping], Field(min_length=1, max_length=500)]
    priority: SyncPriority = SyncPriority.NORMAL


class SourceColumns(Contract):
    """Output of `transform.check`: the source's columns, none where only reading all of it tells."""

    columns: Annotated[list[ShortText], Field(max_length=2_000)] = []


class TransformedData(Contract):
    """Where the transformed records lie, sealed, and the count of what became of each."""

    transformation_id: OpaqueId
    parts: Annotated[list[DatasetRef], Field(max_length=10_000)] = []
    """Parquet: the mapping's targets as columns, in the type that their values have."""
    quarantine: DatasetRef | None = None
    """NDJSON: id and reason of every rejected record."""
    books: Books
    """Created records stand in `parts`; records that a filter leaves out are not read."""
