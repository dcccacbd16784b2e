"""What every call to the emulated Salesforce passes: the token, the daily count, the body, the error shape."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from emulators.faults import Fault, drifted
from emulators.salesforce_org import Org, Record, SalesforceError

if TYPE_CHECKING:
    from starlette.requests import Request

    from emulators.core import Emulator
    from emulators.oauth import AuthorisationServer

TOKEN = "sandbox-salesforce-token"
DAILY_REQUESTS = 100_000
_DATA = "/services/data/v{version}"
_DRIFT = {"success": "succeeded", "id": "recordId", "records": "rows"}
Answer = tuple[int, Any]


@dataclasses.dataclass(frozen=True)
class Call:
    """One authenticated request with its body, parsed when it is JSON."""

    request: Request
    org: Org
    raw: bytes

    @property
    def body(self) -> Record:
        """The JSON object of the body.

        Raises:
            SalesforceError: 400 `JSON_PARSER_ERROR`.
        """
        try:
            parsed = json.loads(self.raw or b"{}")
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise SalesforceError(400, "JSON_PARSER_ERROR", "The body is not a JSON object.")
        return parsed

    def path(self, name: str) -> str:
        """A parameter of the path."""
        return str(self.request.path_params[name])

    @property
    def version(self) -> str:
        """The API version in the path, such as `v67.0`."""
        return f"v{self.path('version')}"

    def fault(self, kind: str) -> Fault | None:
        """The fault of a vendor's kind that applies to this request."""
        return self.org.emulator.fault_active(kind, self.request)


class Edge:
    """What every call passes: the token, the daily count, the transaction, Salesforce's error shape."""

    def __init__(self, emulator: Emulator, org: Org, oauth: AuthorisationServer) -> None:
        """Guard this org; besides the sandbox token, access tokens of `oauth` open it."""
        self._emulator, self._org, self._oauth = emulator, org, oauth

    def route(self, path: str, handler: Callable[[Call], Answer], *methods: str) -> Route:
        """A route below `/services/data/v{version}` that calls the handler inside one transaction."""

        async def endpoint(request: Request) -> Response:
            self._emulator.name_operation(request, handler.__name__)
            return await self._answer(request, handler)

        return Route(path if path.startswith("/services/oauth2") else _DATA + path, endpoint, methods=list(methods))

    async def _answer(self, request: Request, handler: Callable[[Call], Answer]) -> Response:
        raw = await request.body()
        used = self._emulator.state.counter(self._emulator.system, "api-usage")
        try:
            self._authorise(request)
            with self._emulator.transaction():
                status, answer = handler(Call(request, self._org, raw))
        except SalesforceError as error:
            status, answer = error.status, error.body()
        else:
            if self._emulator.fault_active("schema_drift", request):
                answer = drifted(answer, _DRIFT)
        response = _rendered(status, answer)
        response.headers["Sforce-Limit-Info"] = f"api-usage={used}/{DAILY_REQUESTS}"
        return response

    def _authorise(self, request: Request) -> None:
        static = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        live = static or self._oauth.standing(request) == "live"
        faults = [self._emulator.fault_active(kind, request) for kind in ("expire_token", "revoke_token")]
        if not live or any(faults):
            raise SalesforceError(401, "INVALID_SESSION_ID", "Session expired or invalid")


def _rendered(status: int, answer: Any) -> Response:
    if answer is None:
        return Response(status_code=status)
    if isinstance(answer, str):
        return PlainTextResponse(answer, status, media_type="text/csv")
    return JSONResponse(answer, status)


def render_error(status: int, _fault: Fault | None) -> Response:
    """Salesforce's own body for a status; it has no 429 and says 403 instead."""
    if status == 429:
        error = SalesforceError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    elif status == 401:
        error = SalesforceError(401, "INVALID_SESSION_ID", "Session expired or invalid")
    else:
        codes = {403: "INSUFFICIENT_ACCESS", 404: "NOT_FOUND", 503: "SERVER_UNAVAILABLE"}
        error = SalesforceError(status, codes.get(status, "UNKNOWN_EXCEPTION"), "The request could not be answered.")
    return JSONResponse(error.body(), error.status)
