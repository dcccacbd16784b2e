"""The one way to speak HTTP with a vendor: bounded in time and size, every failure classified."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import httpcore
import httpx
from pydantic import JsonValue

from activities.ports.connection import Connection
from activities.ports.outbound import OutboundRules
from activities.transport.bounds import MAX_RESPONSE_BYTES, AnswerTooLargeError, parse_json, too_large
from activities.transport.classify import status_error
from activities.transport.outbound import judged_addresses_async, parse, refused
from activities.transport.tls import tls_context, tls_error
from contracts.errors import OutcomeUnknown, Owner, Transient

CONNECT_TIMEOUT_S = 10.0
_USER_AGENT = "wedsync-orchestrator"
_POOL = 100
_IDLE = 20
_IDLE_S = 5.0
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

QueryValue = str | int | float | bool | None


def open_client(
    connection: Connection,
    *,
    base_url: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """Return an httpx client under the outbound policy, which follows no redirect and retries nothing.

    Args:
        connection: gives the base URL, the rules of the policy and the lowest TLS version.
        base_url: overrides the connection's, without trailing slash.
        headers: sent with every request, such as the credential.
        timeout_s: longest wait for one read or write.
        transport: replaces the network, in tests.

    Raises:
        InvalidInput: `url_not_allowed`, the base URL is not written as one.
    """
    url = connection.base_url if base_url is None else base_url
    parse(url, connection.platform)
    return httpx.AsyncClient(
        base_url=url,
        headers={"User-Agent": _USER_AGENT, "Accept": "application/json", **(headers or {})},
        timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
        trust_env=False,
        follow_redirects=False,
        transport=transport or _Transport(connection),
    )


async def _unasked() -> None:
    """Let every request pass."""


class _Transport(httpx.AsyncHTTPTransport):
    """The library's transport on a pool that dials judged addresses; hosts keep their names for TLS and headers."""

    def __init__(self, connection: Connection) -> None:
        context = tls_context(connection)
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=_POOL,
            max_keepalive_connections=_IDLE,
            keepalive_expiry=_IDLE_S,
            network_backend=_Network(connection.outbound),
        )


class _Network(httpcore.AsyncNetworkBackend):
    def __init__(self, rules: OutboundRules) -> None:
        self._rules = rules
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError("the name has no address")
        try:
            addresses = await judged_addresses_async(host, port, self._rules)
        except socket.gaierror as error:
            raise failure from error
        for address in addresses:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise refused("scheme", "it is a socket of this machine")


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


@dataclass(frozen=True)
class Answer:
    """A success in the vendor's own format."""

    headers: httpx.Headers
    body: bytes


class VendorClient:
    """A vendor's endpoint. One instance serves many requests at once, until `aclose`.

    Args:
        system: the vendor's name in errors.
        client: from `open_client`.
        timeout_s: total seconds for one request, from connecting to the last byte.
        max_bytes: largest response read.
        error_word: takes the vendor's fixed error word from a JSON error body.
        admit: `Connection.admit`, asked before every request.
        owner: who mends the server's certificate.
    """

    def __init__(
        self,
        system: str,
        client: httpx.AsyncClient,
        *,
        timeout_s: float = 30.0,
        max_bytes: int = MAX_RESPONSE_BYTES,
        error_word: Callable[[JsonValue], str] = vendor_word,
        admit: Callable[[], Awaitable[None]] = _unasked,
        owner: Owner = Owner.VENDOR,
    ) -> None:
        self._system = system
        self._client = client
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._error_word = error_word
        self._admit = admit
        self._owner = owner

    @classmethod
    def opened(
        cls,
        connection: Connection,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        *,
        base_url: str | None = None,
        error_word: Callable[[JsonValue], str] = vendor_word,
        owner: Owner = Owner.VENDOR,
    ) -> Self:
        """Return a client of the connection's vendor, under the outbound policy and the connection's limit.

        Raises:
            InvalidInput: `url_not_allowed`, the base URL is not written as one.
        """
        client = open_client(connection, base_url=base_url, headers=headers, timeout_s=timeout_s)
        return cls(
            connection.platform,
            client,
            timeout_s=timeout_s,
            error_word=error_word,
            admit=connection.admit,
            owner=owner,
        )

    async def aclose(self) -> None:
        """Close the sockets."""
        await self._client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        writes: bool = False,
    ) -> Answer:
        """Make one request in the vendor's own format and return the success that answers it.

        Args:
            method: HTTP verb.
            path: appended to the base URL, begins with `/`.
            operation: the name of the request in errors, such as `event.put`.
            content: request body.
            headers: further headers of this request, such as its media type.
            writes: whether the request changes something at the vendor.

        Raises:
            WedSyncError: as `JsonClient.request_json` does.
        """
        request = self._client.build_request(method, path, content=content, headers=dict(headers or {}))
        answer, body = await self._answered(request, operation, writes=writes)
        return Answer(answer.headers, body)

    async def _answered(self, request: httpx.Request, operation: str, *, writes: bool) -> tuple[httpx.Response, bytes]:
        """Send an admitted request and return its success with the body."""
        await self._admit()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer, body = await self._exchange(request)
        except _NOTHING_SENT as error:
            distrust = tls_error(self._system, operation, error, owner=self._owner)
            raise distrust or self._unreachable(operation) from None
        except AnswerTooLargeError:
            raise too_large(self._system, operation, writes=writes) from None
        except httpx.DecodingError:
            raise self._bad_response(operation, writes=writes) from None
        except (TimeoutError, httpx.HTTPError):
            raise self._no_answer(operation, writes=writes) from None
        if answer.is_success:
            return answer, body
        raise status_error(
            self._system,
            operation,
            answer.status_code,
            retry_after=answer.headers.get("Retry-After"),
            code=self._error_word(_json_or_none(answer, body)),
            writes=writes,
        )

    async def _exchange(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        answer = await self._client.send(request, stream=True)
        try:
            if "," in answer.headers.get("Content-Encoding", ""):
                # The library unpacks each layer whole: two of them make a terabyte out of a megabyte.
                raise AnswerTooLargeError
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > self._max_bytes:
                    if answer.is_success:
                        raise AnswerTooLargeError
                    return answer, b""
            return answer, bytes(body)
        finally:
            await answer.aclose()

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
            f"{self._system} answered {operation} with something other than what it documents.",
            system=self._system,
            operation=operation,
        )


class JsonClient(VendorClient):
    """A vendor's JSON endpoint."""

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
            RateLimited: 429, or the connection's limit is used up.
            AuthExpired: 401.
            InvalidInput: the outbound policy does not allow the address.
            Permanent: another refusal, a certificate that is not trusted, or a read whose answer is too large.
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
        answer, body = await self._answered(request, operation, writes=writes)
        return self._read(answer, body, operation, writes=writes)

    def _read(self, answer: httpx.Response, body: bytes, operation: str, *, writes: bool) -> JsonValue:
        if answer.status_code == HTTPStatus.NO_CONTENT or not body:
            return None
        if not _is_json(answer):
            raise self._bad_response(operation, writes=writes)
        try:
            return parse_json(body)
        except ValueError:
            raise self._bad_response(operation, writes=writes) from None
        except AnswerTooLargeError:
            raise too_large(self._system, operation, writes=writes) from None


def _is_json(answer: httpx.Response) -> bool:
    media = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return bool(media == "application/json" or (media.startswith("application/") and media.endswith("+json")))


def _json_or_none(answer: httpx.Response, body: bytes) -> JsonValue:
    if not _is_json(answer):
        return None
    try:
        return parse_json(body)
    except (ValueError, AnswerTooLargeError):
        return None
