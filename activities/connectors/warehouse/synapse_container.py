"""The tenant's blob container that Synapse copies from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from activities.connectors.warehouse.dialect import path_part
from activities.connectors.warehouse.object_store import ObjectStore
from activities.ports.connection import Connection
from activities.transport.addresses import is_loopback
from activities.transport.outbound import is_among, parse, refused
from contracts.errors import InvalidInput

_SYSTEM = "synapse"
_STORES = ("*.blob.core.windows.net",)
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]")
_SIGNATURE = re.compile(r"[A-Za-z0-9%&=+./:_-]{1,2000}", re.ASCII)
_FOLDER = "wedsync"


class Container:
    """The container of one connection; every call blocks.

    Source: Azure Storage REST API reference, Put Blob and Delete Blob; "Grant limited access with signatures".

    Args:
        connection: names account and container, and has the signature.

    Raises:
        InvalidInput: one of them is not written as Azure writes it, or the store's address is not Azure's.
    """

    def __init__(self, connection: Connection) -> None:
        account = _checked("storageAccount", connection.setting("storageAccount"), _ACCOUNT)
        container = _checked("container", connection.setting("container"), _CONTAINER)
        token = connection.secret("sasToken").removeprefix("?")
        self.signature = _checked("sasToken", token, _SIGNATURE)
        public = f"https://{account}.blob.core.windows.net"
        target = parse(connection.setting("stagingUrl") or public, _SYSTEM)
        if not (is_loopback(target.host) or is_among(target.host, _STORES)):
            raise refused("host_not_vendors", "its object store is not one of Azure", _SYSTEM)
        self._endpoint, self._public = f"{target.url}/{container}", f"{public}/{container}"
        self._store = ObjectStore(connection, _SYSTEM, self._sign, {"x-ms-blob-type": "BlockBlob"})

    def put(self, directory: str, files: Sequence[Path]) -> None:
        """Write the files.

        Raises:
            WedSyncError: the store does not answer or does not allow it.
        """
        for path in files:
            self._store.put(_key(directory, path.name), path)

    def urls(self, directory: str, names: Sequence[str]) -> list[str]:
        """Return where the pool finds the files."""
        return [f"{self._public}/{_key(directory, name)}" for name in names]

    def remove(self, directory: str, names: Sequence[str]) -> None:
        """Remove the files.

        Raises:
            WedSyncError: the store does not answer or does not allow it.
        """
        for name in names:
            self._store.delete(_key(directory, name))

    def close(self) -> None:
        """Close the sockets."""
        self._store.close()

    def _sign(self, _method: str, key: str) -> str:
        return f"{self._endpoint}/{key}?{self.signature}"


def _checked(name: str, value: str, form: re.Pattern[str]) -> str:
    if not form.fullmatch(value):
        raise InvalidInput(
            "identifier_refused",
            f"The {name} of the synapse integration is not written as Azure writes it.",
            action=f"Correct {name} in the integration.",
            system=_SYSTEM,
        )
    return value


def _key(directory: str, name: str) -> str:
    return f"{_FOLDER}/{directory}/{path_part(name)}"
