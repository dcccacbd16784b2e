"""The one way to speak JSON over HTTP with a vendor: bounded in time and size, every failure classified."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from json import loads
from typing import cast

import httpx
from pydantic import JsonValue

from activities.ports.connection import Connection
from activities.transport.classify import status_error
from contracts.errors import OutcomeUnknown, Permanent, Transient, WedSyncError

CONNECT_TIMEOUT_S = 10.0
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
_USER_AGENT = "wedsync-orchestrator"
_TLS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

QueryValue = str | int | float | bool | None


def tls_context(connection: Connection) -> ssl.SSLContext:
    """Return the verifying TLS context of a connection, no older than its `min_tls_version`."""
    return _context(_TLS[connection.min_tls_version])


@cache
def _context(minimum: ssl.TLSVersion) -> ssl.SSLContext:
    # Loading the system's certificates takes tens of milliseconds: once per process is enough.
    context = ssl.create_default_context()
    context.minimum_version = minimum
    return context


def open_client(
    connection: Connection,
    *,
    base_url: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """Return an httpx client that follows no redirect, reads no proxy from the environment and retries nothing.

    Args:
        connection: gives the base URL and the lowest TLS version.
        base_url: overrides the connection's, without trailing slash.
        headers: sent with every request, such as the credential.
        timeout_s: longest wait for one read or write.
        transport: replaces the network, in tests.
    """
    url = connection.base_url if base_url is None else base_url
    return httpx.AsyncClient(
        base_url=url,
        headers={"User-Agent": _USER_AGENT, "Accept": "application/json", **(headers or {})},
        timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
        verify=tls_context(connection) if url.startswith("https:") else False,
        trust_env=False,
        follow_redirects=False,
        transport=transport,
    )


def vendor_word(body: JsonValue) -> str:
    """Return the fixed error word of a JSON error body: its `code`, `category`, `type` or `error`, else nothing.

    Only a short word of letters, digits, `.`, `_` and `-` counts, so that no vendor prose reaches an error.
    """
    if not isinstance(body, dict):
        return ""
    for name in ("code", "category", "type", "error"):
        word = body.get(name)
        if (
            isinstance(word, str)
            and word.isascii()
            and len(word) <= 64  # noqa: PLR2004
            and word.replace("-", "").replace(".", "").isidentifier()
        ):
            return word
    return ""


class JsonClient:
    """A vendor's JSON endpoint. One instance serves many requests at once, until `aclose`.

    Args:
        system: the vendor's name in errors.
        client: from `open_client`.
        timeout_s: total seconds for one request, from connecting to the last byte.
        max_bytes: largest response read.
        error_word: takes the vendor's fixed error word from an error body.
    """

    def __init__(
        self,
        system: str,
        client: httpx.AsyncClient,
        *,
        timeout_s: float = 30.0,
        max_bytes: int = MAX_RESPONSE_BYTES,
        error_word: Callable[[JsonValue], str] = vendor_word,
    ) -> None:
        self._system = system
        self._client = client
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._error_word = error_word

    async def aclose(self) -> None:
        """Close the sockets."""
        await self._client.aclose()

    async def request_json(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        json: JsonValue = None,
        form: Mapping[str, str] | None = None,
        params: Mapping[str, QueryValue] | None = None,
        headers: Mapping[str, str] | None = None,
        writes: bool = False,
    ) -> JsonValue:
        """Make one request and return its JSON body; None when a success has no body.

        Args:
            method: HTTP verb.
            path: appended to the base URL, begins with `/`.
            operation: the name of the request in errors, such as `job.update`.
            json: request body.
            form: request body of a form, in the place of `json`.
            params: query parameters; None values are left out.
            headers: further headers of this request.
            writes: whether the request changes something at the vendor.

        Raises:
            Transient: the vendor was not reached, or a read had no usable answer.
            OutcomeUnknown: a write was sent and no usable answer came.
            RateLimited: 429.
            AuthExpired: 401.
            Permanent: another refusal, or a read whose answer is too large.
        """
        query = {name: value for name, value in (params or {}).items() if value is not None}
        request = self._client.build_request(
            method,
            path,
            json=json,
            data=None if form is None else dict(form),
            params=query or None,
            headers=None if headers is None else dict(headers),
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                answer, body = await self._exchange(request, operation, writes=writes)
        except _NOTHING_SENT:
            raise self._unreachable(operation) from None
        except httpx.DecodingError:
            raise self._bad_response(operation, writes=writes) from None
        except (TimeoutError, httpx.HTTPError):
            raise self._no_answer(operation, writes=writes) from None
        return self._read(answer, body, operation, writes=writes)

    async def _exchange(self, request: httpx.Request, operation: str, *, writes: bool) -> tuple[httpx.Response, bytes]:
        answer = await self._client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > self._max_bytes:
                    if answer.is_success:
                        raise self._too_large(operation, writes=writes)
                    return answer, b""
            return answer, bytes(body)
        finally:
            await answer.aclose()

    def _read(self, answer: httpx.Response, body: bytes, operation: str, *, writes: bool) -> JsonValue:
        if not answer.is_success:
            raise status_error(
                self._system,
                operation,
                answer.status_code,
                retry_after=answer.headers.get("Retry-After"),
                code=self._error_word(_json_or_none(answer, body)),
                writes=writes,
            )
        if answer.status_code == HTTPStatus.NO_CONTENT or not body:
            return None
        if not _is_json(answer):
            raise self._bad_response(operation, writes=writes)
        try:
            return cast("JsonValue", loads(body))
        except (ValueError, RecursionError):
            raise self._bad_response(operation, writes=writes) from None

    def _unreachable(self, operation: str) -> Transient:
        return Transient(
            "vendor_unreachable",
            f"{self._system} could not be reached for {operation}; nothing was sent.",
            system=self._system,
            operation=operation,
        )

    def _no_answer(self, operation: str, *, writes: bool) -> Transient:
        kind = OutcomeUnknown if writes else Transient
        return kind(
            "no_answer",
            f"{self._system} received {operation} and gave no complete answer within {self._timeout_s:.0f} s.",
            system=self._system,
            operation=operation,
        )

    def _bad_response(self, operation: str, *, writes: bool) -> Transient:
        kind = OutcomeUnknown if writes else Transient
        return kind(
            "vendor_bad_response",
            f"{self._system} answered {operation} with something other than the JSON it documents.",
            system=self._system,
            operation=operation,
        )

    def _too_large(self, operation: str, *, writes: bool) -> WedSyncError:
        kind = OutcomeUnknown if writes else Permanent
        return kind(
            "response_too_large",
            f"{self._system} answered {operation} with more than {self._max_bytes} bytes.",
            action="Ask for smaller pages or raise the limit of this connector.",
            system=self._system,
            operation=operation,
        )


def _is_json(answer: httpx.Response) -> bool:
    media = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return bool(media == "application/json" or (media.startswith("application/") and media.endswith("+json")))


def _json_or_none(answer: httpx.Response, body: bytes) -> JsonValue:
    if not _is_json(answer):
        return None
    try:
        return cast("JsonValue", loads(body))
    except (ValueError, RecursionError):
        return None
