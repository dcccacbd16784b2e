"""Our own measurements: what is counted, and that no label names a tenant."""

from __future__ import annotations

import pytest
from opentelemetry import metrics as api
from opentelemetry.metrics import _internal
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from activities import metrics
from workers.settings import Settings
from workers.telemetry import meter_provider, telemetry


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    """What the instruments of this test measured."""
    found = InMemoryMetricReader()
    meter = meter_provider([found]).get_meter("wedsync")
    monkeypatch.setattr(metrics, "_checks", meter.create_counter("wedsync.health.checks"))
    monkeypatch.setattr(metrics, "_latency", meter.create_histogram("wedsync.health.check.duration", unit="s"))
    monkeypatch.setattr(metrics, "_alerts", meter.create_counter("wedsync.alerts"))
    monkeypatch.setattr(metrics, "_syncs", meter.create_counter("wedsync.syncs"))
    return found


def points(reader: InMemoryMetricReader) -> dict[str, list[tuple[dict[str, object], object]]]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: [(dict(point.attributes or {}), point) for point in metric.data.data_points]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_checks_alerts_and_syncs_are_counted_by_bounded_words(reader: InMemoryMetricReader):
    metrics.health_check("slack", "healthy", 0.2)
    metrics.alert("integration_unhealthy", "error")
    metrics.sync("success")
    found = points(reader)
    assert {name: sorted(one[0][0]) for name, one in found.items()} == {
        "wedsync.health.checks": ["platform", "word"],
        "wedsync.health.check.duration": ["platform"],
        "wedsync.alerts": ["kind", "severity"],
        "wedsync.syncs": ["outcome"],
    }


def test_durations_are_told_apart_below_and_above_two_seconds(reader: InMemoryMetricReader):
    for took_s in (1.9, 2.1):
        metrics.health_check("slack", "healthy", took_s)
    [(_, point)] = points(reader)["wedsync.health.check.duration"]
    assert [count for count in point.bucket_counts if count] == [1, 1]  # type: ignore[attr-defined]


def test_without_a_collector_nothing_is_set_up():
    with telemetry(Settings()):
        assert isinstance(api.get_meter_provider(), _internal._ProxyMeterProvider)
