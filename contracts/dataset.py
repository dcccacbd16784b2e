"""References to bulk data, which never travels in a payload."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.base import Contract, OpaqueId, ShortText


class DatasetRef(Contract):
    """A staged Parquet (or NDJSON) object: key in the object store, size and digest."""

    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/\-]{0,254}$")]
    rows: int = Field(ge=0)
    size_bytes: int = Field(ge=0)
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SourceKind(StrEnum):
    """Where report records come from."""

    WEDSYNC = "wedsync"
    FILE = "file"
    DEAD_LETTERS = "dead_letters"
    """What earlier syncs of the report could not bring over."""


class SourceFormat(StrEnum):
    """Formats of a file source."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


class DataSource(Contract):
    """A WedSync report, a file named by a `file://` URI, or a report's dead letters."""

    kind: SourceKind = SourceKind.WEDSYNC
    report_id: OpaqueId | None = None
    uri: ShortText | None = None
    format: SourceFormat | None = None
