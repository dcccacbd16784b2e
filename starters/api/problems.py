"""Errors as RFC 9457 problem details with a stable `code`."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from contracts.errors import ErrorDetail, ErrorKind, Owner, Permanent, WedSyncError
from starters.failures import RETRY_AFTER_S, detail_of

log = logging.getLogger("wedsync.api")

MEDIA_TYPE = "application/problem+json"
_BY_CODE = {
    "credential_missing_bearer": 401,
    "api_key_refused": 401,
    "signature_refused": 401,
    "hook_unreadable": 400,
    "role_insufficient": 403,
    "not_found": 404,
    "run_not_found": 404,
    "integration_not_found": 404,
    "wedding_not_found": 404,
    "emergency_not_found": 404,
    "policy_not_found": 404,
    "wedding_closed": 409,
    "idempotency_mismatch": 409,
    "payload_too_large": 413,
    "not_json": 400,
}
_BY_KIND = {
    ErrorKind.TRANSIENT: 503,
    ErrorKind.RATE_LIMITED: 503,
    ErrorKind.OUTCOME_UNKNOWN: 503,
    ErrorKind.INVALID_INPUT: 422,
    ErrorKind.INTEGRATION_PAUSED: 409,
    ErrorKind.QUALITY_GATE_FAILED: 422,
    ErrorKind.AUTH_EXPIRED: 422,
}
_BY_STATUS = {404: "not_found", 405: "method_not_allowed"}


def status_of(detail: ErrorDetail) -> int:
    """Return the HTTP status of an error; a vendor's own permanent refusal is a bad gateway."""
    if detail.code in _BY_CODE:
        return _BY_CODE[detail.code]
    if detail.kind in _BY_KIND:
        return _BY_KIND[detail.kind]
    return HTTPStatus.BAD_GATEWAY if detail.system else HTTPStatus.INTERNAL_SERVER_ERROR


def problem(detail: ErrorDetail) -> JSONResponse:
    """Return the response that says what happened, whose job it is and what to do next."""
    status = status_of(detail)
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail.sentence(),
        "code": detail.code,
        "kind": detail.kind.value,
        "owner": detail.owner.value,
        "action": detail.action,
    }
    if detail.system:
        body["system"] = detail.system
    headers = {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(math.ceil(detail.retry_after_s or RETRY_AFTER_S))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    @app.exception_handler(WedSyncError)
    async def _typed(_request: Request, error: WedSyncError) -> JSONResponse:
        return problem(error.detail)

    @app.exception_handler(HTTPException)
    async def _routing(_request: Request, error: HTTPException) -> JSONResponse:
        code = _BY_STATUS.get(error.status_code, "http_error")
        phrase = HTTPStatus(error.status_code).phrase
        return JSONResponse(
            {
                "type": "about:blank",
                "title": phrase,
                "status": error.status_code,
                "detail": f"{phrase}: look at /openapi.json for what is served.",
                "code": code,
            },
            error.status_code,
            error.headers,
            media_type=MEDIA_TYPE,
        )

    @app.exception_handler(Exception)
    async def _unforeseen(_request: Request, error: Exception) -> JSONResponse:
        detail = detail_of(error)
        if detail.code == "unclassified":
            log.error("unclassified %s in the API", type(error).__name__, exc_info=error)
            detail = Permanent(
                "internal", "The API met an unforeseen error.", owner=Owner.ENGINEER, action="Look in the API's log."
            ).detail
        return problem(detail)
