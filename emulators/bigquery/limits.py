"""What bounds a query job and bqemulator leaves out: the bytes it may be billed for, and the time it may take.

From the API's description: a query that would be billed for more than `maximumBytesBilled` fails; one that goes on is
shown as RUNNING, is not complete to `jobs.getQueryResults`, and is stopped by `jobs.cancel` or, as well as BigQuery
can, after `jobTimeoutMs`. A query is billed for 10 MiB at least (pricing page). A test says which of the next queries
go on. The reasons of the errors are from the list of error messages (`stopped`) or no document's
(`bytesBilledLimitExceeded`).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

if TYPE_CHECKING:
    from starlette.requests import Request

Body = dict[str, Any]
_LEAST_BILLED = 10 << 20


class Limits:
    """The bounds of the query jobs, and those jobs that go on until they are stopped."""

    def __init__(self) -> None:
        """Let every job end at once."""
        self._next: list[Body] = []
        self._jobs: dict[str, Body] = {}
        self._until: dict[str, float] = {}

    def routes(self) -> list[BaseRoute]:
        """POST has the next query go on, a `deaf` one past its own time; GET lists the statuses of those that did."""

        async def add(request: Request) -> Response:
            self._next.append(await request.json())
            return JSONResponse({"ok": True})

        def show(_: Request) -> Response:
            return JSONResponse([self._shown(name)["status"] for name in self._jobs])

        path = "/_emulators/bigquery/lasting"
        return [Route(path, add, methods=["POST"]), Route(path, show)]

    def reset(self) -> None:
        """Forget the jobs."""
        for kept in (self._next, self._jobs, self._until):
            kept.clear()

    def inserted(self, project: str, asked: Body) -> Response | None:
        """The answer to the insert of a query that is refused or goes on, None for every other job."""
        settings = asked.get("configuration") or {}
        query = settings.get("query")
        if query is None or settings.get("dryRun"):
            return None
        name = str((asked.get("jobReference") or {}).get("jobId"))
        job = {
            "kind": "bigquery#job",
            "id": f"{project}:US.{name}",
            "jobReference": {"projectId": project, "jobId": name, "location": "US"},
            "configuration": {**settings, "jobType": "QUERY"},
            "statistics": {"query": {"statementType": "SELECT"}},
            "status": {"state": "RUNNING"},
        }
        if int(query.get("maximumBytesBilled", _LEAST_BILLED)) < _LEAST_BILLED:
            message = f"Query exceeded limit for bytes billed. {_LEAST_BILLED} or higher required."
            return JSONResponse(_failed(job, "bytesBilledLimitExceeded", message))
        if not self._next:
            return None
        limit = None if self._next.pop(0).get("deaf") else settings.get("jobTimeoutMs")
        self._jobs[name] = job
        self._until[name] = time.monotonic() + int(limit) / 1_000 if limit else float("inf")
        return JSONResponse(self._shown(name))

    async def answer(self, request: Request) -> Response | None:
        """The answer to a request about a job that goes on, None for every other."""
        parts = request.url.path.rstrip("/").split("/")
        name = next((part for part in parts if part in self._jobs), "")
        if not name:
            return None
        if request.method == "POST":
            self._until[name] = 0.0
            return JSONResponse({"kind": "bigquery#jobCancelResponse", "job": self._shown(name)})
        if "queries" not in parts:
            return JSONResponse(self._shown(name))
        longest_s = int(request.query_params.get("timeoutMs", 10_000)) / 1_000
        await asyncio.sleep(max(0.0, min(longest_s, self._until[name] - time.monotonic())))
        job = self._shown(name)
        if job["status"]["state"] == "RUNNING":
            return JSONResponse({"jobReference": job["jobReference"], "jobComplete": False})
        error = job["status"]["errorResult"]
        return JSONResponse({"error": {"code": 499, "message": error["message"], "errors": [error]}}, 499)

    def _shown(self, name: str) -> Body:
        job = self._jobs[name]
        if time.monotonic() < self._until[name]:
            return job
        return _failed(job, "stopped", "Job execution was cancelled.")


def _failed(job: Body, reason: str, message: str) -> Body:
    error = {"reason": reason, "message": message}
    return {**job, "status": {"state": "DONE", "errorResult": error, "errors": [error]}}
