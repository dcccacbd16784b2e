"""References to bulk data, which never travels in a payload."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.base import Contract, Instant, OpaqueId, ShortText

STAGED_FILE_LOST = frozenset({"staging_corrupt", "staging_missing", "sealed_data_unreadable"})
"""Codes that say a staged file is gone or changed: what it held is to be read from its source again."""


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
    DATABASE = "database"
    DEAD_LETTERS = "dead_letters"
    """What earlier syncs of the report could not bring over."""


class SourceFormat(StrEnum):
    """Formats of a file source."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


class DataSource(Contract):
    """A WedSync report, a report that a database's integration defines, a file, or a report's dead letters.

    Files are named by a URI: `file:///directory/name`, or `s3://`, `gs://`, `az://` with bucket and key.
    """

    kind: SourceKind = SourceKind.WEDSYNC
    report_id: OpaqueId | None = None
    uri: ShortText | None = None
    format: SourceFormat | None = None
    integration_id: OpaqueId | None = None
    """The integration of the database; only kind `database` takes it."""
    changed_since: Instant | None = None
    """Only records changed at this instant or later; loads and kind `database` take it."""
    changed_before: Instant | None = None
    """Only records changed before this instant; loads and kind `database` take it."""

    @property
    def windowed(self) -> bool:
        """Whether only records changed within a time are wanted."""
        return self.changed_since is not None or self.changed_before is not None
