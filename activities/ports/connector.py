"""The Protocols of the connector families."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from pydantic import JsonValue

from activities.ports.connection import Connection
from activities.ports.manifest import Manifest
from contracts.effects import Delivery, EffectOutcome, EffectStep, StandingEffect
from contracts.engagement import EngagementResult, EngagementTracking, NotificationState
from contracts.errors import QualityGateFailed, WedSyncError
from contracts.integration import ConnectionProbe, ProvisionResult
from contracts.sync import RecordResult
from contracts.weather import DayForecast, WeatherAlerts
from contracts.wedding import WeddingEvent


@runtime_checkable
class Connector(Protocol):
    """What every system offers. One instance serves many activities at once, until `aclose`."""

    manifest: ClassVar[Manifest]

    def __init__(self, connection: Connection) -> None: ...

    async def probe(self) -> ConnectionProbe:
        """Make one cheap authenticated call and say what the account offers.

        Raises:
            AuthExpired: the vendor refuses the credential.
            Transient: the vendor does not answer.
        """
        ...

    async def provision(self) -> ProvisionResult:
        """Create what syncs and deliveries need at the vendor.

        Idempotent: yes, existing things are left as they are.
        """
        ...

    async def aclose(self) -> None:
        """Release sessions and sockets."""
        ...


@runtime_checkable
class DeliveryConnector(Connector, Protocol):
    """A system that shows a notification or takes a task (capability `deliver`, `email`, `task`)."""

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return the vendor calls a delivery needs, each with a deterministic effect id; no I/O.

        Raises:
            InvalidInput: the target or the metadata lacks something the system needs.
        """
        ...

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Make the one vendor call of `step`."""
        ...

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Ask the vendor whether the effect of `step` already stands; None when it does not."""
        ...


@runtime_checkable
class CheckingConnector(DeliveryConnector, Protocol):
    """A system that can be asked beforehand whether it would take an effect."""

    async def check(self, step: EffectStep) -> None:
        """Ask whether what the effect needs is there; changes nothing.

        Raises:
            Permanent: it is not.
        """
        ...


@runtime_checkable
class BatchDeliveryConnector(DeliveryConnector, Protocol):
    """A system that takes many effects in one call, of the kinds in `manifest.delivery_batch`."""

    async def apply_batch(self, steps: Sequence[EffectStep]) -> Mapping[str, EffectOutcome | WedSyncError]:
        """Make effects of one kind stand in one vendor call.

        Args:
            steps: of one kind, and no two of them about the same object.

        Returns:
            Effect id -> what the vendor said of it; one it said nothing of is `OutcomeUnknown`.

        Raises:
            Permanent: `batch_refused`, the vendor refuses all because of one that it does not name: send halves.
            OutcomeUnknown: the answer was lost; `find` tells of each effect whether it stands.
        """
        ...


@runtime_checkable
class RetractingConnector(DeliveryConnector, Protocol):
    """A system that takes effects back, of the kinds in `manifest.reversible`."""

    async def retract(self, effect: StandingEffect) -> None:
        """Take the effect back.

        Idempotent: yes, what is gone already is no error.
        """
        ...


