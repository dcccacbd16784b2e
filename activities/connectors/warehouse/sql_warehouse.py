"""What the connectors of SQL warehouses share: admission, threads, sessions that wait for the next step."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, Protocol, TypeVar

from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.loading import Loader
from activities.connectors.warehouse.model import TABLES
from activities.connectors.warehouse.steps import SqlSession
from activities.ports.connection import Connection
from activities.ports.manifest import Manifest
from activities.ports.warehouse import LayerFiles
from activities.transport.offload import offload_to
from contracts.errors import WedSyncError
from contracts.etl import EtlBatch, LayerLoaded, MartsLoaded, Optimized, TablesBuilt
from contracts.integration import ConnectionProbe, ProvisionResult

T = TypeVar("T")

_PROBE_CALLS = 4
_PROVISION_CALLS = 2 * len(TABLES) + 20
_LAYER_CALLS, _CALLS_PER_FILE = 20, 3
_MARTS_CALLS = 90
_ANALYTICS_CALLS = 20
_OPTIMIZE_CALLS = 40
_IDLE_S = 60.0
"""How long a session waits for the next step; a session policy may end idle ones after five minutes."""


class WarehouseSession(SqlSession, Protocol):
    """A session that can be handed from step to step."""

    def tag(self, query_tag: str) -> None:
        """Name the run that the next statements belong to, where the warehouse's query history shows it.

        Raises:
            WedSyncError: the session is gone.
        """
        ...

    def close(self) -> None:
        """End the session; one that cannot be ended expires at the warehouse."""
        ...


class SqlWarehouse(ABC):
    """A connector whose steps are SQL; a subclass gives manifest, dialect and sessions."""

    manifest: ClassVar[Manifest]
    dialect: ClassVar[Dialect]
    requests_per_statement: ClassVar[int] = 1
    """For which a step is admitted, times the statements it has at most."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._idle: deque[tuple[float, WarehouseSession]] = deque()

    @abstractmethod
    def _open(self, query_tag: str) -> WarehouseSession:
        """Open a session, in a thread.

        Raises:
            WedSyncError: the warehouse refuses the credential or does not answer.
        """

    async def probe(self) -> ConnectionProbe:
        """Log in, which an idle session would not prove, and select a constant."""
        started = time.perf_counter()
        await self._connection.admission.admit(_PROBE_CALLS * self.requests_per_statement)
        await offload_to(self.manifest.system, self._log_in)
        return ConnectionProbe(
            ok=True,
            latency_ms=(time.perf_counter() - started) * 1_000,
            account=self._connection.setting("account") or None,
            features=["merge", "copy_parquet", *(["transactions"] if self.dialect.transactional else [])],
        )

    async def provision(self) -> ProvisionResult:
        """Create schemas, tables, lock rows and unknown members where they are missing."""
        return await self._in_session(_PROVISION_CALLS, "provision", lambda loader, _: loader.provision())

    async def aclose(self) -> None:
        """End the idle sessions."""
        await offload_to(self.manifest.system, self._close_idle, 0.0)

    async def load_layer(self, batch: EtlBatch, files: LayerFiles) -> LayerLoaded:
        """Load the files into RAW or STAGING in one transaction; found again by digest."""
        most_calls = _LAYER_CALLS + _CALLS_PER_FILE * len(files.files)
        return await self._in_session(most_calls, _tag(batch), lambda loader, _: loader.load_layer(batch, files))

    async def load_marts(self, batch: EtlBatch) -> MartsLoaded:
        """Bring the batch into dimensions and facts in one transaction; a finished batch is not brought again."""
        return await self._in_session(_MARTS_CALLS, _tag(batch), lambda loader, _: loader.load_marts(batch))

    async def build_analytics(self, batch: EtlBatch) -> TablesBuilt:
        """Replace the ANALYTICS tables when the marts have changed since they were built."""
        return await self._in_session(_ANALYTICS_CALLS, _tag(batch), lambda loader, _: loader.build_analytics(batch))

    async def optimize(self, batch: EtlBatch) -> Optimized:
        """Arrange the marts for the usual queries, each table timed before and after."""
        return await self._in_session(_OPTIMIZE_CALLS, _tag(batch), lambda loader, _: loader.optimize())

    def _log_in(self) -> None:
        session = self._open("wedsync:probe")
        try:
            session.run("probe", "SELECT 1", writes=False)
        finally:
            session.close()

    async def _in_session(self, most_calls: int, tag: str, work: Callable[[Loader, WarehouseSession], T]) -> T:
        # The whole step at once: one that is refused in the middle would roll its transaction back.
        await self._connection.admission.admit(most_calls * self.requests_per_statement)

        def call() -> T:
            session = self._session(f"wedsync:{tag}")
            try:
                done = work(Loader(session, self.dialect, self.manifest.system), session)
            except BaseException:
                session.close()
                raise
            self._idle.append((time.monotonic(), session))
            self._close_idle(_IDLE_S)
            return done

        return await offload_to(self.manifest.system, call)

    def _session(self, tag: str) -> WarehouseSession:
        self._close_idle(_IDLE_S)
        with suppress(IndexError):
            _, session = self._idle.pop()
            try:
                session.tag(tag)
            except WedSyncError:
                session.close()
            else:
                return session
        return self._open(tag)

    def _close_idle(self, longer_than_s: float) -> None:
        with suppress(IndexError):
            while time.monotonic() - self._idle[0][0] >= longer_than_s:
                self._idle.popleft()[1].close()


def _tag(batch: EtlBatch) -> str:
    return f"{batch.organization_id}:{batch.etl_id}:{batch.run_id}"
