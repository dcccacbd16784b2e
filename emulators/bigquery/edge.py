"""What BigQuery does before and after a job and bqemulator does not: tokens, job ids that are taken once, the ledger.

From the API's description: a client may name its job, and a second insert under the name is refused with 409 and the
reason `duplicate`; a load's id is the one in its metadata. A token is one that a service account has signed itself
(AIP-4111); its signature is not verified. One job runs at a time, because bqemulator's transactions are those of its
one connection.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from bqemulator.api.dependencies import AppContext
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from emulators.bigquery.limits import Limits
    from emulators.core import Emulator
    from emulators.faults import Fault

ACCOUNT = "wedsync@sandbox.iam.gserviceaccount.com"
_JOBS = re.compile(r"/bigquery/v2/projects/(?P<project>[^/]+)/(?:jobs|queries)")
_REASONS = {
    400: "invalid",
    401: "authError",
    403: "accessDenied",
    404: "notFound",
    409: "duplicate",
    429: "rateLimitExceeded",
    500: "internalError",
    503: "backendError",
}
_ANY, _FILE = b"content-type: */*\r\n", b"content-type: application/octet-stream\r\n"
Body = dict[str, Any]


def render_error(status: int, _fault: Fault | None) -> Response:
    """The vendor's body of an error."""
    return _refusal(status, "The service could not answer this request.")


class Edge:
    """ASGI around bqemulator's application."""

    def __init__(self, app: ASGIApp, context: AppContext, emulator: Emulator, limits: Limits) -> None:
        """Serve nothing yet."""
        self._app, self._context, self._emulator, self._limits = app, context, emulator, limits
        self._one_job = asyncio.Lock()
        self._uploads: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        if not self._known(request):
            await _refusal(401, "Request had invalid authentication credentials.")(scope, receive, send)
            return
        lasting = await self._limits.answer(request)
        if lasting is not None:
            await lasting(scope, receive, send)
            return
        job = _JOBS.search(request.url.path)
        if request.method not in {"POST", "PUT"} or job is None or request.url.path.endswith("/cancel"):
            await self._app(scope, receive, send)
            return
        await self._job(request, job["project"], send)

    def _known(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        claims = _claims(given) if scheme.lower() == "bearer" else {}
        ended = [kind for kind in ("expire_token", "revoke_token") if self._emulator.fault_active(kind, request)]
        return claims.get("iss") == ACCOUNT and claims.get("exp", 0) > time.time() and not ended

    async def _job(self, request: Request, project: str, send: Send) -> None:
        raw = await request.body()
        upload = request.query_params.get("upload_id")
        wanted = self._uploads.get(upload, "") if upload else _job_id(raw)
        async with self._one_job:
            if wanted and self._context.catalog.get_job(project, wanted) is not None:
                await _refusal(409, f"Already Exists: Job {project}:US.{wanted}")(request.scope, request.receive, send)
                return
            bounded = self._limits.inserted(project, _json(raw))
            if bounded is not None:
                await bounded(request.scope, request.receive, send)
                return
            # Google's own client says so of a file it sends, and bqemulator takes it for no file.
            start, body = await self._answered(request.scope, raw.replace(_ANY, _FILE, 1))
            located = dict(start["headers"]).get(b"location", b"").decode()
            if located and wanted:
                self._uploads[located.rpartition("upload_id=")[2]] = wanted
            answer = _json(body)
            if start["status"] == 200 and "jobReference" in answer:
                body = json.dumps(self._entered(project, wanted, answer, raw)).encode()
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    async def _answered(self, scope: Scope, raw: bytes) -> tuple[Message, bytes]:
        start: Message = {"type": "http.response.start", "status": 500, "headers": []}
        parts: list[bytes] = []

        async def whole() -> Message:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, whole, keep)
        return start, b"".join(parts)

    def _entered(self, project: str, wanted: str, job: Body, raw: bytes) -> Body:
        """The job under the id its client gave it, with what it changed in the ledger."""
        given = job["jobReference"]["jobId"]
        if wanted and given != wanted:
            known = self._context.catalog.get_job(project, given)
            if known is not None:
                self._context.catalog.upsert_job(known.model_copy(update={"job_id": wanted}))
                self._context.catalog.delete_job(project, given, not_found_ok=True)
            job = json.loads(json.dumps(job).replace(given, wanted))
        statistics, failed = job.get("statistics") or {}, (job.get("status") or {}).get("errorResult")
        query, load = statistics.get("query") or {}, statistics.get("load") or {}
        rows = int(load.get("outputRows") or query.get("numDmlAffectedRows") or 0)
        kind = "LOAD" if load else str(query.get("statementType") or statistics.get("statementType") or "SELECT")
        # Which rows a script has changed is not told: one with a transaction counts as a change.
        changes = b"TRANSACTION" in raw if kind == "SCRIPT" else rows or kind.startswith(("CREATE", "ALTER"))
        if not failed and kind != "SELECT" and changes:
            self._emulator.effect(f"job.{kind.lower()}", "jobs", job["jobReference"]["jobId"], {"rows": rows})
        return job


def _refusal(status: int, sentence: str) -> Response:
    reason = _REASONS.get(status, "backendError")
    errors = [{"message": sentence, "domain": "global", "reason": reason}]
    return JSONResponse({"error": {"code": status, "message": sentence, "errors": errors}}, status)


def _job_id(raw: bytes) -> str:
    """The job id of a request's JSON, or of the first part of a multipart body."""
    first, last = raw.find(b"{"), raw.rfind(b"}")
    if not raw.startswith(b"{"):
        last = raw.find(b"\r\n--", first) - 1
    return str((_json(raw[first : last + 1]).get("jobReference") or {}).get("jobId") or "")


def _json(raw: bytes) -> Body:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _claims(token: str) -> Body:
    _, _, rest = token.partition(".")
    payload = rest.partition(".")[0]
    try:
        return _json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        return {}
