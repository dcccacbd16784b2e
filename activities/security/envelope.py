"""AES-256-GCM envelopes: keys derived from one master key, bound to what they seal."""

from __future__ import annotations

import base64
import os
import secrets
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contracts.errors import Owner, Permanent

KEY_BYTES = 32
NONCE_BYTES = 12
CHUNK_BYTES = 1 << 20
_MAGIC = b"WSE1"


class Readable(Protocol):
    """Anything bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        ...


class MasterKey:
    """The 256-bit master key; purpose keys are derived from it and never stored.

    Args:
        key: exactly 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise Permanent(
                "master_key_invalid",
                f"The master key has {len(key)} bytes and needs {KEY_BYTES}.",
                owner=Owner.OPERATOR,
                action="Set WEDSYNC_MASTER_KEY to 32 random bytes in base64.",
            )
        self._key = key

    def __repr__(self) -> str:
        """Say nothing about the key."""
        return "MasterKey(...)"

    def key_id(self) -> str:
        """Return a public fingerprint that tells two master keys apart."""
        return self.derive("key-id")[:6].hex()

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of a purpose, such as `codec/default` or `staging/<organisation>`."""
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode()).derive(self._key)

    @classmethod
    def from_text(cls, text: str) -> MasterKey:
        """Return the key written as base64.

        Raises:
            Permanent: not base64, or not 32 bytes.
        """
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except ValueError:
            key = b""
        return cls(key)

    @classmethod
    def from_file(cls, path: Path) -> MasterKey:
        """Return the key in `path`, generating the file with mode 0600 when it is missing.

        Raises:
            Permanent: others may read the file, or its content is no key.
        """
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                return cls.from_file(path)
            with os.fdopen(handle, "wb") as file:
                file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Permanent(
                "master_key_exposed",
                f"The master key file {path.name} can be read by other users.",
                owner=Owner.OPERATOR,
                action="Set its mode to 0600, and rotate the key if it was exposed.",
            )
        return cls.from_text(path.read_text())


def seal(key: bytes, plain: bytes, bound_to: str) -> bytes:
    """Return nonce and ciphertext of `plain`, which opens only with the same `bound_to`."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to.encode())


def unseal(key: bytes, sealed: bytes, bound_to: str) -> bytes:
    """Return the plain bytes of `seal`.

    Raises:
        Permanent: another key, another place, or changed bytes.
    """
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to.encode())
    except (InvalidTag, ValueError) as error:
        raise Permanent(
            "sealed_data_unreadable",
            "Sealed data does not open: it was changed, moved, or sealed under another master key.",
            owner=Owner.OPERATOR,
            action="Start with the master key that sealed this data directory.",
        ) from error


def seal_stream(key: bytes, source: Readable, bound_to: str) -> Iterator[bytes]:
    """Yield `source` sealed in chunks of 1 MiB; order and end are part of what is sealed."""
    yield _MAGIC
    index = 0
    chunk = source.read(CHUNK_BYTES)
    while True:
        following = source.read(CHUNK_BYTES)
        last = not following
        box = seal(key, chunk, f"{bound_to}|{index}|{int(last)}")
        yield struct.pack(">I?", len(box), last) + box
        if last:
            return
        chunk, index = following, index + 1


def unseal_stream(key: bytes, source: Readable, bound_to: str) -> Iterator[bytes]:
    """Yield the plain chunks of `seal_stream`.

    Raises:
        Permanent: the stream was cut, reordered or changed.
    """
    head = struct.Struct(">I?")
    last, index = source.read(len(_MAGIC)) != _MAGIC, 0
    if last:
        unseal(key, b"", bound_to)
    while not last:
        frame = source.read(head.size)
        size, last = head.unpack(frame) if len(frame) == head.size else (0, True)
        yield unseal(key, source.read(size), f"{bound_to}|{index}|{int(last)}")
        index += 1
