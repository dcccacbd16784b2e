"""One look at an integration: does the vendor answer, and what do the figures say."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from activities import usage
from activities.access import Access
from activities.admission import ITS_TURN
from activities.headroom import MOMENT_S
from activities.ports.headroom import Headroom, UnknownHeadroom
from activities.storage.connections import ConnectionStore, StoredConnection
from activities.storage.health import HealthStore
from activities.storage.sync_runs import SyncRuns
from activities.transform import health as figures
from activities.transform.hysteresis import Standing, newly_watched
from contracts.errors import Owner, RateLimited, Transient, WedSyncError
from contracts.health import HealthMetric, HealthRules, HealthWord, IntegrationKey
from contracts.integration import IntegrationState

log = logging.getLogger("wedsync.health")

_SLOTS = 6
_SLOT_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """What a look came to; `asked` is False where the integration takes no work and the vendor was left alone."""

    stored: StoredConnection
    standing: Standing
    asked: bool
    metrics: Sequence[HealthMetric] = ()
    latency_ms: float | None = None
    took_ms: float = 0.0
    run_is_missing: bool = False

    @property
    def word(self) -> HealthWord:
        """The worst metric's."""
        return figures.overall(self.metrics)


class Examiner:
    """Looks at many integrations at once; a vendor that hangs holds up nobody else's look.

    A look keeps its platform's slot for the second in which it costs anything: one that merely waits gives it on, so
    that hundreds of hanging calls are waited for together, each no longer than `rules.give_up_s`.

    Args:
        access: opens connectors.
        connections: the integrations.
        store: what is remembered of them.
        runs: their syncs.
        rules: the thresholds.
        headroom: what the vendor's limits have left.
    """

    def __init__(
        self,
        access: Access,
        connections: ConnectionStore,
        store: HealthStore,
        runs: SyncRuns,
        rules: HealthRules,
        headroom: Headroom | None = None,
    ) -> None:
        self._access = access
        self._connections = connections
        self._store = store
        self._runs = runs
        self._rules = rules
        self._headroom = headroom or UnknownHeadroom()
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_SLOTS))

    async def examine(self, keys: Sequence[IntegrationKey], now: datetime) -> AsyncIterator[Outcome]:
        """Yield an outcome per integration that is there, as they come in."""
        found = await self._connections.several(keys)
        standings = await self._store.standings(keys)
        runs = await self._runs.recent(keys, now)
        looks = []
        for stored in found:
            place = (stored.key.organization_id, stored.key.integration_id)
            standing = standings.get(place) or newly_watched(now)
            known = figures.Figures(
                watched_since=standing.watched_since,
                runs=runs.get(place, figures.Runs()),
                latencies_ms=standing.latencies_ms,
                expires_at=stored.credential_expires_at,
            )
            looks.append(asyncio.create_task(self._look(stored, standing, known, now)))
        try:
            for look in asyncio.as_completed(looks):
                yield await look
        finally:
            for task in looks:
                task.cancel()

    async def _look(
        self, stored: StoredConnection, standing: Standing, known: figures.Figures, now: datetime
    ) -> Outcome:
        if stored.state.refuses_work or stored.state is IntegrationState.CONNECTING:
            return Outcome(stored, standing, asked=False)
        answer, latency_ms, took_ms = await self._ask(stored)
        free = await self._headroom.free(stored.key)
        known = figures.Figures(known.watched_since, known.runs, known.latencies_ms, free, known.expires_at)
        beside = figures.beside_the_answer(stored, known, latency_ms, now, self._rules)
        return Outcome(
            stored,
            standing,
            asked=True,
            metrics=[answer, *beside],
            latency_ms=latency_ms,
            took_ms=took_ms,
            run_is_missing=figures.run_is_missing(stored, known, now, self._rules),
        )

    async def _ask(self, stored: StoredConnection) -> tuple[HealthMetric, float | None, float]:
        """Return the vendor's answer, its latency where it came, and how long the look took, in milliseconds."""
        async with self._slots[stored.configuration.platform]:
            began = time.monotonic()
            call = asyncio.create_task(self._probe(stored))
            try:
                await asyncio.wait({call}, timeout=_SLOT_S)
            except asyncio.CancelledError:
                call.cancel()
                raise
        try:
            latency_ms = await call
        except WedSyncError as error:
            usage.met(stored, error)
            return self._refusal(error), None, _since(began)
        return figures.connection(latency_ms, self._rules), latency_ms, _since(began)

    def _refusal(self, error: WedSyncError) -> HealthMetric:
        if isinstance(error, RateLimited):
            # It answers, and its limit is used up by work that matters more than a look.
            soon = error.detail.code in ITS_TURN and (error.detail.retry_after_s or 0.0) <= MOMENT_S
            return HealthMetric(
                metric="headroom",
                status=HealthWord.HEALTHY if soon else HealthWord.DEGRADED,
                value=0,
                threshold=self._rules.least_headroom,
                message=error.detail.sentence(),
                error=error.detail,
            )
        return figures.failed_connection(error.detail, self._rules)

    async def _probe(self, stored: StoredConnection) -> float:
        try:
            async with asyncio.timeout(self._rules.give_up_s), self._access.briefly(stored) as connector:
                started = time.monotonic()
                await connector.probe()
                return _since(started)
        except TimeoutError:
            raise Transient(
                "no_answer",
                f"{stored.configuration.platform} gave no answer within {self._rules.give_up_s:.0f} s.",
                system=stored.configuration.platform,
                operation="probe",
            ) from None
        except WedSyncError:
            raise
        except Exception as error:  # one integration's surprise is a finding about it, never the end of the round
            log.exception("unclassified error in a health check")
            raise Transient(
                "unclassified",
                f"An unforeseen {type(error).__name__} stopped the check.",
                owner=Owner.ENGINEER,
                action="Look in the worker's log for the stack trace and classify the error.",
            ) from None


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1_000
