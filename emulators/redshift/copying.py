"""COPY of Parquet files on S3, with the rules that Redshift has for columnar files.

Source: Amazon Redshift Database Developer Guide, COPY, "COPY from columnar data formats" (columns by position, as many
as the table has; which parameters are supported; no REGION) and "Using a manifest" (`meta.content_length`).
The texts of the errors, and that a file's types have to be exactly the table's, are no document's words.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from emulators.redshift.refusals import Refusal

BUCKET = "wedsync-sandbox"
REGION = "us-east-1"
KEY_ID = SECRET_KEY = "sandbox"
_ROLE = re.compile(r"default|arn:aws[\w-]*:iam::\d{12}:role/\S+")
_COPY = re.compile(
    r"copy\s+(?P<table>[\w.\"]+)\s*(\((?P<columns>[^)]*)\))?\s+from\s+'s3://(?P<bucket>[^/']+)/(?P<key>[^']*)'\s*"
    r"(?P<options>.*)",
    re.IGNORECASE | re.DOTALL,
)
_OPTIONS = re.compile(
    r"iam_role\s+(?:'(?P<role>[^']*)'|(?P<default>default))|format\s+(?:as\s+)?(?P<format>\w+)|(?P<manifest>manifest)\b"
    r"|statupdate\s+(?:on|off|true|false)|fillrecord|explicit_ids|acceptinvchars|(?P<other>\S+)",
    re.IGNORECASE,
)
FAILED = "Load into table '{table}' failed.  Check 'sys_load_error_detail' system table for details."
_TYPES: dict[str, str] = {
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float": "real",
    "double": "double precision",
    "bool": "boolean",
    "date32[day]": "date",
    "string": "character varying",
    "large_string": "character varying",
}


@dataclass(frozen=True)
class Copy:
    """A COPY that has been read: where to, which columns if it names any, from where."""

    table: str
    columns: tuple[str, ...]
    bucket: str
    key: str
    has_manifest: bool


@dataclass(frozen=True)
class Column:
    """A column of the target, its type as PostgreSQL prints it."""

    name: str
    type: str


def read(sql: str) -> Copy:
    """Read a COPY statement.

    Raises:
        Refusal: it names something that a COPY of Parquet does not take.
    """
    found = _COPY.fullmatch(sql)
    if found is None:
        raise Refusal("42601", "syntax error in COPY")
    role = file_format = None
    has_manifest = False
    for option in _OPTIONS.finditer(found["options"]):
        role = option["role"] or option["default"] or role
        file_format = option["format"] or file_format
        has_manifest = has_manifest or bool(option["manifest"])
        if option["other"]:
            raise Refusal("0A000", f"{option['other'].upper()} argument is not supported for PARQUET based COPY")
    if file_format is None or file_format.lower() != "parquet":
        raise Refusal("0A000", "the stand-in copies PARQUET only")
    if role is None or not _ROLE.fullmatch(role):
        raise Refusal("42601", "COPY needs IAM_ROLE with default or the ARN of a role")
    columns = tuple(one.strip().strip('"').lower() for one in (found["columns"] or "").split(",") if one.strip())
    return Copy(found["table"].replace('"', "").lower(), columns, found["bucket"], found["key"], has_manifest)


class Files:
    """The objects that a COPY reads.

    Args:
        endpoint: root URL of the S3 that the stand-in runs.
    """

    def __init__(self, endpoint: str) -> None:
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET_KEY,
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )

    def create_bucket(self) -> None:
        """Make the bucket of the sandbox."""
        self._client.create_bucket(Bucket=BUCKET)

    def empty(self) -> None:
        """Delete every object."""
        for key in self._keys(BUCKET, ""):
            self._client.delete_object(Bucket=BUCKET, Key=key)

    def tables(self, copy: Copy) -> list[pa.Table]:
        """The rows of each file; blocks.

        Raises:
            Refusal: a file or the manifest is missing, or is not what it should be.
        """
        try:
            return [pq.read_table(pa.BufferReader(body)) for body in self._bodies(copy)]
        except (ClientError, BotoCoreError) as error:
            raise Refusal("XX000", f"S3ServiceException: {type(error).__name__}") from error
        except pa.ArrowInvalid as error:
            raise Refusal("XX000", FAILED.format(table=copy.table)) from error

    def _bodies(self, copy: Copy) -> Iterator[bytes]:
        if not copy.has_manifest:
            keys = list(self._keys(copy.bucket, copy.key))
            if not keys:
                raise Refusal("XX000", f"The specified S3 prefix '{copy.key}' does not exist")
            for key in keys:
                yield self._body(copy.bucket, key)
            return
        for entry in json.loads(self._body(copy.bucket, copy.key))["entries"]:
            bucket, _, key = entry["url"].removeprefix("s3://").partition("/")
            length = entry.get("meta", {}).get("content_length")
            if length is None:
                raise Refusal("XX000", "The manifest of a columnar file needs meta.content_length")
            try:
                body = self._body(bucket, key)
            except ClientError:
                if entry.get("mandatory"):
                    raise
                continue
            if len(body) != length:
                raise Refusal("XX000", f"File {key} has {len(body)} bytes where the manifest says {length}")
            yield body

    def _body(self, bucket: str, key: str) -> bytes:
        body: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def _keys(self, bucket: str, prefix: str) -> Iterator[str]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                yield str(entry["Key"])


def as_csv(table: pa.Table, copy: Copy, columns: Sequence[Column]) -> bytes:
    """A file's rows as PostgreSQL reads them, by position.

    Raises:
        Refusal: the columns' number or types are not the table's.
    """
    if table.num_columns != len(columns):
        problem = f"Unmatched number of columns between table and file. Table columns: {len(columns)}, "
        raise Refusal("XX000", f"{problem}Data columns: {table.num_columns}")
    for field, column in zip(table.schema, columns, strict=True):
        if not _fits(field.type, column.type):
            problem = f"file has an incompatible Parquet schema for column '{copy.table}.{column.name}'."
            raise Refusal("XX000", f"{problem} Column type: {column.type.upper()}, Parquet type: {field.type}")
    sink = io.BytesIO()
    pc.write_csv(table, sink, pc.WriteOptions(include_header=False, quoting_style="all_valid"))
    return sink.getvalue()


def _fits(kind: pa.DataType, column: str) -> bool:
    plain = column.partition("(")[0]
    if pa.types.is_timestamp(kind):
        return plain == ("timestamp with time zone" if kind.tz else "timestamp without time zone")
    if pa.types.is_decimal(kind):
        return column == f"numeric({kind.precision},{kind.scale})"
    return _TYPES.get(str(kind)) == plain
