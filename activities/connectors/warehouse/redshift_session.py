"""One Redshift session: how it is opened, what its errors mean, and transactions that end."""

from __future__ import annotations

import socket
import struct
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

import redshift_connector
from redshift_connector import error as errors

from activities.connectors.warehouse.answers import overdue
from activities.connectors.warehouse.dialect import name_of, word
from activities.connectors.warehouse.model import Table
from activities.connectors.warehouse.redshift_bucket import Bucket
from activities.connectors.warehouse.redshift_sql import RedshiftSql
from activities.connectors.warehouse.transactions import committed
from activities.ports.connection import Connection
from activities.transport.outbound import Target, dial_blocking, parse
from activities.transport.relay import Relay
from activities.transport.tls import tls_context, tls_error
from contracts.errors import AuthExpired, OutcomeUnknown, Owner, Permanent, Transient, WedSyncError

ADDRESS = "https://{host}:5439"
_SYSTEM = "redshift"
_WORK = "WEDSYNC_LOAD"
_CONNECT_TIMEOUT_S = 10.0
_STATEMENT_TIMEOUT_MS = 1_500_000
_ANSWER_TIMEOUT_S = 1_560
_SSL_REQUEST = struct.pack("!ii", 8, 80_877_103)
_TLS_FOLLOWS = b"S"
_FAILURES = (errors.Error, OSError, struct.error)
"""What the driver raises; a message that is cut short reaches its unpacking."""
_SERIALIZATION = "1023"
"""What Redshift sends as the whole message of a serialisable isolation violation, whose SQLSTATE is its general one."""
_CANCELLED = "57014"
_LOCKED_OR_CANCELLED = frozenset({"40001", "40P01", "55P03", _CANCELLED})
_FULL = frozenset({"53100", "53200"})
_MISSING = frozenset({"3D000", "3F000", "42P01"})
_GENERAL = "XX000"
_REFUSED_CLASSES = ("0A", "21", "22", "23", "25", "42")


class Session:
    """A session, used by one activity at a time and closed by `close`.

    Args:
        connection: the cluster, credential and settings.
        tag: Redshift's query group, to find what a run did.

    Raises:
        AuthExpired: the credential is refused.
        InvalidInput: the outbound policy does not allow the cluster's address.
        Permanent: its certificate is not trusted, or the database is missing.
        Transient: the cluster does not answer.
    """

    def __init__(self, connection: Connection, tag: str) -> None:
        target = parse(connection.base_url or ADDRESS.format(host=connection.setting("host")), _SYSTEM)
        self._bucket = Bucket(connection)
        self._relay: Relay | None = None
        place: dict[str, Any] = {"host": target.host, "port": target.port}
        if target.scheme == "https":
            self._relay = Relay(_secured(connection, target))
            place["unix_sock"] = self._relay.path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._connection: Any = redshift_connector.connect(
                    **place,
                    user=connection.secret("user"),
                    password=connection.secret("password"),
                    database=name_of(connection.setting("database")).lower(),
                    ssl=False,
                    timeout=_ANSWER_TIMEOUT_S,
                    application_name="wedsync",
                )
        except _FAILURES as error:
            self._bucket.close()
            self._close_relay()
            raise classify(error, "session.open", writes=False) from None
        # Transactions are begun and ended by `transaction`, not by the driver before each statement.
        self._connection.autocommit = True
        self.run("session.limit", f"SET statement_timeout TO {_STATEMENT_TIMEOUT_MS}", writes=False)
        self.tag(tag)

    def tag(self, tag: str) -> None:
        """Put the queries from here on into another group.

        Raises:
            WedSyncError: the session is gone.
        """
        self.run("session.tag", f"SET query_group TO '{word(tag)}'", writes=False)

    def close(self) -> None:
        """Log out; the cluster ends a session whose connection is gone."""
        with suppress(*_FAILURES):
            self._connection.close()
        self._bucket.close()
        self._close_relay()

    def _close_relay(self) -> None:
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    def run(self, operation: str, sql: str, *, writes: bool = True) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows.

        Raises:
            WedSyncError: classified by the driver's error class and the SQLSTATE.
        """
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        except _FAILURES as error:
            raise classify(error, operation, writes=writes) from None

    def read(self, operation: str, sql: str, values: Sequence[object], timeout_s: int) -> tuple[Any, list[Any]]:
        """Return the columns and rows of a SELECT whose values stand as `?`; its transaction ends with the session.

        Source: Amazon Redshift Database Developer Guide, BEGIN (READ ONLY) and statement_timeout.

        Raises:
            Permanent: `query_timeout`, the cluster has ended it.
            WedSyncError: otherwise classified by the driver's error class and the SQLSTATE.
        """
        self.run(operation, f"SET statement_timeout TO {1_000 * timeout_s}", writes=False)
        self.run(operation, "BEGIN READ ONLY", writes=False)
        try:
            with self._connection.cursor() as cursor:
                cursor.paramstyle = "qmark"
                cursor.execute(sql, tuple(values))
                return cursor.description, list(cursor.fetchall())
        except _FAILURES as error:
            if _state(error) == _CANCELLED:
                raise overdue(_SYSTEM, "Redshift", timeout_s) from None
            raise classify(error, operation, writes=False) from None

    def stage(self, operation: str, directory: str, files: Sequence[Path]) -> None:
        """Put the files and a manifest of exactly them into the tenant's bucket."""
        del operation
        self._bucket.put(directory, files)

    def append(self, operation: str, table: Table, _batch_id: str, directory: str, names: Sequence[str]) -> None:
        """Copy the staged Parquet files, whose columns a COPY takes by position.

        A table that has been extended has its columns in another order than the files: these are copied into one of
        their own first, whose rows the statement then appends by name.
        """
        if self._columns(operation, table) == table.names:
            self.run(operation, self._bucket.copy_into(table.name, directory, names))
            return
        columns = ", ".join(f"{column.name} {RedshiftSql().type_of(column)}" for column in table.columns)
        self.run(operation, f"DROP TABLE IF EXISTS {_WORK}")
        self.run(operation, f"CREATE TEMP TABLE {_WORK} ({columns})")
        self.run(operation, self._bucket.copy_into(_WORK, directory, names))
        self.run(operation, RedshiftSql().insert(table, f"SELECT {', '.join(table.names)} FROM {_WORK}"))

    def _columns(self, operation: str, table: Table) -> tuple[str, ...]:
        """Return the names of the table's columns in their order."""
        schema, _, name = table.name.partition(".")
        found = self.run(
            operation,
            "SELECT COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS "
            f"WHERE UPPER(TABLE_SCHEMA) = '{schema}' AND UPPER(TABLE_NAME) = '{name}' ORDER BY ORDINAL_POSITION",
            writes=False,
        )
        return tuple(str(column).upper() for (column,) in found)

    def unstage(self, operation: str, directory: str, names: Sequence[str]) -> None:
        """Remove the staged files and their manifest."""
        del operation
        self._bucket.remove(directory, names)

    def transaction(self, operation: str) -> AbstractContextManager[None]:
        """Return a context that commits what its block did, or rolls all of it back."""
        return committed(self, operation)


