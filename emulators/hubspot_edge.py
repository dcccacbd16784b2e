"""What every call to the emulated HubSpot passes: the limit, the token, the JSON body, the error shape."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators import hubspot_rules as rules
from emulators.core import Emulator
from emulators.faults import Fault, drifted
from emulators.hubspot_portal import ApiError, Portal, Record
from emulators.oauth import AuthorisationServer

if TYPE_CHECKING:
    from starlette.requests import Request

TOKEN = "sandbox-hubspot-token"
MAX_INPUTS = 100
WINDOW_S, WINDOW_REQUESTS = 10.0, 190
_DRIFT = {"results": "records", "id": "objectId"}
Answer = tuple[int, Any]


@dataclasses.dataclass(frozen=True)
class Call:
    """One authenticated request with its parsed JSON body."""

    request: Request
    portal: Portal
    body: Any

    @property
    def object_type(self) -> str:
        """The canonical object type named in the path."""
        return self.portal.type_of(self.request.path_params["type"])

    def inputs(self) -> list[Record]:
        """The inputs of a batch call.

        Raises:
            ApiError: 400, missing or more than 100.
        """
        inputs = self.body.get("inputs") if isinstance(self.body, dict) else None
        if not isinstance(inputs, list) or not all(isinstance(item, dict) for item in inputs):
            raise ApiError(400, "VALIDATION_ERROR", "Invalid input JSON: inputs must be a list of objects.")
        if len(inputs) > MAX_INPUTS:
            message = f"Max batch size of {MAX_INPUTS} exceeded: {len(inputs)} inputs."
            raise ApiError(400, "VALIDATION_ERROR", message)
        return inputs


class Limiter:
    """The ten-second rolling limit of one portal."""

    def __init__(self) -> None:
        """Start with an empty window."""
        self.enabled = os.environ.get("WEDSYNC_EMULATOR_RATE_LIMITS", "on").lower() != "off"
        self._seen: collections.deque[float] = collections.deque()

    def admit(self) -> int:
        """Count a request; returns how many remain, -1 when the request is over the limit."""
        now = time.monotonic()
        while self._seen and now - self._seen[0] >= WINDOW_S:
            self._seen.popleft()
        if self.enabled and len(self._seen) >= WINDOW_REQUESTS:
            return -1
        self._seen.append(now)
        return max(0, WINDOW_REQUESTS - len(self._seen))

    def clear(self) -> None:
        """Empty the window."""
        self._seen.clear()


class Edge:
    """What every call passes: the limit, the token, the JSON body, the transaction, HubSpot's error shape."""

    def __init__(self, emulator: Emulator, portal: Portal, oauth: AuthorisationServer) -> None:
        """Guard this portal; besides the sandbox token, access tokens of `oauth` open it."""
        self._emulator, self._portal, self._limiter = emulator, portal, Limiter()
        self._oauth = oauth
        emulator.on_reset.append(self._limiter.clear)

    def route(self, path: str, handler: Callable[[Call], Answer], *methods: str, name: str = "") -> Route:
        """A route that calls the handler inside one transaction."""

        async def endpoint(request: Request) -> Response:
            self._emulator.name_operation(request, name or handler.__name__)
            return await self._answer(request, handler)

        return Route(path, endpoint, methods=list(methods))

    async def _answer(self, request: Request, handler: Callable[[Call], Answer]) -> Response:
        remaining = self._limiter.admit()
        if remaining < 0:
            return self._headers(render_error(429, None), 0)
        try:
            self._authorise(request)
            raw = await request.body()
            body = _parsed(raw)
            with self._emulator.transaction():
                status, answer = handler(Call(request, self._portal, body))
        except (ApiError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._portal.forget_catalogs()
            refused = error if isinstance(error, ApiError) else ApiError(400, "VALIDATION_ERROR", "Invalid input JSON.")
            return self._headers(JSONResponse(refused.body(), refused.status), remaining)
        if self._emulator.fault_active("schema_drift", request):
            answer = drifted(answer, _DRIFT)
        plain = Response(status_code=status) if answer is None else JSONResponse(answer, status)
        return self._headers(plain, remaining)

    def _authorise(self, request: Request) -> None:
        static = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        standing = "live" if static else self._oauth.standing(request)
        if self._emulator.fault_active("expire_token", request) or standing == "expired":
            message = "The OAuth token used to make this call expired."
            raise ApiError(401, "EXPIRED_AUTHENTICATION", message)
        if self._emulator.fault_active("revoke_token", request) or standing == "unknown":
            raise ApiError(401, "INVALID_AUTHENTICATION", "Authentication credentials not found or not valid.")

    @staticmethod
    def _headers(response: Response, remaining: int) -> Response:
        response.headers["X-HubSpot-RateLimit-Max"] = str(WINDOW_REQUESTS)
        response.headers["X-HubSpot-RateLimit-Remaining"] = str(remaining)
        response.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] = str(int(WINDOW_S * 1000))
        response.headers["X-HubSpot-Correlation-Id"] = str(uuid.uuid4())
        return response


def _parsed(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        raise ApiError(400, "VALIDATION_ERROR", "Invalid input JSON: the body could not be parsed.") from None


def render_error(status: int, _fault: Fault | None) -> Response:
    """HubSpot's own body for a status."""
    if status == 429:
        body = {
            "status": "error",
            "message": "You have reached your ten_secondly_rolling limit.",
            "errorType": "RATE_LIMIT",
            "category": "RATE_LIMITS",
            "policyName": "TEN_SECONDLY_ROLLING",
            "correlationId": str(uuid.uuid4()),
        }
        return JSONResponse(body, status)
    return JSONResponse(ApiError(status, "INTERNAL_ERROR", "The request could not be answered.").body(), status)


def properties_of(body: Any) -> Record:
    """The `properties` object of a write.

    Raises:
        ApiError: 400, absent or not an object.
    """
    properties = body.get("properties") if isinstance(body, dict) else None
    if not isinstance(properties, dict):
        raise ApiError(400, "VALIDATION_ERROR", "Invalid input JSON: properties must be an object.")
    return properties


def not_found(object_type: str, object_id: str) -> ApiError:
    """HubSpot's answer for a record that does not exist."""
    message = f"Object not found. No {rules.SINGULAR.get(object_type, object_type)} has this id."
    return ApiError(404, "OBJECT_NOT_FOUND", message, context={"ids": [object_id]})
