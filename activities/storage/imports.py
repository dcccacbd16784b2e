"""Files in object stores that sources may name, by the operator's list of prefixes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore, from_url

from contracts.errors import InvalidInput, Owner, Permanent, Transient

ORGANIZATION = "{organization}"
"""Stands in a prefix for the organisation that imports, so that none reads another one's files."""
MAX_BYTES = 4 << 30
_URI = re.compile(r"(?:s3|gs|az)://[a-z0-9][a-z0-9._-]{1,62}/[A-Za-z0-9!_.*'()=+@,:; /-]{1,255}", re.ASCII)
_CHUNK = 8 << 20


class ImportStores:
    """Reads objects below the allowed prefixes; credentials come from the process's environment.

    Args:
        prefixes: such as `s3://exports/{organization}/`; each ends with `/`.

    Raises:
        Permanent: a prefix is not of that form.
    """

    def __init__(self, prefixes: Sequence[str] = ()) -> None:
        for prefix in prefixes:
            if not prefix.endswith("/") or not _plain(prefix.replace(ORGANIZATION, "x") + "x"):
                raise Permanent(
                    "import_stores_invalid",
                    "WEDSYNC_IMPORT_STORES holds something other than prefixes of an object store.",
                    owner=Owner.OPERATOR,
                    action='Write a JSON list such as ["s3://exports/{organization}/"].',
                )
        self._prefixes = list(prefixes)
        self._stores: dict[str, ObjectStore] = {}

    async def fetch(self, organization_id: str, uri: str, into: Path) -> None:
        """Write the object that `uri` names into the file `into`, in bounded memory.

        Raises:
            InvalidInput: it is no URI of an object, is not allowed, is missing, empty, or larger than 4 GiB.
            Permanent: the store refuses the installation's credential.
            Transient: the store does not answer, or the disk is full.
        """
        store, key = self._resolve(organization_id, uri)
        try:
            await asyncio.to_thread(_download, store, key, into)
        except (NotFoundError, FileNotFoundError):
            raise InvalidInput(
                "source_not_found", "The source file does not exist.", action="Correct source.uri."
            ) from None
        except (PermissionDeniedError, UnauthenticatedError):
            raise Permanent(
                "store_refuses",
                "The object store refuses the installation's credential for the source file.",
                owner=Owner.OPERATOR,
                action="Grant the worker's identity read access to the prefixes in WEDSYNC_IMPORT_STORES.",
            ) from None
        except BaseError:
            raise Transient("store_unavailable", "The object store of the source file does not answer.") from None

    def _resolve(self, organization_id: str, uri: str) -> tuple[ObjectStore, str]:
        if not _plain(uri):
            raise InvalidInput(
                "source_uri_invalid",
                "The source's uri does not name an object by plain characters.",
                action="Give s3://bucket/key, gs://bucket/key or az://container/key.",
            )
        if not any(uri.startswith(prefix.replace(ORGANIZATION, organization_id)) for prefix in self._prefixes):
            raise InvalidInput(
                "source_not_allowed",
                "The source file does not lie below a prefix that files may be imported from.",
                action="Move the file below an import prefix, or have the operator allow its prefix.",
            )
        parts = urlsplit(uri)
        bucket = f"{parts.scheme}://{parts.netloc}"
        if bucket not in self._stores:
            # Temporal repeats what fails.
            self._stores[bucket] = from_url(bucket, retry_config={"max_retries": 0})
        return self._stores[bucket], parts.path.removeprefix("/")


def _plain(uri: str) -> bool:
    return _URI.fullmatch(uri) is not None and not {"", ".", ".."} & set(uri.split("://", 1)[1].split("/"))


def _download(store: ObjectStore, key: str, into: Path) -> None:
    found = obstore.get(store, key)
    size = int(found.meta["size"])
    if not 0 < size <= MAX_BYTES:
        code, problem = ("source_empty", "is empty") if size == 0 else ("source_too_large", "is larger than 4 GiB")
        raise InvalidInput(
            code, f"The source file {problem}.", action="Check that the export is complete, or split it."
        )
    with into.open("wb") as file:
        for chunk in found.stream(min_chunk_size=_CHUNK):
            file.write(chunk)
