"""Secrets made to be found: every form in which one may stand in a file, and a search for all of them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

CHUNK = 12


def canary(name: str) -> str:
    """Return a secret that occurs nowhere else, with characters that URLs and JSON have to escape."""
    return f"{name}+{secrets.token_urlsafe(24)}/&{secrets.token_urlsafe(6)}"


def forms(secret: str) -> set[bytes]:
    """Return what is searched for: chunks of 12 in both directions, hex, URL-encoded, base64 however aligned."""
    plain = secret.encode()
    found = {*_chunks(plain), *(chunk[::-1] for chunk in _chunks(plain))}
    found |= {text.encode() for chunk in _chunks(plain) for text in (chunk.hex(), chunk.hex().upper())}
    found |= {chunk for text in (quote(secret, safe=""), quote_plus(secret)) for chunk in _chunks(text.encode())}
    for shift in range(3):
        found |= {_inner(encode(bytes(shift) + plain), shift, len(plain)) for encode in _ENCODERS}
    return found


_ENCODERS = (base64.b64encode, base64.urlsafe_b64encode)


def _inner(encoded: bytes, shift: int, size: int) -> bytes:
    """The characters that depend on nothing but the secret."""
    return encoded[-(-shift * 8 // 6) : (shift + size) * 8 // 6]


def _chunks(plain: bytes) -> Iterator[bytes]:
    starts = range(0, max(len(plain) - CHUNK, 0) + 1, CHUNK)
    return (plain[start : start + CHUNK] for start in starts)


def hits(data: bytes, canaries: Iterable[str]) -> list[str]:
    """Return the canaries that stand in `data` in any form, by the word they begin with."""
    return [secret.partition("+")[0] for secret in canaries if any(form in data for form in forms(secret))]


def hits_below(folder: Path, canaries: Iterable[str], *, leaving_out: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return file -> canaries found in it, for every file below a folder.

    Args:
        folder: where to look.
        canaries: what to look for.
        leaving_out: names directly below the folder that are somebody else's.
    """
    outside = {folder / name for name in leaving_out}
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not outside & {path, *path.parents}:
            found[str(path.relative_to(folder))] = hits(path.read_bytes(), canaries)
    return {name: secrets_in for name, secrets_in in found.items() if secrets_in}
