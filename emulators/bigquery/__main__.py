"""The stand-in's process: `python -m emulators.bigquery`, in the environment `.venv-bigquery`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb_extensions
import structlog

# Its modules log as they are imported, and the first line belongs to whoever started this process.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
# ruff: noqa: E402
from bqemulator.api.app import create_app
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.server import EmulatorServer
from bqemulator.storage.engine import DuckDBEngine
from starlette.routing import Mount

from emulators.bigquery.control import control_routes
from emulators.bigquery.edge import Edge, render_error
from emulators.bigquery.limits import Limits
from emulators.control import Control, EmulatorApp
from emulators.core import Emulator, State
from emulators.faults import FaultMiddleware
from emulators.warehouses.process import Ports, run

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_DESCRIPTION = "A stand-in of Google BigQuery: bqemulator, with job ids that are taken once."


@asynccontextmanager
async def _started(directory: Path, host: str, _ports: Ports) -> AsyncIterator[tuple[ASGIApp, dict[str, Any]]]:
    # From the wheel, and the other not at all: the engine would fetch both from the network.
    duckdb_extensions.import_extension("spatial")
    DuckDBEngine._load_format_extensions = lambda _: None  # noqa: SLF001
    settings = Settings(
        rest_host=host,
        rest_port=0,
        grpc_host=host,
        grpc_port=0,
        persistence_mode=PersistenceMode.PERSISTENT,
        data_dir=directory / "bigquery",
        # A copy of a table before each change, which nobody here asks for.
        time_travel_retention_days=0,
        log_level=LogLevel.CRITICAL,
    )
    engine = EmulatorServer(settings)
    await engine.start()
    context = engine._context  # noqa: SLF001 - the composition root keeps it to itself
    vendor = create_app(context)
    state = State(directory / "emulator.db")
    emulator = Emulator("bigquery", state, routes=lambda _: [], seed=lambda _: None, render_error=render_error)
    limits = Limits()
    edge = Edge(vendor, context, emulator, limits)
    try:
        # The vendor stays at the root: bqemulator tells clients where to upload, and knows no prefix.
        routes = [
            *control_routes(emulator, context, vendor, limits),
            *Control([emulator], {}).routes(),
            Mount("/", app=FaultMiddleware(edge, emulator)),
        ]
        yield EmulatorApp(routes=routes), {}
    finally:
        await engine.stop()
        state.close()


if __name__ == "__main__":
    run("bigquery", _DESCRIPTION, (), _started)
