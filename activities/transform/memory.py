"""What becomes of work that DuckDB cannot do within the memory it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from contracts.errors import Owner, Permanent


@contextmanager
def within(limit: str, action: str) -> Iterator[None]:
    """Say of rows that were read, and do not fit into memory, that this is ours to mend: a repeat would end alike.

    Args:
        limit: the memory given, as DuckDB takes it.
        action: what helps meanwhile.

    Raises:
        Permanent: `memory_exceeded`.
    """
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise Permanent(
            "memory_exceeded",
            f"The rows could be read, but not be worked on within {limit} of memory.",
            owner=Owner.ENGINEER,
            action=action,
        ) from None
