"""The one factory of Temporal clients."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cache

from temporalio.client import Client, TLSConfig
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import KeepAliveConfig, RPCError

from activities.storage.root_keys import StoredRootKeys
from activities.storage.staging import object_store
from contracts.errors import Owner, Transient
from workers.codec import SealingCodec
from workers.converter import ContractPayloadConverter
from workers.large_payloads import large_payloads
from workers.settings import Settings


def data_converter(settings: Settings) -> DataConverter:
    """Return the converter every client, worker and replayer shares: pydantic, sealed, the large ones kept apart."""
    return DataConverter(
        payload_converter_class=ContractPayloadConverter,
        payload_codec=SealingCodec(
            keys=StoredRootKeys(settings.database_url, settings.load_master_keys()),
            namespace=settings.temporal_namespace,
            allow_plain=bool(settings.allow_plain_inputs),
        ),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
        external_storage=large_payloads(object_store(settings.staging_url)),
    )


async def connect(settings: Settings) -> Client:
    """Return a client of the configured Temporal service.

    Raises:
        Transient: the service does not answer.
    """
    try:
        return await Client.connect(
            settings.temporal_address,
            namespace=settings.temporal_namespace,
            data_converter=data_converter(settings),
            tls=_tls(settings),
            api_key=settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None,
            keep_alive_config=KeepAliveConfig(interval_millis=int(timedelta(seconds=15).total_seconds() * 1000)),
            runtime=core_runtime(settings.metrics_address),
        )
    except (RuntimeError, RPCError) as error:
        raise Transient(
            "temporal_unreachable",
            f"Temporal does not answer at {settings.temporal_address}.",
            owner=Owner.OPERATOR,
            action="Start it with `wedsync up`, or set WEDSYNC_TEMPORAL_ADDRESS to a running service.",
        ) from error


@cache
def core_runtime(metrics_address: str = "") -> Runtime:
    """Return the SDK's core for this process; it logs through Python: standard output is for a command's result."""
    metrics = None
    if metrics_address:
        metrics = PrometheusConfig(
            bind_address=metrics_address,
            durations_as_seconds=True,
            counters_total_suffix=True,
            unit_suffix=True,
        )
    logs = LoggingConfig(
        filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(logging.getLogger("temporalio.core")),
    )
    return Runtime(telemetry=TelemetryConfig(logging=logs, metrics=metrics))


def _tls(settings: Settings) -> TLSConfig | bool:
    if settings.temporal_tls_client_cert and settings.temporal_tls_client_key:
        return TLSConfig(
            client_cert=settings.temporal_tls_client_cert.read_bytes(),
            client_private_key=settings.temporal_tls_client_key.read_bytes(),
        )
    return settings.temporal_tls or settings.temporal_api_key is not None
