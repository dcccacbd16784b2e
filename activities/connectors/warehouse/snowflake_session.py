"""One Snowflake session: how it is opened, what its errors mean, and transactions that end."""

from __future__ import annotations

import base64
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import snowflake.connector
from snowflake.connector import errors

from activities.connectors.warehouse.answers import overdue
from activities.connectors.warehouse.dialect import name_of, path_part, word
from activities.connectors.warehouse.model import RAW, Table
from activities.connectors.warehouse.transactions import committed
from activities.ports.connection import Connection
from activities.transport.gate import Gate
from activities.transport.outbound import Target, parse
from activities.transport.tls import prove, tls_error
from contracts.errors import AuthExpired, OutcomeUnknown, Owner, Permanent, Transient, WedSyncError

LOGIN_TIMEOUT_S = 30
REQUEST_TIMEOUT_S = 180
QUERY_TIMEOUT_S = 1_500
ACCOUNT_ADDRESS = "https://{account}.snowflakecomputing.com"
_CONNECT_TIMEOUT_S = 10
_TLS_PORTS = (443,)
# Where Snowflake keeps stages and results: https://docs.snowflake.com/en/user-guide/hostname-allowlist
_STORES = (
    *("*.snowflakecomputing.com", "*.snowflakecomputing.cn", "*.amazonaws.com", "*.amazonaws.com.cn"),
    *("*.blob.core.windows.net", "storage.googleapis.com", "*.storage.googleapis.com"),
)
_SYSTEM = "snowflake"
_STAGE = f"{RAW}.ETL_FILES"
_LOGIN_STATE = "28000"
_SESSION_GONE = frozenset({390111, 390112, 390114, 390195})
_CREDENTIAL_REFUSED = range(390_100, 390_500)
_LOCKED_OR_CANCELLED = frozenset({604, 625, 630, 1_300, 57_014})
_ENDED = frozenset({604, 630})
_PRIVILEGE = frozenset({3_001, 3_003})
_MISSING = frozenset({2_003, 2_043})
_NO_WAREHOUSE = frozenset({606, 90_073, 90_109})
_REMOTE_FILE = frozenset({91_016})


