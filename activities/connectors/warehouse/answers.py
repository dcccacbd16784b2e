"""The answer to a tenant's question, written down the same way whichever warehouse gave it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from activities.ports.analytics import QueryAnswer
from activities.transform.records import json_value
from contracts.analytics import QueryColumn
from contracts.errors import Owner, Permanent


def column(name: str, kind: str) -> QueryColumn:
    """Return a column of the answer; `kind` is one of text, number, boolean, date, timestamp or other."""
    return QueryColumn(name=name[:255], type=kind)


def written(
    columns: Sequence[QueryColumn], pages: Iterable[Sequence[Sequence[Any]]], most: int, into: Path
) -> QueryAnswer:
    """Write at most `most` rows, one JSON array per line; blocks.

    Args:
        columns: of the rows.
        pages: rows as the driver hands them over, one more than `most` where there are more.
        most: rows that are kept.
        into: the file.
    """
    kept = found = 0
    with into.open("w", encoding="utf-8") as file:
        for page in pages:
            found += len(page)
            rows = page[: most - kept]
            kept += len(rows)
            file.writelines(json.dumps([json_value(value) for value in row], ensure_ascii=False) + "\n" for row in rows)
    return QueryAnswer(columns, kept, truncated=found > kept)


def overdue(system: str, title: str, seconds: int) -> Permanent:
    """Return the error for a question that the warehouse was told to end, or has ended by itself."""
    return Permanent(
        "query_timeout",
        f"{title} had not answered the query after {seconds} s, and was told to end it.",
        owner=Owner.TENANT,
        action="Ask for less, or raise timeoutS.",
        system=system,
        operation="query",
    )
