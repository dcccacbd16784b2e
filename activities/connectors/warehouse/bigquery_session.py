"""Jobs at BigQuery, one per statement: named by us, so that one whose answer was lost is found, and how they end."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound, ServerError
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import bigquery
from google.oauth2 import service_account
from requests import Response  # noqa: TID251 - the client's transport
from requests.exceptions import RequestException  # noqa: TID251

from activities.connectors.warehouse.bigquery_failures import classify, unended, unreadable_key, worn_out
from activities.connectors.warehouse.dialect import name_of, word
from activities.connectors.warehouse.model import RAW, Table, Type
from activities.ports.connection import Connection
from activities.transport.bounds import AnswerTooLargeError, Limits, parse_json, too_large
from activities.transport.pools import outbound_session, unexpected_redirect

JOB_TIMEOUT_S = 1_500
_SYSTEM = "bigquery"
_SCOPES = ("https://www.googleapis.com/auth/bigquery",)
_REQUEST_TIMEOUT_S = 120.0
_LIMITS = Limits(total_s=_REQUEST_TIMEOUT_S)
_NAMES = 20
"""Ids a load is tried under."""
FAILURES = (GoogleAPICallError, GoogleAuthError, RequestException, AnswerTooLargeError)
"""What the client raises, and our bound on an answer inside of it."""
_LOADED = {
    Type.TEXT: "STRING",
    Type.INTEGER: "INT64",
    Type.MONEY: "NUMERIC",
    Type.SCORE: "NUMERIC",
    Type.DATE: "DATE",
    Type.TIMESTAMP: "DATETIME",
    Type.BOOLEAN: "BOOL",
}


class _Transport(AuthorizedSession):  # type: ignore[misc]
    """Google's session, which adds the token, under the outbound policy."""

    def get_redirect_target(self, resp: Response) -> str | None:
        """Refuse where the library would carry the token elsewhere."""
        if super().get_redirect_target(resp) is not None:
            resp.close()
            raise unexpected_redirect(_SYSTEM)
        return None


