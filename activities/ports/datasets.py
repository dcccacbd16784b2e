"""The Protocol of connectors that take a whole data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from activities.ports.connector import Connector
from contracts.errors import QualityGateFailed


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
                f"{refused} rows of {self.name!r} are refused beside the records rejected before, more than may be; "
                "what the system held stands.",
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
