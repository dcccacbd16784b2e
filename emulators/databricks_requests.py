"""What an emulated Databricks workspace accepts as a request, and how it refuses one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request

Body = dict[str, Any]
WAREHOUSE = "sandboxwarehouse0"
_TEXT_BYTES = 16 * 1024 * 1024
_SAID = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RequestRefusedError(Exception):
    """A request that is answered with an error status; `code` is the `error_code` of its body."""

    def __init__(self, status: int, sentence: str, code: str | int | None = None) -> None:
        """Keep what is answered."""
        super().__init__(sentence)
        self.response = error_response(status, sentence, code)


def error_response(status: int, sentence: str, code: str | int | None = None) -> Response:
    """The vendor's error body."""
    word = _SAID.get(status, "INTERNAL_ERROR") if code is None else code
    return JSONResponse({"error_code": word, "message": sentence, "details": []}, status)


def root(request: Request) -> str:
    """Where the workspace is."""
    return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"


def read_request(raw: bytes) -> Body:
    """The body of a request to execute a statement.

    Raises:
        RequestRefusedError: It is not accepted.
    """
    try:
        asked = json.loads(raw)
    except ValueError:
        raise RequestRefusedError(400, "The body is no JSON.", "MALFORMED_REQUEST") from None
    if not isinstance(asked, dict) or not asked.get("statement") or not asked.get("warehouse_id"):
        raise RequestRefusedError(400, "statement and warehouse_id are required.", "INVALID_PARAMETER_VALUE")
    if asked["warehouse_id"] != WAREHOUSE:
        raise RequestRefusedError(404, "The warehouse does not exist.", "RESOURCE_DOES_NOT_EXIST")
    inline = asked.get("disposition", "INLINE") == "INLINE"
    if inline and asked.get("format", "JSON_ARRAY") != "JSON_ARRAY":
        raise RequestRefusedError(400, "INLINE results are JSON_ARRAY.", "INVALID_PARAMETER_VALUE")
    if len(asked["statement"].encode()) > _TEXT_BYTES:
        raise RequestRefusedError(400, "The statement is too long.", "INVALID_PARAMETER_VALUE")
    return asked


def waiting_s(asked: Body) -> int:
    """How many seconds a request waits for its statement."""
    text = str(asked.get("wait_timeout", "10s"))
    seconds = int(text[:-1]) if text.endswith("s") and text[:-1].isdigit() else -1
    if seconds != 0 and not 5 <= seconds <= 50:
        raise RequestRefusedError(400, "wait_timeout is 0s or 5s to 50s.", "INVALID_PARAMETER_VALUE")
    return seconds