class Session:
    """A client of one project, used by one step at a time and closed by `close`.

    Args:
        connection: the project, credential and settings.
        query_tag: kept as a label of every job.

    Raises:
        AuthExpired: the key is refused, or is none.
        InvalidInput: a name in the settings is not one, or the outbound policy does not allow the address.

    Source: cloud.google.com/bigquery/docs/reference/rest/v2/jobs: a job's id may be the client's, and is taken once.
    """

    def __init__(self, connection: Connection, query_tag: str) -> None:
        self._project = project_of(connection)
        self._location = connection.setting("location", "US")
        name_of(self._location.replace("-", "_"))
        self._files: dict[str, Path] = {}
        self._tables: dict[str, str] = {}
        self.tag(query_tag)
        self._outbound = outbound_session(connection, system=_SYSTEM, limits=_LIMITS)
        try:
            # The key signs what the API takes for a token (AIP-4111); the address it names for others is never called.
            credentials = service_account.Credentials.from_service_account_info(
                _key(connection), scopes=_SCOPES, always_use_jwt_access=True
            )
        except (AttributeError, TypeError, ValueError, GoogleAuthError):
            raise unreadable_key() from None
        self._http = _Transport(credentials, refresh_status_codes=(), auth_request=Request(session=self._outbound))
        self._http.trust_env = False
        for scheme in ("https://", "http://"):
            self._http.mount(scheme, self._outbound.get_adapter(scheme))
        self._client = bigquery.Client(
            self._project,
            credentials=credentials,
            _http=self._http,
            location=self._location,
            client_options={"api_endpoint": connection.base_url},
        )

    def tag(self, query_tag: str) -> None:
        """Label the jobs from here on; a label holds small letters, digits, `-` and `_` only."""
        self._label = "".join(one if one.isalnum() else "-" for one in query_tag.lower())[:63]

    def close(self) -> None:
        """Close the sockets; a job that is running goes on."""
        self._http.close()
        self._outbound.close()

    def run(self, operation: str, sql: str, *, writes: bool = True) -> list[tuple[Any, ...]]:
        """Execute one statement, or one script, as one job to its end and return its rows.

        Raises:
            Transient: nothing was done, or a read was not answered.
            OutcomeUnknown: the job may have been taken, and was not found again.
            WedSyncError: otherwise classified by status and reason.
        """
        job = self.start(operation, sql, writes=writes)
        try:
            rows = list(job.result(retry=None, job_retry=None, timeout=JOB_TIMEOUT_S))
        except TimeoutError:
            raise unended(operation, JOB_TIMEOUT_S) from None
        except FAILURES as error:
            raise classify(error, operation, writes=writes) from None
        return [tuple(row.values()) for row in rows]

    def start(self, operation: str, sql: str, *, writes: bool, **options: Any) -> Any:
        """Insert one statement, or one script, as a job and return it.

        Args:
            operation: what is done.
            sql: the statement.
            writes: whether a lost answer leaves the outcome open.
            options: of the job, as QueryJobConfig names them.

        Raises:
            WedSyncError: as `run`.
        """
        job_id = f"wedsync-{uuid.uuid4()}"
        config = bigquery.QueryJobConfig(use_query_cache=False, labels={"wedsync": self._label}, **options)

        def insert() -> Any:
            return self._client.query(
                sql, config, job_id=job_id, retry=None, job_retry=None, timeout=_REQUEST_TIMEOUT_S
            )

        return self._inserted(operation, job_id, insert, writes=writes)

    @contextmanager
    def transaction(self, operation: str) -> Iterator[None]:
        """Do no more than the block: a session's transaction would outlive a lost worker and hold the tables."""
        del operation
        yield

    def stage(self, operation: str, directory: str, files: Sequence[Path]) -> None:
        """Remember where the files lie: a load job takes them and makes their rows a table at once."""
        del operation
        self._files = {f"{directory}/{path.name}": path for path in files}

    def append(self, operation: str, table: Table, batch_id: str, directory: str, names: Sequence[str]) -> None:
        """Load each file into a table of its own, then replace the batch's rows in one script."""
        columns = ", ".join(table.names)
        sources = []
        for place in (f"{directory}/{name}" for name in names):
            content = self._files[place].read_bytes()
            digest = hashlib.sha256(place.encode() + content).hexdigest()[:32].upper()
            self._tables[place] = f"{RAW}.ETL_FILE_{digest}"
            self._load(operation, Table(self._tables[place], table.columns), content, digest)
            sources.append(f"SELECT {columns} FROM {self._tables[place]}")
        self.run(
            operation,
            f"BEGIN TRANSACTION; DELETE FROM {table.name} WHERE BATCH_ID = '{word(batch_id)}'; "
            f"INSERT INTO {table.name} ({columns}) {' UNION ALL '.join(sources)}; COMMIT TRANSACTION",
        )

    def unstage(self, operation: str, directory: str, names: Sequence[str]) -> None:
        """Drop the files' tables."""
        for name in names:
            self.run(operation, f"DROP TABLE IF EXISTS {self._tables.pop(f'{directory}/{name}')}")

    def _load(self, operation: str, work: Table, content: bytes, digest: str) -> None:
        """Load one file under an id made of its content, so that the job of an earlier attempt is waited for.

        An id is taken for ever: where its job failed, or its table is gone, the next one is used.
        """
        for number in range(_NAMES):
            job_id = f"wedsync-load-{digest}-{number}"
            known = self._found(operation, job_id, writes=False)
            job = known or self._inserted(operation, job_id, partial(self._send, job_id, work, content), writes=True)
            try:
                job.result(retry=None, timeout=JOB_TIMEOUT_S)
                self._client.get_table(f"{self._project}.{work.name}", retry=None, timeout=_REQUEST_TIMEOUT_S)
            except FAILURES as error:
                if known is not None and (known.error_result or isinstance(error, NotFound)):
                    continue
                raise classify(error, operation, writes=True) from None
            return
        raise worn_out(operation)

    def _send(self, job_id: str, work: Table, content: bytes) -> Any:
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=[bigquery.SchemaField(column.name, _LOADED[column.type]) for column in work.columns],
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
            labels={"wedsync": self._label},
        )
        return self._client.load_table_from_file(
            io.BytesIO(content),
            f"{self._project}.{work.name}",
            size=len(content),
            num_retries=0,
            job_id=job_id,
            job_config=config,
            timeout=_REQUEST_TIMEOUT_S,
        )

    def _inserted(self, operation: str, job_id: str, insert: Callable[[], Any], *, writes: bool) -> Any:
        """Insert a job, and look for it when the answer was lost.

        Raises:
            OutcomeUnknown: it was not found, or the look had no answer either.
        """
        try:
            return insert()
        except AnswerTooLargeError:
            raise too_large(_SYSTEM, operation, writes=writes) from None
        except FAILURES as error:
            if isinstance(error, GoogleAPICallError) and not isinstance(error, Conflict | ServerError):
                raise classify(error, operation, writes=writes) from None
            found = self._found(operation, job_id, writes=writes)
            if found is None:
                raise classify(error, operation, writes=writes) from None
            return found

    def _found(self, operation: str, job_id: str, *, writes: bool) -> Any:
        try:
            return self._client.get_job(job_id, location=self._location, retry=None, timeout=_REQUEST_TIMEOUT_S)
        except NotFound:
            return None
        except FAILURES as error:
            raise classify(error, operation, writes=writes) from None


def project_of(connection: Connection) -> str:
    """Return the project that holds the datasets.

    Raises:
        InvalidInput: the setting is no project id.
    """
    project = connection.setting("project")
    name_of(project.replace("-", "_"))
    return project


def _key(connection: Connection) -> Any:
    """Return the service account's key."""
    try:
        return parse_json(connection.secret("serviceAccountKey").encode())
    except (KeyError, ValueError, AnswerTooLargeError):
        raise unreadable_key() from None
