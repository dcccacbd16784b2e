"""The Protocols of connectors that keep records, one by one or in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from activities.ports.connector import Connector
from contracts.sync import RecordResult


@dataclass(frozen=True)
class OutboundRecord:
    """A mapped record: its opaque id at the source and the vendor's properties by mapping target."""

    record_id: str
    properties: Mapping[str, JsonValue]


@dataclass(frozen=True)
class UpsertAnswer:
    """The vendor's word on one batch, one result per record sent, and the calls it took."""

    results: Sequence[RecordResult]
    vendor_calls: int = 1


@runtime_checkable
class RecordConnector(Connector, Protocol):
    """A system of records, such as a CRM (capability `records`)."""

    def default_object(self) -> str:
        """Return the object type a report is written to when the request names none."""
        ...

    def prepare(self, object_type: str, record: OutboundRecord) -> OutboundRecord:
        """Return the record in the vendor's formats; the result decides the fingerprint. No I/O.

        Raises:
            InvalidInput: the vendor would refuse the record; the message names the property, not its value.
        """
        ...

    async def upsert(self, object_type: str, records: Sequence[OutboundRecord]) -> UpsertAnswer:
        """Create or update at most `manifest.batch_size` prepared records in one call.

        Idempotent: yes, by the record id kept in a unique property.
        """
        ...

    async def read(self, object_type: str, record_ids: Sequence[str]) -> Mapping[str, Mapping[str, JsonValue]]:
        """Return the vendor's current properties by our record id, for at most `manifest.batch_size` ids."""
        ...


@dataclass(frozen=True)
class RemovalAnswer:
    """Which records are gone now, which the vendor refused to remove and why, and the calls it took."""

    removed: Sequence[str]
    refused: Mapping[str, str]
    vendor_calls: int


@runtime_checkable
class RemovingRecordConnector(RecordConnector, Protocol):
    """A system of records that removes them, as `manifest.removes` says."""

    async def remove(self, object_type: str, record_ids: Sequence[str]) -> RemovalAnswer:
        """Remove at most `manifest.batch_size` records by our record id.

        Idempotent: yes, what is gone already counts as removed.

        Raises:
            OutcomeUnknown: the answer was lost; removing them again is safe.
        """
        ...


class BulkStage(StrEnum):
    """How far a bulk job is: open for data, being worked on, ended, or not to be had any more."""

    OPEN = "open"
    WORKING = "working"
    ENDED = "ended"
    GONE = "gone"


@runtime_checkable
class BulkRecordConnector(RecordConnector, Protocol):
    """A system of records that also takes thousands of them as one job (capability `bulk`).

    A job is begun, loaded once, looked at until it has ended, and then tells what became of each record.
    """

    async def begin_bulk(self, object_type: str) -> str:
        """Open a job and return its id; nothing is written yet.

        Raises:
            OutcomeUnknown: the answer was lost; another job may be begun, an open one does nothing.
        """
        ...

    async def load_bulk(self, job_id: str, records: Sequence[OutboundRecord]) -> None:
        """Give an open job at most `manifest.bulk_size` prepared records and hand it over for processing.

        Raises:
            OutcomeUnknown: the answer was lost; `bulk_stage` tells whether the job is still open.
        """
        ...

    async def bulk_stage(self, job_id: str) -> BulkStage:
        """Say how far a job is."""
        ...

    async def bulk_results(self, job_id: str) -> UpsertAnswer:
        """Return what became of each record of an ended job.

        Raises:
            Permanent: the job was refused as a whole; no record of it was written.
        """
        ...

    async def abandon_bulk(self, job_id: str) -> None:
        """Give up an open job."""
        ...
