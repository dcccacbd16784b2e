"""Personal values inside data sets: tokens that join, and boxes that open with the subject's key alone."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from activities.security.envelope import NONCE_BYTES, DerivingKey, unreadable, unseal

TOKEN_LENGTH = 32
_BOX = "wsf1."
"""Begins a box, so that one is told from a plain value."""


def token(key: bytes, value: str) -> str:
    """Return the value's token: 32 hex digits, the same for the same value and key."""
    return hmac.digest(key, value.encode(), "sha256").hex()[:TOKEN_LENGTH]


def tokens(key: bytes, values: Sequence[str | None]) -> list[str | None]:
    """Return the token of each value; nothing stays nothing."""
    return [None if value is None else token(key, value) for value in values]


def boxes(
    subject_keys: Mapping[str, bytes | None], subjects: Sequence[str | None], field: str, values: Sequence[str | None]
) -> list[str | None]:
    """Return each value as a box under its subject's key; nothing where there is no subject, or its key is destroyed.

    The nonce is made of the value (as SIV does), so that the same value of a subject is the same box in every load, and
    a warehouse sees no change where there is none.

    Args:
        subject_keys: subject -> key.
        subjects: the subject of each value.
        field: what the values are; a box opens as nothing else.
        values: the plain texts.
    """
    ciphers = {name: _ciphers(key) for name, key in subject_keys.items() if key is not None}
    place = field.encode()
    made: list[str | None] = []
    for subject, value in zip(subjects, values, strict=True):
        found = ciphers.get(subject) if subject is not None and value is not None else None
        if found is None or value is None:
            made.append(None)
            continue
        cipher, nonce_key = found
        plain = value.encode()
        nonce = hmac.digest(nonce_key, place + b"\x1f" + plain, "sha256")[:NONCE_BYTES]
        box = base64.urlsafe_b64encode(nonce + cipher.encrypt(nonce, plain, place))
        made.append(_BOX + box.decode().rstrip("="))
    return made


def opened(subject_key: bytes, field: str, box: str) -> str:
    """Return the plain text of a box.

    Raises:
        Permanent: it is none, or belongs to another subject or field.
    """
    text = box.removeprefix(_BOX)
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise unreadable() from None
    return unseal(DerivingKey(subject_key).derive("box"), sealed, field).decode()


def _ciphers(key: bytes) -> tuple[AESGCM, bytes]:
    derived = DerivingKey(key)
    return AESGCM(derived.derive("box")), derived.derive("nonce")
