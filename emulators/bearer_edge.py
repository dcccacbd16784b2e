"""What every call to an emulated JSON API with bearer tokens passes: the token, the JSON body, the transaction."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.core import Emulator
from emulators.faults import drifted
from emulators.oauth import AuthorisationServer

if TYPE_CHECKING:
    from starlette.requests import Request

Body = dict[str, Any]
Answer = tuple[int, Any]


class RefusalError(Exception):
    """An error answer in the vendor's own shape."""

    def __init__(self, status: int, body: Body, headers: dict[str, str] | None = None) -> None:
        """Keep what is answered."""
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


@dataclasses.dataclass(frozen=True)
class Call:
    """One authenticated request with its parsed JSON body."""

    emulator: Emulator
    request: Request
    body: Any

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.request.query_params.get(name, default)


class BearerEdge:
    """Guards one API.

    Args:
        emulator: The vendor.
        token: The published sandbox token.
        refusal: The vendor's error of a status: 400 for a body that is no JSON, 401 for a token.
        expired: The vendor's error for a token that has expired, where it is another one.
        oauth: Whose access tokens open the API as well.
        drift: How fields are renamed under the fault `schema_drift`.
    """

    def __init__(
        self,
        emulator: Emulator,
        token: str,
        refusal: Callable[[int], RefusalError],
        *,
        oauth: AuthorisationServer | None = None,
        drift: dict[str, str],
        expired: Callable[[], RefusalError] | None = None,
    ) -> None:
        """Serve nothing yet."""
        self._emulator, self._token, self._refusal = emulator, token, refusal
        self._oauth, self._drift, self._expired = oauth, drift, expired

    def route(self, path: str, handler: Callable[[Call], Answer], method: str) -> Route:
        """A route that calls the handler inside one transaction; its answer may be a whole response."""

        async def endpoint(request: Request) -> Response:
            self._emulator.name_operation(request, handler.__name__)
            try:
                self._authorise(request)
                call = Call(self._emulator, request, self._parsed(await request.body()))
                with self._emulator.transaction():
                    status, answer = handler(call)
            except RefusalError as error:
                return JSONResponse(error.body, error.status, error.headers)
            if isinstance(answer, Response):
                return answer
            if self._emulator.fault_active("schema_drift", request):
                answer = drifted(answer, self._drift)
            return Response(status_code=status) if answer is None else JSONResponse(answer, status)

        return Route(path, endpoint, methods=[method])

    def _authorise(self, request: Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        standing = "live" if token == self._token else self._oauth.standing(request) if self._oauth else "unknown"
        ended = [kind for kind in ("expire_token", "revoke_token") if self._emulator.fault_active(kind, request)]
        if self._expired is not None and (standing == "expired" or "expire_token" in ended):
            raise self._expired()
        if scheme.lower() != "bearer" or standing != "live" or ended:
            raise self._refusal(401)

    def _parsed(self, raw: bytes) -> Any:
        try:
            return json.loads(raw) if raw else None
        except ValueError:
            raise self._refusal(400) from None
