"""The road to HubSpot: the official SDK without retries, one error taxonomy for all of its answers."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from operator import attrgetter
from typing import Any

from hubspot import Client
from hubspot.crm.associations.v4.exceptions import ApiException as AssociationsApiException
from hubspot.crm.objects.exceptions import ApiException as ObjectsApiException
from hubspot.crm.properties.exceptions import ApiException as PropertiesApiException
from hubspot.crm.schemas.exceptions import ApiException as SchemasApiException
from pydantic import JsonValue
from urllib3 import Retry
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationValueError, NewConnectionError

from activities.ports.connection import Connection
from activities.transport.bounds import AnswerTooLargeError, Limits, parse_json, too_large
from activities.transport.classify import MAX_RETRY_AFTER_S, status_error
from activities.transport.offload import offload_to
from activities.transport.pools import guard
from activities.transport.tls import tls_error
from contracts.errors import InvalidInput, OutcomeUnknown, RateLimited, Transient, WedSyncError

SYSTEM = "hubspot"
_REFUSALS = (ObjectsApiException, PropertiesApiException, SchemasApiException, AssociationsApiException)
_NEVER_SENT = (NewConnectionError, ConnectTimeoutError)
_WORD = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_DAILY_POLICY = "DAILY"
_MIGRATING = 477
_POOL_SIZE = 32
# HubSpot publishes no full list of the categories of an item's error; any other category is permanent.
_TRANSIENT_CATEGORIES = frozenset(
    {"INTERNAL_ERROR", "LOCKED", "RATE_LIMIT", "RATE_LIMITS", "SERVICE_UNAVAILABLE", "TIMEOUT"}
)

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A 2xx answer of HubSpot: its status and its JSON object."""

    operation: str
    status: int
    body: Json
    writes: bool

    def listed(self, name: str) -> list[Json]:
        """Return the list of objects under `name`.

        Raises:
            OutcomeUnknown: `vendor_bad_response`, the answer to a write has no such list.
            Transient: the same for a read.
        """
        found = self.body.get(name)
        if isinstance(found, list) and all(isinstance(item, dict) for item in found):
            return found
        raise bad_response(self.operation, self.status, writes=self.writes)

    def text(self, name: str) -> str:
        """Return the non-empty text or number under `name`, as text.

        Raises:
            OutcomeUnknown: `vendor_bad_response`, the answer to a write lacks it.
            Transient: the same for a read.
        """
        found = self.body.get(name)
        if isinstance(found, str | int) and str(found):
            return str(found)
        raise bad_response(self.operation, self.status, writes=self.writes)

    def errors(self) -> list[Json]:
        """Return the errors of a multi-status answer; none when it has none."""
        return self.listed("errors") if self.body.get("errors") else []


class HubSpotApi:
    """One SDK client of one connection, for many threads at once.

    Args:
        connection: where and as whom to speak.
        timeout_s: total seconds one request may take.
    """

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._apis: Mapping[str, Any] = {}

    async def call(self, operation: str, endpoint: str, *args: object, writes: bool, **options: object) -> Answer:
        """Make one request and return its 2xx answer.

        Args:
            operation: what is asked, such as `contacts.update`, for errors.
            endpoint: API and method of the SDK, such as `batch.upsert`.
            args: the method's own arguments; bodies are JSON objects in the vendor's spelling.
            writes: whether the request changes something, so that a lost answer leaves the outcome open.
            options: the method's own keyword arguments.

        Raises:
            AuthExpired: 401.
            RateLimited: 429, the connection's limit is used up, and 477 while the account moves between data centres.
            OutcomeUnknown: a write met a time-out, a reset, a 5xx, 423 or an unreadable answer.
            Transient: a read met the same, or the host could not be reached at all.
            InvalidInput: the outbound policy does not allow the address.
            Permanent: any other refusal, whose `vendorCode` in the evidence is HubSpot's category; a certificate that
                is not trusted; an answer without end.

        Source: https://developers.hubspot.com/docs/api-reference/error-handling (v3).
        """
        return await self._request(operation, partial(self._send, endpoint, args, options), writes=writes)

    async def archive(self, operation: str, object_type: str, object_id: str) -> None:
        """Archive one record, which is answered without a body; errors as `call`."""
        send = partial(self._send, "objects.archive", (object_type, object_id), {})
        await self._request(operation, send, writes=True, empty=True)

    async def archive_batch(self, operation: str, object_type: str, object_ids: Sequence[str]) -> None:
        """Archive at most 100 records, which is answered without a body; errors as `call`."""
        body = {"inputs": [{"id": object_id} for object_id in object_ids]}
        send = partial(self._send, "batch.archive", (object_type, body), {})
        await self._request(operation, send, writes=True, empty=True)

    async def get(self, operation: str, path: str) -> Answer:
        """Read a path the SDK has no method for, by the SDK's own transport; errors as `call`."""
        return await self._request(operation, partial(self._get, path), writes=False)

    def together(self, calls: int) -> AbstractAsyncContextManager[None]:
        """Admit the calls of an operation at once, as `Connection.together` says."""
        return self._connection.together(calls)

    async def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        with self._lock:
            apis, self._apis = self._apis, {}
        for api in apis.values():
            await offload_to(SYSTEM, api.api_client.rest_client.pool_manager.clear)

    async def _request(
        self, operation: str, send: partial[tuple[int, bytes]], *, writes: bool, empty: bool = False
    ) -> Answer:
        await self._connection.admit()
        try:
            status, raw = await offload_to(SYSTEM, send)
            body = {} if empty and status == HTTPStatus.NO_CONTENT else _json_object(raw)
        except _REFUSALS as refused:
            failure = _refusal(operation, refused, writes=writes)
        except _NEVER_SENT:
            failure = Transient(
                "vendor_unreachable", f"{SYSTEM} cannot be reached for {operation}.", system=SYSTEM, operation=operation
            )
        except LocationValueError:
            failure = InvalidInput(
                "invalid_base_url",
                f"The base URL of the {SYSTEM} integration is not a URL.",
                action="Correct connectionConfig.baseUrl.",
                system=SYSTEM,
                operation=operation,
            )
        except (HTTPError, AttributeError) as error:
            # A failed handshake is an AttributeError, by which the SDK stumbles over its own report of it.
            failure = tls_error(SYSTEM, operation, error) or _unanswered(operation, writes=writes)
        except AnswerTooLargeError:
            failure = too_large(SYSTEM, operation, writes=writes)
        except UnicodeDecodeError:
            failure = bad_response(operation, 0, writes=writes)
        else:
            if body is not None:
                return Answer(operation, status, body, writes)
            failure = bad_response(operation, status, writes=writes)
        # Raised outside the handlers: the SDK's exception holds the answer's body, which must not reach a failure.
        raise failure

    def _send(self, endpoint: str, args: tuple[object, ...], options: Mapping[str, object]) -> tuple[int, bytes]:
        api, method = endpoint.split(".")
        call = getattr(self._sdk()[api], method)
        # The raw answer is read because the SDK's models drop fields of multi-status answers.
        response = call(*args, **options, _preload_content=False, _request_timeout=self._timeout_s)
        return response.status, response.data

    def _get(self, path: str) -> tuple[int, bytes]:
        response = self._sdk()["objects"].api_client.call_api(
            path,
            "GET",
            header_params={"Accept": "application/json"},
            response_types_map={},
            auth_settings=["oauth2"],
            _preload_content=False,
            _request_timeout=self._timeout_s,
        )
        return response.status, response.data

    def _sdk(self) -> Mapping[str, Any]:
        with self._lock:
            if not self._apis:
                self._apis = self._build()
            return self._apis

    def _build(self) -> Mapping[str, Any]:
        client = Client.create(
            access_token=self._connection.secret("accessToken"),
            host=self._connection.base_url,
            retry=Retry(total=False),
            connection_pool_maxsize=_POOL_SIZE,
        )
        paths = {
            "objects": "crm.objects.basic_api",
            "batch": "crm.objects.batch_api",
            "schemas": "crm.schemas.core_api",
            "properties": "crm.properties.core_api",
            "groups": "crm.properties.groups_api",
            "associations": "crm.associations.v4.batch_api",
        }
        apis = {name: attrgetter(path)(client) for name, path in paths.items()}
        for api in apis.values():
            guard(api.api_client.rest_client.pool_manager, self._connection, Limits(total_s=self._timeout_s))
        return apis


