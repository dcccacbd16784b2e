"""What the control API adds for this stand-in: rows of tables, and the way back to the beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

if TYPE_CHECKING:
    from bqemulator.api.dependencies import AppContext
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from emulators.core import Emulator

PROJECTS = ("wedsync", "harbour")
_TYPES = {"INTEGER": int, "INT64": int, "FLOAT": float, "FLOAT64": float, "NUMERIC": float}


def control_routes(emulator: Emulator, context: AppContext, vendor: ASGIApp) -> list[BaseRoute]:
    """Routes below `/_emulators/bigquery`: `objects/{project.dataset.table}` are its rows, `reset` forgets all."""
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=vendor), base_url="http://bigquery/bigquery/v2")

    async def rows(request: Request) -> Response:
        project, _, table = request.path_params["name"].partition(".")
        asked = {"query": f"SELECT * FROM `{project}.{table}`", "useLegacySql": False, "maxResults": 10_000}
        answer = await client.post(f"/projects/{project}/queries", json=asked)
        if answer.status_code != httpx.codes.OK or "schema" not in answer.json():
            return JSONResponse({"error": "There is no such table."}, 404)
        found = answer.json()
        fields = found["schema"]["fields"]
        return JSONResponse([_row(fields, one["f"]) for one in found.get("rows") or []])

    async def reset(_: Request) -> Response:
        for project in PROJECTS:
            for dataset in context.catalog.list_datasets(project):
                path = f"/projects/{project}/datasets/{dataset.dataset_id}"
                (await client.delete(path, params={"deleteContents": "true"})).raise_for_status()
            for job in context.catalog.list_jobs(project, max_results=100_000):
                context.catalog.delete_job(project, job.job_id, not_found_ok=True)
        emulator.reset()
        return JSONResponse({"ok": True})

    return [
        Route("/_emulators/bigquery/objects/{name:path}", rows),
        Route("/_emulators/bigquery/reset", reset, methods=["POST"]),
        Route("/_emulators/reset", reset, methods=["POST"]),
    ]


def _row(fields: list[dict[str, Any]], cells: list[dict[str, Any]]) -> dict[str, Any]:
    return {field["name"]: _value(field["type"], cell["v"]) for field, cell in zip(fields, cells, strict=True)}


def _value(kind: str, value: str | None) -> Any:
    if value is None:
        return None
    if kind in {"BOOLEAN", "BOOL"}:
        return value == "true"
    return _TYPES.get(kind, str)(value)
