"""AES-256-GCM envelopes, and the keys that are derived for them."""

from __future__ import annotations

import base64
import secrets
import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from contracts.errors import Owner, Permanent

KEY_BYTES = 32
KEY_ID_BYTES = 6
NONCE_BYTES = 12
CHUNK_BYTES = 1 << 20
_MAGIC = b"WSE1"


class Readable(Protocol):
    """Anything bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        ...


class DerivingKey:
    """A secret from which the keys of purposes are derived; those are never stored.

    Args:
        secret: the 32 pseudorandom bytes of HKDF's first step.
    """

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        """Say nothing about the key."""
        return f"{type(self).__name__}(...)"

    @cached_property
    def _id(self) -> str:
        return self.derive("key-id")[:KEY_ID_BYTES].hex()

    def key_id(self) -> str:
        """Return a public fingerprint, 12 hex digits, that tells two keys apart."""
        return self._id

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of a purpose, such as `codec/default` or `staging/<organisation>`."""
        return HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=purpose.encode()).derive(self.secret)


class MasterKey(DerivingKey):
    """The 256-bit master key, which alone is a ring of one as well.

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
        super().__init__(_extracted(bytes(SHA256.digest_size), key))
        self._organizations = DerivingKey(_extracted(b"organization", key))
        self._key = key

    def organization_key(self, organization_id: str) -> bytes:
        """Return the key that wraps the record keys of an organisation; `secret` does not lead to it."""
        return self._organizations.derive(organization_id)

    def as_text(self) -> str:
        """Return the key in base64, as key files and settings hold it."""
        return base64.b64encode(self._key).decode()

    def held(self, key_id: str | None = None) -> Self | None:
        """Return this key where it is the one asked for."""
        return self if key_id in {None, self.key_id()} else None

    def fetch(self, key_id: str | None = None) -> Self:
        """Return this key where it is the one asked for.

        Raises:
            Permanent: another one is.
        """
        if (found := self.held(key_id)) is None:
            raise unreadable()
        return found

    def every(self) -> Sequence[MasterKey]:
        """Return this key alone."""
        return [self]

    def eldest(self) -> DerivingKey:
        """Return this key."""
        return self

    @classmethod
    def generate(cls) -> Self:
        """Return a new random key."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the key written as base64.

        Raises:
            Permanent: not base64, or not 32 bytes.
        """
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except ValueError:
            key = b""
        return cls(key)


def _extracted(salt: bytes, key: bytes) -> bytes:
    """HKDF's first step."""
    step = HMAC(salt, SHA256())
    step.update(key)
    return step.finalize()


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
        raise unreadable() from error


def unreadable() -> Permanent:
    """Return the error of sealed data that does not open."""
    return Permanent(
        "sealed_data_unreadable",
        "Sealed data does not open: it was changed, moved, or sealed under another master key.",
        owner=Owner.OPERATOR,
        action="Start with the master key that sealed this data directory.",
    )


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
