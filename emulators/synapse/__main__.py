"""The stand-in's process: `python -m emulators.synapse`, in the environment `.venv-warehouses`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulators.core import Emulator, State, build_app
from emulators.synapse.blobs import blob_routes
from emulators.synapse.control import control_routes
from emulators.synapse.engine import ACCOUNT, Engine
from emulators.synapse.session import serving
from emulators.warehouses.process import Ports, listening, run

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_DESCRIPTION = "A stand-in of a Synapse dedicated SQL pool: a TDS server over DuckDB, with a blob store beside it."


@asynccontextmanager
async def _started(directory: Path, host: str, ports: Ports) -> AsyncIterator[tuple[ASGIApp, dict[str, Any]]]:
    engine = Engine(directory)
    state = State(directory / "emulator.db")
    try:
        emulator = Emulator("synapse", state, routes=lambda _: [], seed=lambda _: None)
        emulator.control_routes = [*control_routes(emulator, engine), *blob_routes(engine.blobs)]
        async with listening(serving(emulator, engine), host, ports["sql"]) as sql:
            yield build_app([emulator]), {"sql": f"{host}:{sql}", "account": ACCOUNT}
    finally:
        engine.close()
        state.close()


if __name__ == "__main__":
    run("synapse", _DESCRIPTION, ("sql",), _started)
