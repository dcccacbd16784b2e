"""Bulk data by reference: sealed objects in an object store, plain files only while an activity works on them."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url

from activities.security.envelope import KEY_ID_BYTES, DerivingKey, seal_stream, unseal_stream
from activities.security.keyring import RootKeys
from contracts.dataset import DatasetRef
from contracts.errors import Owner, Permanent, Transient

_LOCK = ".lock"
_MAGIC = b"WSK1"
"""Begins an object whose root key's id follows; older ones begin with the stream itself."""
_LEAST_FREE = 4 << 20
"""With less room than this, a file that could not be written was too large for the disk."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Staging:
    """An object store (a directory, or S3, GCS, Azure by URL) whose objects are sealed per organisation.

    Args:
        url: `file:///...`, `s3://bucket/prefix`, `gs://...` or `az://...`.
        keys: the root keys; objects are sealed under `staging/<organisation>` of the newest.
        scratch_dir: where plain files live while an activity runs; what killed processes left there is removed.
    """

    def __init__(self, url: str, keys: RootKeys, scratch_dir: Path) -> None:
        self._directory = _directory(url)
        self._store = object_store(url)
        self._keys = keys
        self._scratch = _Scratch(scratch_dir)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty private directory that is gone afterwards.

        Raises:
            Transient: `storage_full`, whatever the block made of a disk that took no more.
        """
        path = Path(tempfile.mkdtemp(dir=self._scratch.path))
        try:
            yield path
        except Exception as error:
            full = isinstance(error, OSError) and error.errno in _FULL
            if full or shutil.disk_usage(path).free < _LEAST_FREE:
                raise _storage_full() from error
            raise
        finally:
            shutil.rmtree(path, ignore_errors=True)

    async def put_file(self, key: str, path: Path, rows: int) -> DatasetRef:
        """Seal the file into the store under `key` and return its reference.

        Idempotent: yes, an existing object of the same key is replaced as a whole.

        Args:
            key: `<organisation>/<run>/<name>`; the organisation seals it.
            path: a plain local file.
            rows: its number of rows.

        Raises:
            Transient: the store is full or does not answer; nothing stands under `key` that did not before.
        """
        return await asyncio.to_thread(self._put, key, path, rows)

    def _put(self, key: str, path: Path, rows: int) -> DatasetRef:
        digest = _sha256(path)
        size = path.stat().st_size
        try:
            with path.open("rb") as plain:
                obstore.put(self._store, key, self._sealed(plain, key), use_multipart=True)
        except (BaseError, OSError) as error:
            raise self._not_stored(size) from error
        return DatasetRef(key=key, rows=rows, size_bytes=size, sha256=digest)

    def _not_stored(self, size: int) -> Transient:
        # What was written in part is removed by now: whether there was room for all of it tells.
        if self._directory is not None and shutil.disk_usage(self._directory).free < size + _LEAST_FREE:
            return _storage_full()
        return _not_answering()

    async def fetch(self, ref: DatasetRef, into: Path) -> Path:
        """Open the referenced object into a plain file in `into`, checked against its digest.

        Raises:
            Transient: the object is missing, or the store does not answer.
            Permanent: the object was changed.
        """
        return await asyncio.to_thread(self._fetch, ref, into)

    def _sealed(self, plain: BinaryIO, key: str) -> Iterator[bytes]:
        root = self._keys.fetch()
        yield _MAGIC + bytes.fromhex(root.key_id())
        yield from seal_stream(_sealing_key(root, key), plain, key)

    def _opened(self, key: str) -> Iterator[bytes]:
        stream = _Reader(obstore.open_reader(self._store, key))
        if stream.read(len(_MAGIC)) == _MAGIC:
            root = self._keys.fetch(stream.read(KEY_ID_BYTES).hex())
        else:
            root, stream = self._keys.eldest(), _Reader(obstore.open_reader(self._store, key))
        yield from unseal_stream(_sealing_key(root, key), stream, key)

    def _fetch(self, ref: DatasetRef, into: Path) -> Path:
        target = into / ref.key.rsplit("/", 1)[-1]
        try:
            with target.open("wb") as plain:
                for chunk in self._opened(ref.key):
                    plain.write(chunk)
        except (FileNotFoundError, NotFoundError) as error:
            raise Transient("staging_missing", "A staged file is not in the object store.") from error
        except BaseError as error:
            raise _not_answering() from error
        if _sha256(target) != ref.sha256:
            raise Permanent(
                "staging_corrupt",
                "A staged file does not match its digest.",
                action="Start the run again; it extracts afresh.",
            )
        return target

    async def put_note(self, key: str, text: str) -> None:
        """Seal a short text into the store under `key`.

        Idempotent: yes, a note of the same key is replaced.

        Raises:
            Transient: the store is full or does not answer; nothing stands under `key` that did not before.
        """
        await asyncio.to_thread(self._put_note, key, text.encode())

    def _put_note(self, key: str, text: bytes) -> None:
        try:
            obstore.put(self._store, key, b"".join(self._sealed(io.BytesIO(text), key)))
        except (BaseError, OSError) as error:
            raise self._not_stored(len(text)) from error

    async def note(self, key: str) -> str | None:
        """Return the text that stands under `key`, None where there is none."""
        return await asyncio.to_thread(self._note, key)

    def _note(self, key: str) -> str | None:
        try:
            return b"".join(self._opened(key)).decode()
        except (FileNotFoundError, NotFoundError):
            return None

    async def delete_prefix(self, prefix: str) -> int:
        """Delete every object below `prefix` and return how many there were."""
        return await asyncio.to_thread(self._delete_prefix, prefix)

    def _delete_prefix(self, prefix: str) -> int:
        found = [item["path"] for batch in obstore.list(self._store, prefix) for item in batch]
        if found:
            obstore.delete(self._store, found)
        return len(found)


