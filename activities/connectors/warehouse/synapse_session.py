"""One session at a dedicated SQL pool: how it is opened, what its errors mean, and transactions that end."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

import pytds
from pytds.connection import NonMarsConnection
from pytds.row_strategies import tuple_row_strategy
from pytds.tds_base import TDS_ODBC_ON, PreLoginEnc, _TdsLogin
from pytds.tds_socket import _TdsSocket

from activities.connectors.warehouse.answers import overdue
from activities.connectors.warehouse.dialect import name_of
from activities.connectors.warehouse.model import Table
from activities.connectors.warehouse.synapse_container import Container
from activities.connectors.warehouse.synapse_failures import classify, dirty_reads, without_tls
from activities.connectors.warehouse.synapse_sql import SynapseSql
from activities.connectors.warehouse.synapse_tls import NoTlsError, SecuredSocket
from activities.connectors.warehouse.transactions import committed
from activities.ports.connection import Connection
from activities.transport.outbound import Target, dial_blocking, is_among, parse, refused
from activities.transport.tls import tls_context, tls_error
from contracts.errors import Transient

ADDRESS = "https://{host}:1433"
HOSTS = ("*.sql.azuresynapse.net", "*.database.windows.net")
_SYSTEM = "synapse"
_CONNECT_TIMEOUT_S = 10.0
_LOGIN_TIMEOUT_S = 60.0
_ANSWER_TIMEOUT_S = 1_560.0
_MOST_ROUTES = 2
_FAILURES = (pytds.Error, OSError, struct.error)
"""What the driver raises; an answer that is cut short reaches its unpacking."""
_ISOLATION = "SELECT is_read_committed_snapshot_on FROM sys.databases WHERE name = DB_NAME()"


class Session:
    """A session, used by one activity at a time and closed by `close`.

    Args:
        connection: the pool, credential and settings.
        answer_timeout_s: how long the pool may be silent before it is told to end a statement.

    Raises:
        AuthExpired: the credential is refused.
        InvalidInput: the outbound policy does not allow the pool's address, or one that it leads to.
        Permanent: its certificate is not trusted, the pool is missing, or its readers see what is not committed.
        Transient: the pool does not answer.
    """

    def __init__(self, connection: Connection, answer_timeout_s: float = _ANSWER_TIMEOUT_S) -> None:
        self._connection, self._dialect = connection, SynapseSql()
        self._answer_timeout_s = answer_timeout_s
        self._container = Container(connection)
        with ExitStack() as undone:
            undone.callback(self._container.close)
            target = parse(connection.base_url or ADDRESS.format(host=connection.setting("host")), _SYSTEM)
            self._session: Any = self._opened(target)
            undone.callback(self.close)
            if not self.run("session.isolation", _ISOLATION, writes=False)[0][0]:
                raise dirty_reads()
            undone.pop_all()

    def tag(self, query_tag: str) -> None:
        """Prove that the session still answers; a pool names queries by a clause of each, which is left out.

        Raises:
            WedSyncError: the session is gone.
        """
        del query_tag
        self.run("session.tag", "SELECT 1", writes=False)

    def close(self) -> None:
        """Hang up; the pool ends a session whose connection is gone."""
        with suppress(*_FAILURES):
            self._session.close()
        self._container.close()

    def run(self, operation: str, sql: str, *, writes: bool = True) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows.

        Raises:
            WedSyncError: classified by the number of SQL Server's error.
        """
        try:
            with self._session.cursor() as cursor:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        except _FAILURES as error:
            raise classify(error, operation, writes=writes) from None

    def read(self, operation: str, sql: str, values: Sequence[object]) -> tuple[Any, list[Any]]:
        """Return the columns and rows of a SELECT whose values stand as `%s`.

        A pool has no limit for one statement: the driver sends an attention when the answer is overdue.

        Source: [MS-TDS], section 2.2.1.7 (attention); Microsoft Learn, sp_executesql.

        Raises:
            Permanent: `query_timeout`.
            WedSyncError: otherwise classified by the number of SQL Server's error.
        """
        try:
            with self._session.cursor() as cursor:
                cursor.execute(sql, tuple(values) or None)
                return cursor.description, list(cursor.fetchall())
        except TimeoutError:
            raise overdue(_SYSTEM, "Synapse", int(self._answer_timeout_s)) from None
        except _FAILURES as error:
            raise classify(error, operation, writes=False) from None

    def stage(self, operation: str, directory: str, files: Sequence[Path]) -> None:
        """Put the files into the tenant's container."""
        del operation
        self._container.put(directory, files)

    def append(self, operation: str, table: Table, _batch_id: str, directory: str, names: Sequence[str]) -> None:
        """Copy the staged Parquet files; the surrounding transaction counts the rows."""
        urls = self._container.urls(directory, names)
        self.run(operation, self._dialect.copy_into(table, urls, self._container.signature))

    def unstage(self, operation: str, directory: str, names: Sequence[str]) -> None:
        """Remove the staged files."""
        del operation
        self._container.remove(directory, names)

    def transaction(self, operation: str) -> AbstractContextManager[None]:
        """Return a context that commits what its block did, or rolls all of it back."""
        return committed(self, operation, "TRANSACTION")

    def _opened(self, target: Target) -> NonMarsConnection:
        """Log in, following the pool's own word where to; each place is dialled by us and under our TLS."""
        for _ in range(_MOST_ROUTES):
            transport = _transport(self._connection, target)
            try:
                driver: Any = _TdsSocket(
                    transport, self._login(target), row_strategy=tuple_row_strategy, autocommit=True
                )
                route = driver.login()
            except _FAILURES as error:
                transport.close()
                raise classify(error, "session.open", writes=False) from None
            if route is None:
                transport.settimeout(self._answer_timeout_s)
                return NonMarsConnection(pooling=False, key=None, tds_socket=driver)
            transport.close()
            target = _routed(target, route)
        raise refused("host_not_vendors", "it leads from one address to the next", _SYSTEM)

    def _login(self, target: Target) -> Any:
        """Return what the driver's own `connect` would make, which dials by itself and sleeps between attempts."""
        login: Any = _TdsLogin()
        login.library, login.app_name = "pytds", "wedsync"
        login.server_name = target.host
        login.user_name, login.password = self._connection.secret("user"), self._connection.secret("password")
        login.database = name_of(self._connection.setting("database"))
        login.enc_flag = PreLoginEnc.ENCRYPT_NOT_SUP
        login.option_flag2, login.bytes_to_unicode = TDS_ODBC_ON, True
        login.query_timeout = self._answer_timeout_s
        return login


def _transport(connection: Connection, target: Target) -> Any:
    operation = "session.open"
    try:
        plain = dial_blocking(target.host, target.port, connection.outbound, _CONNECT_TIMEOUT_S)
        with ExitStack() as undone:
            undone.enter_context(plain)
            plain.settimeout(_LOGIN_TIMEOUT_S)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            secured = target.scheme == "https"
            transport = SecuredSocket(plain, tls_context(connection), target.host) if secured else plain
            undone.pop_all()
            return transport
    except NoTlsError:
        raise without_tls(operation) from None
    except (OSError, struct.error) as error:
        raise tls_error(_SYSTEM, operation, error) or Transient(
            "vendor_unreachable", "Synapse cannot be reached; nothing was sent.", system=_SYSTEM, operation=operation
        ) from None


def _routed(target: Target, route: Any) -> Target:
    host, port = str(route["server"]).lower(), int(route["port"])
    if target.scheme == "https" and not is_among(host, HOSTS):
        raise refused("host_not_vendors", "it leads to a host that is not the vendor's", _SYSTEM)
    return parse(f"{target.scheme}://{host}:{port}", _SYSTEM)
