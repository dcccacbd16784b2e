"""What the figures of a check mean."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from activities.storage.connections import StoredConnection
from contracts.errors import ErrorDetail
from contracts.health import HealthMetric, HealthRules, HealthWord

WORST_FIRST = (HealthWord.UNHEALTHY, HealthWord.DEGRADED, HealthWord.HEALTHY)
LATENCIES_KEPT = 12
_LEAST_LATENCIES = 5
_HALF = 0.5


@dataclass(frozen=True)
class Runs:
    """An integration's recent syncs: how many, how many of them failed, and when the last one ended, however."""

    total: int = 0
    failed: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True)
class Figures:
    """What a check is judged by, beside the vendor's answer.

    `headroom` is the share of the vendor's limit that is free; None is unknown, as for `expires_at`.
    """

    watched_since: datetime
    runs: Runs = Runs()
    latencies_ms: Sequence[float] = ()
    headroom: float | None = None
    expires_at: datetime | None = None


def overall(metrics: Sequence[HealthMetric]) -> HealthWord:
    """Return the worst word."""
    return next(
        word for word in WORST_FIRST if word is HealthWord.HEALTHY or any(one.status is word for one in metrics)
    )


def failed_connection(detail: ErrorDetail, rules: HealthRules) -> HealthMetric:
    """Return the metric of a vendor that did not let itself be asked."""
    return HealthMetric(
        metric="connection",
        status=HealthWord.UNHEALTHY,
        value=0,
        threshold=rules.slow_ms,
        message=detail.sentence(),
        error=detail,
    )


def connection(latency_ms: float, rules: HealthRules) -> HealthMetric:
    """Return the metric of a vendor that answered."""
    return HealthMetric(
        metric="connection",
        status=HealthWord.HEALTHY if latency_ms < rules.slow_ms else HealthWord.DEGRADED,
        value=latency_ms,
        threshold=rules.slow_ms,
        message=f"The connection answered in {latency_ms:.0f} ms.",
    )


def beside_the_answer(
    stored: StoredConnection, figures: Figures, latency_ms: float | None, now: datetime, rules: HealthRules
) -> list[HealthMetric]:
    """Return every other metric that can be told.

    Args:
        stored: the integration.
        figures: what is known about it.
        latency_ms: of this check, None when the vendor did not answer.
        now: aware UTC.
        rules: the thresholds.
    """
    found = [
        freshness(stored, figures.watched_since, now, rules),
        performance(latency_ms, figures.latencies_ms, rules),
        error_rate(figures.runs, rules),
        credential(figures.expires_at, now),
        headroom(figures.headroom, rules),
        tls(stored),
    ]
    return [metric for metric in found if metric is not None]


def freshness(
    stored: StoredConnection, watched_since: datetime, now: datetime, rules: HealthRules
) -> HealthMetric | None:
    """Return how fresh the syncs are, None when there is no interval to be late against."""
    schedule = stored.configuration.sync_schedule
    interval = schedule.expected_interval() if schedule else None
    if interval is None:
        return None
    age = now - max(stored.last_sync_at or watched_since, watched_since)
    threshold = interval * rules.overdue_factor
    minutes = int(age / timedelta(minutes=1))
    words = f"Last sync {minutes} minutes ago." if stored.last_sync_at else f"No sync yet in {minutes} minutes."
    return HealthMetric(
        metric="sync",
        status=HealthWord.UNHEALTHY if age > threshold else HealthWord.HEALTHY,
        value=age / timedelta(milliseconds=1),
        threshold=threshold / timedelta(milliseconds=1),
        message=words,
        last_sync_status=stored.last_sync_status,
    )


def run_is_missing(stored: StoredConnection, figures: Figures, now: datetime, rules: HealthRules) -> bool:
    """Return whether no sync has run at all, well or badly, since one was due."""
    schedule = stored.configuration.sync_schedule
    interval = schedule.expected_interval() if schedule else None
    if interval is None:
        return False
    seen = [figures.watched_since, *(one for one in (stored.last_sync_at, figures.runs.last_at) if one)]
    return now - max(seen) > interval * rules.overdue_factor


def performance(latency_ms: float | None, before: Sequence[float], rules: HealthRules) -> HealthMetric | None:
    """Return the latency against its own recent median, None without one."""
    if latency_ms is None or len(before) < _LEAST_LATENCIES:
        return None
    usual = statistics.median(before)
    threshold = max(usual * rules.slower_factor, rules.slower_floor_ms)
    return HealthMetric(
        metric="performance",
        status=HealthWord.DEGRADED if latency_ms > threshold else HealthWord.HEALTHY,
        value=latency_ms,
        threshold=threshold,
        message=f"It usually answers in {usual:.0f} ms.",
    )


def error_rate(runs: Runs, rules: HealthRules) -> HealthMetric | None:
    """Return the share of recent syncs that failed, None where they are too few."""
    if runs.total < rules.least_runs:
        return None
    share = runs.failed / runs.total
    word = HealthWord.DEGRADED if share >= rules.failing_share else HealthWord.HEALTHY
    return HealthMetric(
        metric="error_rate",
        status=HealthWord.UNHEALTHY if share >= max(_HALF, rules.failing_share) else word,
        value=share,
        threshold=rules.failing_share,
        message=f"{runs.failed} of the last day's {runs.total} syncs failed.",
    )


def credential(expires_at: datetime | None, now: datetime) -> HealthMetric | None:
    """Return how long the credential lasts, None where that is unknown; past its end its renewal is overdue."""
    if expires_at is None:
        return None
    left = expires_at - now
    gone = left <= timedelta(0)
    return HealthMetric(
        metric="credential",
        status=HealthWord.DEGRADED if gone else HealthWord.HEALTHY,
        value=left.total_seconds(),
        threshold=0,
        message="The credential has expired and was not renewed."
        if gone
        else f"The credential lasts until {expires_at:%Y-%m-%d %H:%M} UTC.",
    )


def headroom(free: float | None, rules: HealthRules) -> HealthMetric | None:
    """Return the free share of the vendor's limit, None where that is unknown."""
    if free is None:
        return None
    return HealthMetric(
        metric="headroom",
        status=HealthWord.DEGRADED if free < rules.least_headroom else HealthWord.HEALTHY,
        value=free,
        threshold=rules.least_headroom,
        message=f"{free:.0%} of the vendor's limit is free.",
    )


def tls(stored: StoredConnection) -> HealthMetric | None:
    """Return that the connection may use TLS 1.2, None where it may not."""
    lowest = stored.configuration.security_config.min_tls_version
    if lowest == "1.3":
        return None
    return HealthMetric(
        metric="tls",
        status=HealthWord.HEALTHY,
        value=float(lowest),
        threshold=1.3,
        message=f"An exception allows TLS {lowest} on this connection.",
    )
