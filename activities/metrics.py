"""Our own measurements: to OpenTelemetry, and beside the core's on its Prometheus endpoint.

No label names an organisation or an integration: their number has no bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from opentelemetry import metrics
from temporalio import activity

_meter = metrics.get_meter("wedsync")
_checks = _meter.create_counter(
    "wedsync.health.checks", unit="{check}", description="Health checks by word and platform"
)
_latency = _meter.create_histogram("wedsync.health.check.duration", unit="s", description="Duration of health checks")
_alerts = _meter.create_counter("wedsync.alerts", unit="{alert}", description="Alerts by kind and severity")
_syncs = _meter.create_counter("wedsync.syncs", unit="{sync}", description="Syncs by outcome")


def health_check(platform: str, word: str, took_s: float) -> None:
    """Count a check and how long it took."""
    labels = {"platform": platform, "word": word}
    _checks.add(1, labels)
    _latency.record(took_s, {"platform": platform})
    _core_count("wedsync_health_checks", labels)
    if activity.in_activity():
        meter = activity.metric_meter().with_additional_attributes({"platform": platform})
        meter.create_histogram_timedelta("wedsync_health_check_duration").record(timedelta(seconds=took_s))


def alert(kind: str, severity: str) -> None:
    """Count an alert that was sent on its way."""
    labels = {"kind": kind, "severity": severity}
    _alerts.add(1, labels)
    _core_count("wedsync_alerts", labels)


def sync(outcome: str) -> None:
    """Count a sync that ended."""
    _syncs.add(1, {"outcome": outcome})
    _core_count("wedsync_syncs", {"outcome": outcome})


def _core_count(name: str, labels: Mapping[str, str]) -> None:
    if activity.in_activity():
        activity.metric_meter().with_additional_attributes(dict(labels)).create_counter(name).add(1)
