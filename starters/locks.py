"""One command at a time on a data directory."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import InvalidInput


@contextmanager
def alone(path: Path, otherwise: InvalidInput) -> Iterator[None]:
    """Hold a lock that ends with the process at the latest.

    Raises:
        InvalidInput: `otherwise`, when another process holds it.
    """
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise otherwise from None
        yield
