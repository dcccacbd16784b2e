"""What may happen to an object in a store."""

from __future__ import annotations

DAMAGE = ("flipped", "trimmed", "emptied", "lengthened", "repeated")


def damaged(content: bytes, kind: str, where: float) -> bytes:
    """Return the content damaged at a share of its length.

    Args:
        content: of an object.
        kind: one of `DAMAGE`.
        where: from 0 to less than 1.
    """
    place = int(len(content) * where)
    if kind == "flipped":
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    if kind == "trimmed":
        return content[:place]
    if kind == "lengthened":
        return content[:place] + b"\0" + content[place:]
    if kind == "repeated":
        return content + content[place:]
    return b""