def _secured(connection: Connection, target: Target) -> socket.socket:
    """Return a connection to the cluster under our own TLS, which PostgreSQL's protocol begins in the clear."""
    operation = "session.open"
    try:
        plain = dial_blocking(target.host, target.port, connection.outbound, _CONNECT_TIMEOUT_S)
        with ExitStack() as undone:
            undone.enter_context(plain)
            plain.settimeout(_CONNECT_TIMEOUT_S)
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != _TLS_FOLLOWS:
                raise _without_tls(operation)
            secured = tls_context(connection).wrap_socket(plain, server_hostname=target.host)
            undone.pop_all()
            return secured
    except OSError as error:
        raise tls_error(_SYSTEM, operation, error) or Transient(
            "vendor_unreachable", "Redshift cannot be reached; nothing was sent.", system=_SYSTEM, operation=operation
        ) from None


def _without_tls(operation: str) -> Permanent:
    return Permanent(
        "tls_error",
        "The Redshift cluster offers no TLS; nothing was sent.",
        owner=Owner.TENANT,
        action="Turn TLS on at the cluster, then test the connection again.",
        system=_SYSTEM,
        operation=operation,
        evidence={"reason": "not_tls"},
    )


def classify(error: BaseException, operation: str, *, writes: bool) -> WedSyncError:
    """Return the error of ours for one of the driver, decided by SQLSTATE.

    Source: PostgreSQL documentation, "PostgreSQL Error Codes", which Redshift's follow; that 1023 is the whole message
    of an isolation violation: Amazon Redshift Database Developer Guide, "Serializable isolation".
    """
    where: dict[str, Any] = {"system": _SYSTEM, "operation": operation}
    fields, state = _fields(error), _state(error)
    if state.startswith("28"):
        return AuthExpired(
            "credential_refused",
            "Redshift refuses the stored credential.",
            action="Connect the integration again with a valid credential.",
            **where,
        )
    if state in _LOCKED_OR_CANCELLED or (state == _GENERAL and fields.get("M") == _SERIALIZATION):
        return Transient("warehouse_busy", f"Redshift held {operation} back for another transaction.", **where)
    for states, code, problem, action in _TENANTS_JOB:
        if state in states:
            return Permanent(code, f"{problem} for {operation}.", owner=Owner.TENANT, action=action, **where)
    if state.startswith(_REFUSED_CLASSES):
        return Permanent(
            "statement_refused",
            f"Redshift refuses the statement of {operation} with SQLSTATE {state}.",
            action="Look the SQLSTATE up at Redshift and correct the statement or the table.",
            **where,
        )
    kind = OutcomeUnknown if writes and not state else Transient
    return kind("vendor_unavailable", f"Redshift did not answer {operation}.", **where)


def _fields(error: BaseException) -> dict[str, Any]:
    return error.args[0] if error.args and isinstance(error.args[0], dict) else {}


def _state(error: BaseException) -> str:
    return str(_fields(error).get("C", ""))


_GRANT = "Grant the user what the integration's description lists, then start the load again."
_SETTINGS = "Check the database in the integration's settings, then start the load again."
_ROOM = "Free space or resize the cluster, then start the load again."
_TENANTS_JOB = (
    (frozenset({"42501"}), "missing_permission", "The Redshift user lacks a privilege", _GRANT),
    (_MISSING, "object_missing", "Redshift lacks an object that is needed", _SETTINGS),
    (_FULL, "storage_full", "Redshift has no room left", _ROOM),
)
