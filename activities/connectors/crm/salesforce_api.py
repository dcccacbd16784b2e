"""The road to Salesforce: simple-salesforce without retries, one error taxonomy for all of its answers."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from pydantic import JsonValue
from requests.exceptions import ConnectTimeout, InvalidSchema, InvalidURL, MissingSchema, RequestException  # noqa: TID251
from simple_salesforce.api import Salesforce as SalesforceClient
from simple_salesforce.exceptions import SalesforceError
from simple_salesforce.util import call_salesforce
from urllib3.exceptions import MaxRetryError, NewConnectionError

from activities.ports.connection import Connection
from activities.transport.bounds import AnswerTooLargeError, Limits, too_large
from activities.transport.classify import status_error
from activities.transport.offload import offload
from activities.transport.pools import outbound_session
from activities.transport.tls import tls_error
from contracts.errors import InvalidInput, OutcomeUnknown, RateLimited, Transient, WedSyncError

SYSTEM, API_VERSION = "salesforce", "67.0"
LIMIT_PAUSE_S = 300.0
"""Salesforce names no time after which a used-up limit has room again; the daily one is counted over a moving day."""
_LOCKED = "UNABLE_TO_LOCK_ROW"
_LIMIT_CODES = frozenset({"REQUEST_LIMIT_EXCEEDED"})
TRANSIENT_CODES = _LIMIT_CODES | {_LOCKED, "SERVER_UNAVAILABLE", "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION"}
"""Codes of a refused record that may stand when it is sent again; any other is the record's own fault."""
_WORD = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_VENDOR_HOST = re.compile(r"([a-z0-9-]+\.)+(salesforce|force)\.com")
_NOT_A_URL = (InvalidURL, InvalidSchema, MissingSchema)

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A 2xx answer of Salesforce; `body` is its JSON, or its text where CSV was asked for."""

    operation: str
    status: int
    body: Any
    writes: bool

    def objects(self) -> list[Json]:
        """Return the answer as a list of objects.

        Raises:
            OutcomeUnknown: `vendor_bad_response`, the answer to a write is no such list.
            Transient: the same for a read.
        """
        if isinstance(self.body, list) and all(isinstance(item, dict) for item in self.body):
            return self.body
        raise self.bad()

    def listed(self, name: str) -> list[Json]:
        """Return the list of objects under `name`; errors as `objects`."""
        found = self.body.get(name) if isinstance(self.body, dict) else None
        return Answer(self.operation, self.status, found, self.writes).objects()

    def text(self, name: str) -> str:
        """Return the non-empty text under `name`; errors as `objects`."""
        found = self.body.get(name) if isinstance(self.body, dict) else None
        if isinstance(found, str) and found:
            return found
        raise self.bad()

    def bad(self) -> WedSyncError:
        """Return the error for an answer that is not what the vendor's document describes."""
        kind = OutcomeUnknown if self.writes else Transient
        return kind(
            "vendor_bad_response",
            f"{SYSTEM} sent an answer to {self.operation} that is not what its document describes.",
            system=SYSTEM,
            operation=self.operation,
            evidence={"status": self.status},
        )


