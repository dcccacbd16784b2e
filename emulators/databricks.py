"""An emulated Databricks workspace: the Statement Execution API 2.0 and the Files API over DuckDB, and their tokens.

Endpoints, fields and states are those of the vendor's SDK, which publishes the API's description; error conditions and
SQL states those of its error pages; the 403 with the number as `error_code` for an invalid token is quoted in public
threads. Identity columns do not make writers wait for each other here, a column can be dropped without column mapping,
and nothing ever needs care: OPTIMIZE, VACUUM, ANALYZE, GRANT and table properties are accepted and do nothing.
Unconfirmed: the answer to an unknown warehouse.

`POST /_emulators/databricks/warehouse` with `{"startsInS"}` stops the warehouse: statements are PENDING until it has
started. `objects/{catalog.schema.table}` are a table's rows, `counts` the number of rows of each.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import hashlib
import json
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.core import Emulator, State
from emulators.databricks_files import Files
from emulators.databricks_lakehouse import Lakehouse
from emulators.databricks_requests import RequestRefusedError, error_response, root
from emulators.databricks_statements import Statements

if TYPE_CHECKING:
    from starlette.requests import Request

    from emulators.faults import Fault

TOKEN = "sandbox-databricks-token"
CLIENT, SECRET = "sandbox-databricks-client", "sandbox-databricks-secret"
_LIFE_S = 3600
_CONTROL = "/_emulators/databricks"
Endpoint = Callable[["Request"], Awaitable[Response] | Response]


def render_error(status: int, _fault: Fault | None) -> Response:
    """The vendor's body of an error."""
    return error_response(status, "The service could not answer this request.")


class Workspace:
    """The routes of one workspace."""

    def __init__(self, emulator: Emulator) -> None:
        """Open the data below the emulators' directory, or below a temporary one."""
        self._emulator = emulator
        given = emulator.state.settings.get("data_dir")
        self._temporary = None if given else tempfile.TemporaryDirectory(prefix="wedsync-databricks-")
        directory = Path(given) / "databricks" if given else Path(self._temporary.name if self._temporary else "")
        self._lakehouse = Lakehouse(directory / "lakehouse")
        self._statements = Statements(emulator, self._lakehouse, directory / "results")
        self._files = Files(emulator, self._lakehouse)
        emulator.on_reset.append(self._reset)
        emulator.shutdown.append(self._close)
        emulator.control_routes += [
            Route(f"{_CONTROL}/warehouse", self._warehouse, methods=["POST"]),
            Route(f"{_CONTROL}/counts", self._counts),
            Route(f"{_CONTROL}/objects/{{name:path}}", self._rows),
        ]

    def routes(self) -> list[BaseRoute]:
        """What the vendor serves."""
        statements, every = "/api/2.0/sql/statements", ["PUT", "GET", "HEAD", "DELETE"]
        one = f"{statements}/{{id}}"
        return [
            Route("/.well-known/databricks-config", self._config),
            Route("/oidc/.well-known/oauth-authorization-server", self._oauth_config),
            Route("/oidc/v1/token", self._token, methods=["POST"]),
            Route("/external/{id}/{number:int}", self._open(self._statements.download)),
            Route(statements, self._guarded(self._statements.execute), methods=["POST"]),
            Route(one, self._guarded(self._statements.read)),
            Route(f"{one}/cancel", self._guarded(self._statements.cancel), methods=["POST"]),
            Route(f"{one}/result/chunks/{{number:int}}", self._guarded(self._statements.chunk)),
            Route("/api/2.0/fs/files/{path:path}", self._guarded(self._files.file), methods=every),
            Route("/api/2.0/fs/directories/{path:path}", self._guarded(self._files.directory), methods=every),
        ]

    def _guarded(self, handler: Endpoint) -> Endpoint:
        """A handler that wants a token."""

        async def endpoint(request: Request) -> Response:
            self._emulator.name_operation(request, getattr(handler, "__name__", ""))
            refusal = self._unauthorised(request)
            return refusal if refusal is not None else await self._open(handler)(request)

        return endpoint

    def _open(self, handler: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                answer = handler(request)
                return answer if isinstance(answer, Response) else await answer
            except RequestRefusedError as error:
                return error.response

        return endpoint

    def _unauthorised(self, request: Request) -> Response | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return error_response(401, "Credential was not sent or was of an unsupported type for this API.")
        ended = [kind for kind in ("expire_token", "revoke_token") if self._emulator.fault_active(kind, request)]
        if ended or not (token == TOKEN or self._granted(token)):
            return error_response(403, "Invalid access token.", 403)
        return None

    def _granted(self, token: str) -> bool:
        found = self._emulator.get("tokens", hashlib.sha256(token.encode()).hexdigest())
        return found is not None and found["until"] > time.time()

    async def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        scheme, _, word = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            client, _, secret = base64.b64decode(word).decode().partition(":")
        else:
            client, secret = form.get("client_id", ""), form.get("client_secret", "")
        if (client, secret) != (CLIENT, SECRET):
            return JSONResponse({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
        if form.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type", "error_description": "Unknown grant"}, 400)
        token = secrets.token_urlsafe(32)
        with self._emulator.transaction():
            digest = hashlib.sha256(token.encode()).hexdigest()
            self._emulator.put("tokens", digest, {"until": time.time() + _LIFE_S})
        scope = form.get("scope", "all-apis")
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": _LIFE_S, "scope": scope})

    async def _config(self, request: Request) -> Response:
        return JSONResponse({"oidc_endpoint": f"{root(request)}/oidc", "workspace_id": "1000000000000001"})

    async def _oauth_config(self, request: Request) -> Response:
        base = f"{root(request)}/oidc/v1"
        return JSONResponse({"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token"})

    async def _warehouse(self, request: Request) -> Response:
        starts_in_s = float((await request.json())["startsInS"])
        self._statements.warehouse_starts_at = time.monotonic() + starts_in_s
        return JSONResponse({"startsInS": starts_in_s})

    async def _counts(self, _request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._lakehouse.counts))

    async def _rows(self, request: Request) -> Response:
        limit = request.query_params.get("limit", "1000")
        rows = await run_in_threadpool(self._lakehouse.rows, request.path_params["name"], int(limit))
        if rows is None:
            return JSONResponse({"error": "There is no such table."}, 404)
        return Response(json.dumps(rows, default=_plain), media_type="application/json")

    def _reset(self) -> None:
        self._lakehouse.reset()
        self._statements.warehouse_starts_at = 0.0
        self._statements.forget_running()

    async def _close(self) -> None:
        self._lakehouse.close()
        if self._temporary is not None:
            self._temporary.cleanup()


def _plain(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def build(state: State) -> Emulator:
    """The emulator over a shared state."""
    return Emulator(
        "databricks",
        state,
        routes=lambda emulator: Workspace(emulator).routes(),
        seed=lambda _emulator: None,
        render_error=render_error,
    )
