"""Where our own measurements go: to an OpenTelemetry collector, when one is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from workers.settings import Settings

_EXPORT_EVERY_MS = 30_000
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_SERVICE = "wedsync-worker"


@contextmanager
def telemetry(settings: Settings) -> Iterator[None]:
    """Send measurements to `settings.otlp_endpoint` while the block runs, and what is left of them at its end.

    The SDK core's Prometheus endpoint is another matter and stays as it is; see `workers.temporal.core_runtime`.
    """
    if not settings.otlp_endpoint:
        yield
        return
    exporter = OTLPMetricExporter(endpoint=settings.otlp_endpoint)
    provider = meter_provider([PeriodicExportingMetricReader(exporter, export_interval_millis=_EXPORT_EVERY_MS)])
    metrics.set_meter_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def meter_provider(readers: Sequence[MetricReader]) -> MeterProvider:
    """Return a provider with our histograms' buckets; the resource names the service and nothing of the machine."""
    durations = View(instrument_name="wedsync.*.duration", aggregation=ExplicitBucketHistogramAggregation(_SECONDS))
    resource = Resource({"service.name": _SERVICE})
    return MeterProvider(metric_readers=readers, resource=resource, views=[durations])