class SalesforceApi:
    """One SDK client of one connection, for many threads at once.

    Args:
        connection: where and as whom to speak; `instanceUrl` of the credential goes before the base URL.
        timeout_s: seconds to wait for a connection, and for each piece of the answer.
    """

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._client: SalesforceClient | None = None

    async def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        writes: bool,
        body: Mapping[str, JsonValue] | None = None,
        csv: bytes | None = None,
        reads_csv: bool = False,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one request below `/services/data/v67.0/` and return its 2xx answer.

        Args:
            operation: what is asked, such as `Wedding__c.upsert`, for errors.
            method: HTTP method.
            path: the path's rest, quoted where it needs to be; from the root when it begins with a slash.
            writes: whether the request changes something, so that a lost answer leaves the outcome open.
            body: JSON to send.
            csv: CSV to send instead.
            reads_csv: whether the answer is CSV.
            params: the query.

        Raises:
            AuthExpired: 401 `INVALID_SESSION_ID`.
            RateLimited: `REQUEST_LIMIT_EXCEEDED`, which comes as 403.
            OutcomeUnknown: a write met a time-out, a reset, a 5xx or an unreadable answer.
            Transient: a read met the same, a row was locked, or the host could not be reached at all.
            Permanent: any other refusal; `vendorCode` in the evidence is Salesforce's error code.

        Source: https://developer.salesforce.com/docs/platform/api-rest/guide/errorcodes.html (v67.0).
        """
        await self._connection.admission.admit()
        send = partial(self._send, method, path, body, csv, params)
        failure: WedSyncError
        try:
            status, raw = await offload(send)
        except SalesforceError as refused:
            failure = _refusal(operation, refused, writes=writes)
        except _NOT_A_URL:
            failure = _invalid_url(operation)
        except RequestException as error:
            failure = tls_error(SYSTEM, operation, error) or _unanswered(operation, error, writes=writes)
        except AnswerTooLargeError:
            failure = too_large(SYSTEM, operation, writes=writes)
        else:
            return _answered(operation, status, raw, writes=writes, reads_csv=reads_csv)
        # Raised outside the handlers: the SDK's exception holds the answer's body, which must not reach a failure.
        raise failure

    async def close(self) -> None:
        """Close every connection; a later call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            await offload(client.session.close)

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, JsonValue] | None,
        csv: bytes | None,
        params: Mapping[str, str] | None,
    ) -> tuple[int, bytes]:
        client = self._opened()
        root = client.base_url if not path.startswith("/") else self._root()
        headers = {**client.headers, "Content-Type": "text/csv" if csv is not None else "application/json"}
        given = {"json": body} if body is not None else {"data": csv} if csv is not None else {}
        response = call_salesforce(
            root + path,
            method,
            client.session,
            headers,
            params=params,
            timeout=self._timeout_s,
            allow_redirects=False,
            **given,
        )
        return response.status_code, response.content

    def _opened(self) -> SalesforceClient:
        with self._lock:
            if self._client is None:
                self._client = self._build()
            return self._client

    def _build(self) -> SalesforceClient:
        session = outbound_session(self._connection, system=SYSTEM, limits=Limits(total_s=self._timeout_s))
        root = self._root()
        token = self._connection.secret("accessToken")
        client = SalesforceClient(session_id=token, instance_url=root, version=API_VERSION, session=session)
        # The SDK makes https of every instance and drops its path; a stand-in has both.
        client.base_url = f"{root}/services/data/v{API_VERSION}/"
        return client

    def _root(self) -> str:
        """Return where the org lives: as its token answer said, if that is Salesforce's or the configured host."""
        configured = self._connection.base_url
        if "instanceUrl" not in self._connection.credential:
            return configured
        instance = self._connection.secret("instanceUrl").rstrip("/")
        given, known = urlsplit(instance), urlsplit(configured)
        ours = (given.scheme, given.netloc) == (known.scheme, known.netloc)
        if ours or (given.scheme == "https" and _VENDOR_HOST.fullmatch(given.netloc)):
            return instance
        raise InvalidURL


def error_codes(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the fixed words of a record's errors: each code, then the fields it names."""
    words: list[str] = []
    for error in errors:
        words.append(word(error.get("statusCode")) or word(error.get("errorCode")) or "UNKNOWN")
        fields = error.get("fields")
        words += [str(name) for name in fields if str(name).isidentifier()] if isinstance(fields, list) else []
    return list(dict.fromkeys(words))


def word(value: object) -> str:
    """Return a vendor's code when it is a fixed word, otherwise nothing."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _answered(operation: str, status: int, raw: bytes, *, writes: bool, reads_csv: bool) -> Answer:
    answer = Answer(operation, status, None, writes)
    if not raw and not reads_csv:
        return answer
    try:
        body = raw.decode() if reads_csv else json.loads(raw)
    except ValueError:
        body = None
    if body is None:
        raise answer.bad()
    return Answer(operation, status, body, writes)


def _invalid_url(operation: str) -> InvalidInput:
    return InvalidInput(
        "invalid_base_url",
        f"The base URL, or the instance URL, of the {SYSTEM} integration is not one of Salesforce.",
        action="Correct connectionConfig.baseUrl: https://{your domain}.my.salesforce.com.",
        system=SYSTEM,
        operation=operation,
    )


def _unanswered(operation: str, error: RequestException, *, writes: bool) -> WedSyncError:
    reason = error.args[0] if error.args else None
    refused = isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)
    if refused or isinstance(error, ConnectTimeout):
        return Transient(
            "vendor_unreachable", f"{SYSTEM} cannot be reached for {operation}.", system=SYSTEM, operation=operation
        )
    kind = OutcomeUnknown if writes else Transient
    return kind(
        "vendor_no_answer",
        f"The connection to {SYSTEM} ended or timed out before {operation} was answered.",
        system=SYSTEM,
        operation=operation,
    )


def _refusal(operation: str, refused: SalesforceError, *, writes: bool) -> WedSyncError:
    content: Any = refused.content
    first = content[0] if isinstance(content, list) and content and isinstance(content[0], dict) else {}
    status, code = int(refused.status), word(first.get("errorCode"))
    evidence: dict[str, JsonValue] = {"status": status, "vendorCode": code}
    if code in _LIMIT_CODES:
        return RateLimited(
            "rate_limited",
            f"{SYSTEM} has answered as many requests as the org may make for now; {operation} waits.",
            system=SYSTEM,
            operation=operation,
            retry_after_s=LIMIT_PAUSE_S,
            evidence=evidence,
        )
    if code == _LOCKED and status < HTTPStatus.INTERNAL_SERVER_ERROR:
        # Refused before anything was written.
        return Transient(
            "record_locked",
            f"{SYSTEM} has locked a record that {operation} needs.",
            system=SYSTEM,
            operation=operation,
            evidence=evidence,
        )
    return status_error(SYSTEM, operation, status, code=code, writes=writes)