@runtime_checkable
class CorrectingConnector(DeliveryConnector, Protocol):
    """A system that sets effects right, of the kinds in `manifest.correctable`."""

    async def correct(self, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
        """Write what `step` says over the effect that stands.

        Idempotent: yes, the same words written twice read the same.

        Raises:
            Permanent: the effect no longer stands.
        """
        ...


@runtime_checkable
class StateConnector(DeliveryConnector, Protocol):
    """A system that shows how far a notification came elsewhere."""

    async def show_state(self, effect: StandingEffect, state: NotificationState) -> bool:
        """Show the state at what the effect made, and return whether that changed anything.

        Idempotent: yes. False, too, where the system has no way to show this state at this kind of effect.

        Raises:
            Permanent: the effect no longer stands.
        """
        ...


@runtime_checkable
class EngagementConnector(Connector, Protocol):
    """A system that tells what people made of a message."""

    async def engagement(self, tracking: EngagementTracking) -> EngagementResult:
        """Return reactions and replies of one message.

        Raises:
            Permanent: there is no such message.
        """
        ...


@dataclass(frozen=True)
class BusySlot:
    """A time at which a resource is taken, and by which booking where the system says."""

    starts_at: datetime
    ends_at: datetime
    booking_id: str | None = None


@runtime_checkable
class AvailabilityConnector(Connector, Protocol):
    """A system that tells when a resource is busy (capability `availability`)."""

    async def busy(self, resource_id: str, starts_at: datetime, ends_at: datetime) -> Sequence[BusySlot]:
        """Return the slots of the resource that overlap the time asked for, in order.

        Raises:
            InvalidInput: the system has no such resource.
        """
        ...


@runtime_checkable
class WeatherConnector(Connector, Protocol):
    """A feed of the weather (capability `feed`)."""

    async def alerts(self, latitude: float, longitude: float) -> WeatherAlerts:
        """Return the alerts in force at a place, given in degrees."""
        ...

    async def forecast(self, latitude: float, longitude: float, day: date) -> DayForecast:
        """Return what a local day is expected to bring at a place.

        Raises:
            InvalidInput: there is no forecast of that day yet.
        """
        ...


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


@dataclass(frozen=True)
class DatasetColumn:
    """A column of a published data set; `type` is text, integer, decimal, boolean, date or timestamp."""

    name: str
    type: str


class Progress(Protocol):
    """What a publication knows of its earlier attempts, and how it waits for a vendor that works on it."""

    async def noted(self) -> str:
        """Return what an earlier attempt noted last, nothing where there was none."""
        ...

    async def note(self, text: str) -> None:
        """Keep a short text, such as the id of a job, before the vendor is asked for more."""
        ...

    async def pause(self) -> None:
        """Wait before the vendor is asked again; each wait is longer than the one before."""
        ...


@dataclass(frozen=True)
class PublishRequest:
    """A whole data set to publish under a name; `files` are local Parquet files of `columns`."""

    name: str
    files: Sequence[Path]
    columns: Sequence[DatasetColumn]
    request_id: str
    """The vendor's idempotency key of this publication."""
    refresh_cron: str | None = None
    scratch_dir: Path = field(default_factory=Path)
    progress: Progress = field(kw_only=True)
    most_refused: int | None = None
    """How many rows the system may refuse; None is any number."""

    def check_refused(self, refused: int) -> None:
        """Stop before anything is replaced when the system refuses too many rows.

        Raises:
            QualityGateFailed: `too_many_rejected`.
        """
        if self.most_refused is not None and refused > self.most_refused:
            raise QualityGateFailed(
                "too_many_rejected",
                f"The system refuses {refused} rows of {self.name!r}; {max(self.most_refused, 0)} may be. "
                "What it held before stands.",
                action="Mend the records or the mapping, or raise errorHandling.maxRejectedRatio.",
                operation="sync.publish_dataset",
                evidence={"refused": refused},
            )


@dataclass(frozen=True)
class PublishAnswer:
    """What the vendor now holds."""

    remote_id: str
    rows: int
    vendor_calls: int
    refused: Mapping[int, str] = field(default_factory=dict)
    """Number of a row in the order of the files, from 0 -> why the vendor does not take it."""


@runtime_checkable
class DatasetConnector(Connector, Protocol):
    """A BI system that takes whole data sets (capability `datasets`)."""

    def data_sources(self) -> Mapping[str, str]:
        """Return report id -> name of the data source it feeds."""
        ...

    async def publish(self, request: PublishRequest) -> PublishAnswer:
        """Replace the named data source by the request's rows.

        Idempotent: yes, the name is overwritten and the request id is honoured once.
        """
        ...


@dataclass(frozen=True)
class SourcePage:
    """One page of records; `cursor` resumes after it, None on the last page."""

    records: Sequence[Mapping[str, JsonValue]]
    cursor: str | None
    as_of: str | None = None


@runtime_checkable
class SourceConnector(Connector, Protocol):
    """A source of report records, and of the newest facts of a wedding (capability `source`)."""

    def pages(
        self,
        report_id: str,
        *,
        cursor: str | None = None,
        updated_since: str | None = None,
        record_ids: Sequence[str] = (),
    ) -> AsyncIterator[SourcePage]:
        """Yield the report's pages from `cursor` on.

        Args:
            report_id: the report.
            cursor: where an earlier reading stopped.
            updated_since: ISO instant; only records changed at or after it.
            record_ids: only these records, where any are named.

        Raises:
            InvalidInput: no such report.
        """
        ...

    async def wedding(self, wedding_id: str) -> WeddingEvent:
        """Return a wedding as it is now, restated with the newest event about each fact and the last one's number.

        Raises:
            InvalidInput: no such wedding.
            Transient: no usable answer.
        """
        ...


@runtime_checkable
class TableConnector(Connector, Protocol):
    """A database whose tables are read as reports, which its integration's settings define (capability `tables`)."""

    async def columns(self, report_id: str) -> Sequence[str]:
        """Return the names of the report's columns, in order.

        Raises:
            InvalidInput: no such report.
            Permanent: the table or a column of the report is not there, or may not be read.
        """
        ...

    async def export(self, report_id: str, into: Path, since: datetime | None, before: datetime | None) -> None:
        """Write the report's rows, as they stand in one moment, into a CSV file with a header.

        Args:
            report_id: a report of the settings.
            into: the file.
            since: only rows changed at or after this instant.
            before: only rows changed before this instant.

        Raises:
            InvalidInput: no such report, or it has no column that tells when a row changed.
            Transient: the database does not answer.
        """
        ...
