"""What the control API adds for this stand-in: rows of tables, and the way back to the beginning."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import httpx
from bqemulator.domain.errors import DomainError
from bqemulator.storage.sql_identifiers import quoted_table_ref
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

if TYPE_CHECKING:
    from bqemulator.api.dependencies import AppContext
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from emulators.bigquery.limits import Limits
    from emulators.core import Emulator

PROJECTS = ("wedsync", "harbour")


def control_routes(emulator: Emulator, context: AppContext, vendor: ASGIApp, limits: Limits) -> list[BaseRoute]:
    """Routes below `/_emulators/bigquery`: `objects/{project.dataset.table}` are its rows, `reset` forgets all."""
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=vendor), base_url="http://bigquery/bigquery/v2")

    def found(name: str) -> list[dict[str, Any]]:
        place = quoted_table_ref(*name.split("."))
        with context.engine.connection.cursor() as cursor:
            answer = cursor.execute(f"SELECT * FROM {place}")
            names = [column[0] for column in answer.description]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    async def rows(request: Request) -> Response:
        try:
            listed = await run_in_threadpool(found, request.path_params["name"])
        except (DomainError, TypeError, duckdb.CatalogException):
            return JSONResponse({"error": "There is no such table."}, 404)
        return Response(json.dumps(listed, default=str), media_type="application/json")

    async def reset(_: Request) -> Response:
        for project in PROJECTS:
            for dataset in context.catalog.list_datasets(project):
                path = f"/projects/{project}/datasets/{dataset.dataset_id}"
                (await client.delete(path, params={"deleteContents": "true"})).raise_for_status()
            for job in context.catalog.list_jobs(project, max_results=100_000):
                context.catalog.delete_job(project, job.job_id, not_found_ok=True)
        limits.reset()
        emulator.reset()
        return JSONResponse({"ok": True})

    return [
        *limits.routes(),
        Route("/_emulators/bigquery/objects/{name:path}", rows),
        Route("/_emulators/bigquery/reset", reset, methods=["POST"]),
        Route("/_emulators/reset", reset, methods=["POST"]),
    ]
