"""How far an activity that reads a source is, for an attempt that takes over."""

from __future__ import annotations

from temporalio import activity

from contracts.etl import FetchProgress


def resume() -> FetchProgress:
    """Return how far an earlier attempt of the running activity came."""
    details = activity.info().heartbeat_details
    return FetchProgress.model_validate(details[0]) if details else FetchProgress()