def object_store(url: str) -> ObjectStore:
    """Return the store that a URL as `Staging` takes it names; a directory is made."""
    directory = _directory(url)
    if directory is None:
        # Temporal repeats what fails.
        return from_url(url, retry_config={"max_retries": 0})
    directory.mkdir(parents=True, exist_ok=True)
    return LocalStore(directory)


def _directory(url: str) -> Path | None:
    return Path(url.removeprefix("file://")) if url.startswith("file://") else None


def _storage_full() -> Transient:
    return Transient(
        "storage_full",
        "The disk for staged files is full; what did not fit is not there.",
        owner=Owner.OPERATOR,
        action="Make room on the disk of WEDSYNC_DATA_DIR, or stage in an object store by WEDSYNC_STAGING_URL.",
    )


def _not_answering() -> Transient:
    return Transient(
        "object_store_unavailable",
        "The object store of staged files does not answer.",
        owner=Owner.OPERATOR,
        action="Check WEDSYNC_STAGING_URL and the worker's credentials for it; runs repeat by themselves.",
    )


def _sealing_key(root: DerivingKey, key: str) -> bytes:
    return root.derive(f"staging/{key.split('/', 1)[0]}")


class _Scratch:
    """A private directory of this process, held by a lock that ends with the process."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (root / _LOCK).open("w") as every:
            # Nobody may find a directory between its making and its locking.
            fcntl.flock(every, fcntl.LOCK_EX)
            for other in root.iterdir():
                _remove_unheld(other)
            self.path = Path(tempfile.mkdtemp(dir=root))
            self._held = (self.path / _LOCK).open("w")
            fcntl.flock(self._held, fcntl.LOCK_EX)


def _remove_unheld(directory: Path) -> None:
    if not directory.is_dir():
        return
    try:
        with (directory / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    shutil.rmtree(directory, ignore_errors=True)


class _Reader:
    """obstore's reader, answering `read` with bytes of exactly the size asked for."""

    def __init__(self, stream: obstore.ReadableFile) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            part = bytes(self._stream.read(size))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
