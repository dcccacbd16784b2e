"""The Protocol of warehouses that answer questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from activities.ports.connector import Connector
from contracts.analytics import AnalyticsQuery, QueryColumn


@dataclass(frozen=True)
class QueryAnswer:
    """What the warehouse answered: `rows` of `columns`, `truncated` where it had more than were asked for."""

    columns: Sequence[QueryColumn]
    rows: int
    truncated: bool


@runtime_checkable
class AnalyticsConnector(Connector, Protocol):
    """A warehouse that runs read-only queries of a tenant."""

    async def query(self, query: AnalyticsQuery, into: Path) -> QueryAnswer:
        """Run the query with its values bound and write the rows into `into`, one JSON array per line.

        The warehouse itself ends it after `query.timeout_s` and sends at most one row more than `query.max_rows`.
        Idempotent: yes, it only reads.

        Raises:
            InvalidInput: it is not one SELECT over the tables that are meant for reading.
            Permanent: the warehouse refuses it, or it took too long.
            Transient: the warehouse does not answer.
        """
        ...