class Session:
    """A session, used by one activity at a time and closed by `close`.

    Args:
        connection: the account, credential and settings.
        query_tag: written into Snowflake's query history, to find what a run did.
        limits: session parameters besides.

    Raises:
        AuthExpired: the credential is refused.
        InvalidInput: the outbound policy does not allow the account's address, or one that Snowflake hands out.
        Permanent: its certificate is not trusted.
        Transient: the account does not answer.
    """

    def __init__(self, connection: Connection, query_tag: str, limits: Mapping[str, int] | None = None) -> None:
        # The driver asks the cloud's metadata address where it runs, past every policy; only this variable stops it.
        os.environ.setdefault("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true")
        target = address_of(connection)
        parameters = _parameters(connection) | {"host": target.host, "port": target.port, "protocol": target.scheme}
        self._gate: Gate | None = None
        if target.scheme == "https":
            _prove(connection, target)
            # The driver follows redirects with the password in them: until it is logged in, there is one host.
            self._gate = Gate(connection.outbound, (target.host,), (target.port, *_TLS_PORTS), _SYSTEM)
            parameters |= {f"proxy_{name}": value for name, value in self._gate.settings().items()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._connection: Any = snowflake.connector.connect(
                    **parameters, session_parameters={"QUERY_TAG": query_tag, **(limits or {})}
                )
        except errors.Error as error:
            failure = self._failure(error, "session.open", writes=False, login=True)
            self._close_gate()
            raise failure from None
        if self._gate is not None:
            self._gate.admit(_STORES)

    def tag(self, query_tag: str) -> None:
        """Write another tag into the query history from here on.

        Raises:
            WedSyncError: the session is gone.
        """
        self.run("session.tag", f"ALTER SESSION SET QUERY_TAG = '{word(query_tag)}'", writes=False)

    def close(self) -> None:
        """Log out; a session that cannot be closed expires at Snowflake."""
        try:
            self._connection.close()
        except errors.Error:
            return
        finally:
            self._close_gate()

    def _close_gate(self) -> None:
        if self._gate is not None:
            self._gate.close()
            self._gate = None

    def _failure(self, error: errors.Error, operation: str, *, writes: bool, login: bool = False) -> WedSyncError:
        refusal = self._gate.refusal() if self._gate is not None else None
        return refusal or classify(error, operation, writes=writes, login=login)

    def run(self, operation: str, sql: str, *, writes: bool = True) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows; for DML the first row holds the counts.

        Raises:
            WedSyncError: classified by the driver's error class, number and SQL state.
        """
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        except errors.Error as error:
            raise self._failure(error, operation, writes=writes) from None

    def stage(self, operation: str, directory: str, files: Sequence[Path]) -> None:
        """Put the files into the internal stage, which is made when it is not there yet."""
        self.run(operation, f"CREATE STAGE IF NOT EXISTS {_STAGE}")
        for path in files:
            local = path.as_posix().replace("\\", "\\\\").replace("'", "\\'")
            self.run(operation, f"PUT 'file://{local}' @{_STAGE}/{directory}/ AUTO_COMPRESS = FALSE OVERWRITE = TRUE")

    def append(self, operation: str, table: Table, _batch_id: str, directory: str, names: Sequence[str]) -> None:
        """Copy the staged Parquet files; FORCE because the surrounding transaction counts the rows."""
        listed = ", ".join(f"'{path_part(name)}'" for name in names)
        self.run(
            operation,
            f"COPY INTO {table.name} FROM @{_STAGE}/{directory}/ FILES = ({listed}) FILE_FORMAT = (TYPE = PARQUET) "
            "MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE FORCE = TRUE",
        )

    def unstage(self, operation: str, directory: str, names: Sequence[str]) -> None:
        """Remove the staged files."""
        for name in names:
            self.run(operation, f"REMOVE @{_STAGE}/{directory}/{path_part(name)}")

    @contextmanager
    def reading(self, operation: str, sql: str, values: Sequence[object], timeout_s: int) -> Iterator[Any]:
        """Yield the cursor of a SELECT whose values stand as `%s`.

        Raises:
            WedSyncError: classified by the driver's error class, number and SQL state.
        """
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, tuple(values) or None)
                yield cursor
        except errors.Error as error:
            if error.errno in _ENDED:
                raise overdue(_SYSTEM, "Snowflake", timeout_s) from None
            raise self._failure(error, operation, writes=False) from None

    def transaction(self, operation: str) -> AbstractContextManager[None]:
        """Return a context that commits what its block did, or rolls all of it back."""
        return committed(self, operation)


def address_of(connection: Connection) -> Target:
    """Return where the account is, which the driver must not put together by itself.

    Raises:
        InvalidInput: `url_not_allowed`.
    """
    return parse(connection.base_url or ACCOUNT_ADDRESS.format(account=connection.setting("account")), _SYSTEM)


def _prove(connection: Connection, target: Target) -> None:
    operation = "session.open"
    try:
        prove(connection, target.host, target.port, _CONNECT_TIMEOUT_S)
    except OSError as error:
        raise tls_error(_SYSTEM, operation, error) or Transient(
            "vendor_unreachable", "Snowflake cannot be reached; nothing was sent.", system=_SYSTEM, operation=operation
        ) from None


def _parameters(connection: Connection) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "account": connection.setting("account"),
        "use_proxy_env": False,
        "user": connection.secret("user"),
        "login_timeout": LOGIN_TIMEOUT_S,
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "request_timeout": REQUEST_TIMEOUT_S,
        "query_timeout": QUERY_TIMEOUT_S,
        "retry_max_attempts": 1,
        "logout_max_attempts": 1,
        "enable_server_session_keep_alive_auto_detection": False,
        "client_session_keep_alive": False,
        "client_store_temporary_credential": False,
        "min_tls_version": "tls12" if connection.min_tls_version == "1.2" else "tls13",
        **{
            name: name_of(connection.setting(name)).upper()
            for name in ("warehouse", "database", "role")
            if connection.setting(name)
        },
    }
    if "privateKey" in connection.credential:
        key = connection.secret("privateKey")
        parameters |= {
            "authenticator": "SNOWFLAKE_JWT",
            "private_key": key if "BEGIN" in key else base64.b64decode(key),
        }
    elif "token" in connection.credential:
        parameters |= {"authenticator": "PROGRAMMATIC_ACCESS_TOKEN", "token": connection.secret("token")}
    elif "password" in connection.credential:
        parameters["password"] = connection.secret("password")
    else:
        raise AuthExpired(
            "credential_missing",
            "The Snowflake credential has neither password, privateKey nor token.",
            action="Connect the integration again with one of them.",
            system=_SYSTEM,
        )
    return parameters


def classify(error: errors.Error, operation: str, *, writes: bool, login: bool = False) -> WedSyncError:
    """Return our error for one of the driver's, by its class, number and SQL state.

    Args:
        error: what the driver raised.
        operation: what was done.
        writes: whether a lost answer leaves the outcome open.
        login: whether the session was being opened.
    """
    number = error.errno if isinstance(error.errno, int) else -1
    state = str(error.sqlstate or "")
    where: dict[str, Any] = {
        "system": _SYSTEM,
        "operation": operation,
        "evidence": {"vendorCode": number, "sqlState": state},
    }
    if number in _SESSION_GONE:
        return Transient("session_expired", "Snowflake ended the session; a new one is opened.", **where)
    if (login and state == _LOGIN_STATE) or number in _CREDENTIAL_REFUSED:
        return AuthExpired(
            "credential_refused",
            "Snowflake refuses the stored credential.",
            action="Connect the integration again with a valid credential.",
            **where,
        )
    if number in _LOCKED_OR_CANCELLED:
        return Transient("warehouse_busy", f"Snowflake held {operation} back for another transaction.", **where)
    for numbers, code, problem, action in _TENANTS_JOB:
        if number in numbers:
            return Permanent(code, f"{problem} for {operation}.", owner=Owner.TENANT, action=action, **where)
    if number in _REMOTE_FILE:
        return Transient("staged_file_missing", "A staged file is not in Snowflake's stage yet.", **where)
    if isinstance(error, errors.ProgrammingError | errors.IntegrityError | errors.DataError | errors.NotSupportedError):
        return Permanent(
            "statement_refused",
            f"Snowflake refuses the statement of {operation} with error {number}.",
            action="Look the error number up at Snowflake and correct the statement or the table.",
            **where,
        )
    kind = OutcomeUnknown if writes and not login else Transient
    return kind("vendor_unavailable", f"Snowflake did not answer {operation}.", **where)


_GRANT = "Grant the role what the integration's description lists, then start the load again."
_SETTINGS = "Check warehouse, database and role in the integration's settings, then start the load again."
_TENANTS_JOB = (
    (_PRIVILEGE, "missing_permission", "The Snowflake role lacks a privilege", _GRANT),
    (_NO_WAREHOUSE, "warehouse_missing", "The Snowflake session has no usable warehouse", _SETTINGS),
    (_MISSING, "object_missing", "Snowflake lacks an object that is needed", _SETTINGS),
)
