"""The verbs of a question to a warehouse: check whom it is put to, and put it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from pydantic import JsonValue
from temporalio import activity

from activities.access import Access
from activities.connectors.registry import connector_class
from activities.ports.analytics import AnalyticsConnector
from activities.storage.staging import Staging
from contracts.analytics import MAX_INLINE_ROWS, AnalyticsQuery, QueryResult, QueryTarget
from contracts.errors import InvalidInput

_MAX_INLINE_BYTES = 256 << 10


class Analytics:
    """The activities of `QueryWarehouse`.

    Args:
        access: opens the integration's connector.
        staging: the sealed object store, for long answers.
    """

    def __init__(self, access: Access, staging: Staging) -> None:
        self._access = access
        self._staging = staging

    @activity.defn(name="analytics.check")
    async def check(self, query: AnalyticsQuery) -> QueryTarget:
        """Find the platform. Idempotent: yes, it only reads.

        Raises:
            InvalidInput: no such integration, or its system answers no questions.
            IntegrationPaused: the integration takes no work.
        """
        configuration = await self._access.configuration(query.organization_id, query.target_integration.integration_id)
        connector = connector_class(configuration.platform)
        if not hasattr(connector, "query"):
            raise InvalidInput(
                "capability_missing",
                f"{connector.manifest.title} does not run analytics queries.",
                action="Name an integration of a data warehouse as targetIntegration.",
            )
        return QueryTarget(platform=configuration.platform)

    @activity.defn(name="analytics.query")
    async def query(self, query: AnalyticsQuery) -> QueryResult:
        """Run the query; a long answer is sealed in the object store. Idempotent: yes, it only reads.

        Raises:
            InvalidInput: it is not one SELECT over the tables that are meant for reading.
        """
        connector = await self._access.connector(
            query.organization_id, query.target_integration.integration_id, AnalyticsConnector
        )
        with self._staging.scratch() as folder:
            path = folder / "rows.ndjson"
            answer = await connector.query(query, path)
            result = QueryResult(
                query_id=query.query_id,
                columns=list(answer.columns),
                row_count=answer.rows,
                truncated=answer.truncated,
            )
            size = (await asyncio.to_thread(path.stat)).st_size
            if answer.rows <= MAX_INLINE_ROWS and size <= _MAX_INLINE_BYTES:
                return result.model_copy(update={"rows": await asyncio.to_thread(_rows, path)})
            key = f"{query.organization_id}/query/{query.query_id}/rows.ndjson".replace(":", "-")
            ref = await self._staging.put_file(key, path, answer.rows)
            return result.model_copy(update={"rows_ref": ref})


def _rows(path: Path) -> list[list[JsonValue]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
