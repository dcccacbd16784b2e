"""Files that hold master keys, one in base64 per line, readable by their owner alone."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from activities.security.envelope import MasterKey
from contracts.errors import Owner, Permanent

Signature = tuple[tuple[int, int, int] | None, ...]


class KeyFiles:
    """The newest key in one file, and beside it the keys that are accepted too.

    `<name>.next` holds the key that is about to become the newest, `<name>.previous` those that were.

    Args:
        newest: the file of the newest key.
    """

    def __init__(self, newest: Path) -> None:
        self.newest = newest
        self.next = newest.with_name(f"{newest.name}.next")
        self.previous = newest.with_name(f"{newest.name}.previous")

    def signature(self) -> Signature:
        """Return what changes when one of the files does."""
        return tuple(_signature(path) for path in (self.newest, self.next, self.previous))

    def read(self) -> Sequence[MasterKey]:
        """Return every key, the newest first.

        Raises:
            Permanent: others may read a file, or its content is no key.
        """
        return [key for path in (self.newest, self.next, self.previous) for key in keys_in(path)]

    def generate(self) -> None:
        """Generate the newest key where its file is missing."""
        if self.newest.exists():
            return
        self.newest.parent.mkdir(parents=True, exist_ok=True)
        draft = self.newest.with_name(f".{self.newest.name}.{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"{MasterKey.generate().as_text()}\n")
        try:
            # A link appears whole, and never replaces the key that another process was faster with.
            os.link(draft, self.newest)
        except FileExistsError:
            pass
        finally:
            draft.unlink()


def keys_in(path: Path) -> Iterator[MasterKey]:
    """Yield the keys of a file, none where there is no file.

    Raises:
        Permanent: others may read the file, or its content is no key.
    """
    try:
        text, mode = path.read_text(), path.stat().st_mode
    except FileNotFoundError:
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Permanent(
            "master_key_exposed",
            f"The master key file {path.name} can be read by other users.",
            owner=Owner.OPERATOR,
            action="Set its mode to 0600, and rotate the key if it was exposed.",
        )
    yield from (MasterKey.from_text(line) for line in text.strip().split("\n"))


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