def passes_by_itself(error: Mapping[str, Any]) -> bool:
    """Return whether a failed item of a multi-status answer may succeed later, by its status or category."""
    status = str(error.get("status", ""))
    if status.isdecimal():
        return isinstance(status_error(SYSTEM, "", int(status)), Transient)
    return category_of(error) in _TRANSIENT_CATEGORIES


def category_of(error: Mapping[str, Any]) -> str:
    """Return the error's category when it is a fixed word, otherwise nothing."""
    return _word(error.get("category")) or _word(error.get("errorType"))


def bad_response(operation: str, status: int, *, writes: bool) -> WedSyncError:
    """Return the error for an answer that is not what the vendor's document describes."""
    kind = OutcomeUnknown if writes else Transient
    return kind(
        "vendor_bad_response",
        f"{SYSTEM} sent an answer to {operation} that is not the JSON its document describes.",
        system=SYSTEM,
        operation=operation,
        evidence={"status": status},
    )


def _unanswered(operation: str, *, writes: bool) -> WedSyncError:
    kind = OutcomeUnknown if writes else Transient
    return kind(
        "vendor_no_answer",
        f"The connection to {SYSTEM} ended or timed out before {operation} was answered.",
        system=SYSTEM,
        operation=operation,
    )


def _refusal(operation: str, refused: Any, *, writes: bool) -> WedSyncError:
    status = int(refused.status or 0)
    if status == 0:
        return _unanswered(operation, writes=writes)
    body: Json = {}
    with suppress(AnswerTooLargeError):
        body = _json_object(refused.body) or {}
    retry_after = (refused.headers or {}).get("Retry-After")
    code = category_of(body)
    if status == HTTPStatus.TOO_MANY_REQUESTS and _word(body.get("policyName")) == _DAILY_POLICY:
        code, retry_after = f"{code or 'RATE_LIMIT'}_{_DAILY_POLICY}", retry_after or str(MAX_RETRY_AFTER_S)
    if status == _MIGRATING:
        return _migrating(operation, retry_after)
    return status_error(SYSTEM, operation, status, retry_after=retry_after, code=code, writes=writes)


def _migrating(operation: str, retry_after: str | None) -> WedSyncError:
    paused = status_error(
        SYSTEM, operation, HTTPStatus.TOO_MANY_REQUESTS, retry_after=retry_after or str(MAX_RETRY_AFTER_S)
    ).detail
    return RateLimited(
        "account_migrating",
        f"{SYSTEM} is moving the account to another data centre and refuses {operation} meanwhile.",
        system=SYSTEM,
        operation=operation,
        retry_after_s=paused.retry_after_s,
        evidence={"status": _MIGRATING},
    )


def _word(value: JsonValue) -> str:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _json_object(raw: bytes | str | None) -> Json | None:
    try:
        parsed = parse_json(raw or b"")
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
