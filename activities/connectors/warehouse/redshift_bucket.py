"""The tenant's S3 bucket that Redshift copies from: its objects, the manifest of a load, and the COPY itself."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

from activities.connectors.warehouse.dialect import path_part
from activities.connectors.warehouse.object_store import ObjectStore
from activities.ports.connection import Connection
from activities.transport.addresses import is_loopback
from activities.transport.outbound import is_among, parse, refused
from contracts.errors import InvalidInput

_SYSTEM = "redshift"
_STORES = ("*.amazonaws.com", "*.amazonaws.com.cn")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+){1,3}-\d{1,2}")
_ROLE = re.compile(r"default|arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
_FOLDER = "wedsync"
_SIGNED_FOR = timedelta(minutes=15)


class Bucket:
    """The bucket of one connection; every call blocks.

    Args:
        connection: names bucket, region and role, and has the access key.

    Raises:
        InvalidInput: one of them is not written as AWS writes it, or the store's address is not AWS's.
    """

    def __init__(self, connection: Connection) -> None:
        self._bucket = _checked(connection, "bucket", _BUCKET)
        role = _checked(connection, "iamRole", _ROLE)
        self._role = role if role == "default" else f"'{role}'"
        self._store = ObjectStore(connection, _SYSTEM, self._sign)
        self._signer = S3Store(self._bucket, **_access(connection, _checked(connection, "region", _REGION)))

    def put(self, directory: str, files: Sequence[Path]) -> None:
        """Write the files, then a manifest of exactly them, which for columnar files has to know their sizes.

        Raises:
            WedSyncError: the store does not answer or does not allow it.
        """
        entries = []
        for path in files:
            key = _key(directory, path.name)
            length = self._store.put(key, path)
            url = f"s3://{self._bucket}/{key}"
            entries.append({"url": url, "mandatory": True, "meta": {"content_length": length}})
        manifest = json.dumps({"entries": entries}).encode()
        self._store.put(_manifest(directory, [path.name for path in files]), manifest)

    def copy_into(self, table: str, directory: str, names: Sequence[str]) -> str:
        """Return the COPY of the files that the manifest names."""
        manifest = f"s3://{self._bucket}/{_manifest(directory, names)}"
        return f"COPY {table} FROM '{manifest}' IAM_ROLE {self._role} FORMAT AS PARQUET MANIFEST"

    def remove(self, directory: str, names: Sequence[str]) -> None:
        """Remove the files and their manifest.

        Raises:
            WedSyncError: the store does not answer or does not allow it.
        """
        for key in (*(_key(directory, name) for name in names), _manifest(directory, names)):
            self._store.delete(key)

    def close(self) -> None:
        """Close the sockets."""
        self._store.close()

    def _sign(self, method: str, key: str) -> str:
        return str(obstore.sign(self._signer, method, key, _SIGNED_FOR))  # type: ignore[call-overload]


def _access(connection: Connection, region: str) -> dict[str, Any]:
    access: dict[str, Any] = {
        "region": region,
        "access_key_id": connection.secret("accessKeyId"),
        "secret_access_key": connection.secret("secretAccessKey"),
        "virtual_hosted_style_request": True,
    }
    if url := connection.setting("stagingUrl"):
        target = parse(url, _SYSTEM)
        if not (is_loopback(target.host) or is_among(target.host, _STORES)):
            raise refused("host_not_vendors", "its object store is not one of AWS", _SYSTEM)
        access |= {"endpoint": target.url, "virtual_hosted_style_request": False}
        access["client_options"] = {"allow_http": target.scheme == "http"}
    return access


def _checked(connection: Connection, name: str, form: re.Pattern[str]) -> str:
    value = connection.setting(name)
    if not form.fullmatch(value):
        raise InvalidInput(
            "identifier_refused",
            f"The setting {name} of the redshift integration is not written as AWS writes it.",
            action=f"Correct {name} in the integration's settings.",
            system=_SYSTEM,
        )
    return value


def _key(directory: str, name: str) -> str:
    return f"{_FOLDER}/{directory}/{path_part(name)}"


def _manifest(directory: str, names: Sequence[str]) -> str:
    return f"{_key(directory, names[0])}.manifest"
