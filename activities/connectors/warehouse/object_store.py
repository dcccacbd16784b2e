"""The tenant's object store that a warehouse loads from, written to by signed URLs under the outbound policy."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

from requests.exceptions import ConnectionError as NotConnectedError  # noqa: TID251 - what the policy's session raises
from requests.exceptions import RequestException  # noqa: TID251

from activities.ports.connection import Connection
from activities.transport.bounds import AnswerTooLargeError, Limits
from activities.transport.classify import status_error
from activities.transport.pools import outbound_session
from activities.transport.tls import tls_error
from contracts.errors import Permanent, Transient, WedSyncError

_GONE = 404
_CONNECT_S, _SILENCE_S, _TOTAL_S = 10.0, 120.0, 600.0
_LARGEST_ANSWER = 64 * 1024


class ObjectStore:
    """A bucket or container; every call blocks.

    Args:
        connection: gives the outbound rules.
        system: the warehouse, in errors.
        sign: method and key -> the URL that allows this one request.
        headers: what the store wants with a file.
    """

    def __init__(
        self,
        connection: Connection,
        system: str,
        sign: Callable[[str, str], str],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._system, self._sign, self._headers = system, sign, dict(headers or {})
        self._session = outbound_session(
            connection, system=system, limits=Limits(max_bytes=_LARGEST_ANSWER, total_s=_TOTAL_S)
        )

    def put(self, key: str, content: Path | bytes) -> int:
        """Write an object whole, over what may be there, and return its size in bytes.

        Raises:
            Transient: the store does not answer.
            Permanent: it does not allow the write.
        """
        if isinstance(content, bytes):
            self._ask("PUT", key, io.BytesIO(content))
            return len(content)
        with content.open("rb") as file:
            self._ask("PUT", key, file)
        return content.stat().st_size

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error.

        Raises:
            Transient: the store does not answer.
            Permanent: it does not allow the removal.
        """
        self._ask("DELETE", key, None)

    def close(self) -> None:
        """Close the sockets."""
        self._session.close()

    def _ask(self, method: str, key: str, body: io.IOBase | None) -> None:
        operation = f"staging.{method.lower()}"
        headers = self._headers if body is not None else {}
        try:
            answer = self._session.request(
                method, self._sign(method, key), data=body, headers=headers, timeout=(_CONNECT_S, _SILENCE_S)
            )
        except (RequestException, AnswerTooLargeError, OSError) as error:
            raise self._failure(operation, error) from None
        if not (answer.ok or (method == "DELETE" and answer.status_code == _GONE)):
            # A repeat writes the same bytes to the same place: nothing is left open by a lost answer.
            raise status_error(
                self._system, operation, answer.status_code, retry_after=answer.headers.get("Retry-After")
            )

    def _failure(self, operation: str, error: Exception) -> WedSyncError:
        distrust: Permanent | None = tls_error(self._system, operation, error)
        said = "could not be reached" if isinstance(error, NotConnectedError) else "gave no answer"
        return distrust or Transient(
            "staging_unavailable",
            f"The object store of {self._system} {said} for {operation}.",
            system=self._system,
            operation=operation,
        )
