"""The stand-in's process: `python -m emulators.redshift`, in the environment `.venv-warehouses`."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.server import ThreadedMotoServer

from emulators.core import Emulator, State, build_app
from emulators.redshift import copying, system
from emulators.redshift.backend import Backend
from emulators.redshift.control import control_routes
from emulators.redshift.gate import gate
from emulators.redshift.postgres import Postgres
from emulators.warehouses.process import Ports, listening, run

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_DESCRIPTION = "A stand-in of Amazon Redshift: a real PostgreSQL behind a gate, with an S3 beside it."


@asynccontextmanager
async def _started(directory: Path, host: str, ports: Ports) -> AsyncIterator[tuple[ASGIApp, dict[str, Any]]]:
    postgres = Postgres(directory)
    if await postgres.start():
        await _prepare(postgres)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = ThreadedMotoServer(host, ports["s3"], verbose=False)
    store.start()
    s3 = f"http://{host}:{store.get_host_and_port()[1]}"
    state = State(directory / "emulator.db")
    try:
        files = copying.Files(s3)
        await asyncio.to_thread(files.create_bucket)
        emulator = Emulator("redshift", state, routes=lambda _: [], seed=lambda _: None)
        emulator.control_routes = control_routes(emulator, postgres.socket, files)
        async with listening(gate(emulator, postgres.socket, files), host, ports["sql"]) as sql:
            yield build_app([emulator]), {"sql": f"{host}:{sql}", "s3": s3, "bucket": copying.BUCKET}
    finally:
        await asyncio.to_thread(store.stop)
        await postgres.stop()
        state.close()


async def _prepare(postgres: Postgres) -> None:
    for database, statements in (("template1", system.TEMPLATE), ("postgres", system.CLUSTER)):
        backend = await Backend.connect(postgres.socket, "postgres", database)
        for statement in statements:
            await backend.ask(statement)
        backend.close()


if __name__ == "__main__":
    os.environ.setdefault("MOTO_S3_CUSTOM_ENDPOINTS", "")
    run("redshift", _DESCRIPTION, ("sql", "s3"), _started)
