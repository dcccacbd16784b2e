"""What the control API adds for this stand-in: rows of tables, counts, and the way back to the beginning."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.redshift.backend import Backend, BackendError
from emulators.redshift.copying import Files
from emulators.redshift.system import COUNTS, DATABASES, EMPTY

if TYPE_CHECKING:
    from starlette.requests import Request

    from emulators.core import Emulator


def control_routes(emulator: Emulator, socket: str, files: Files) -> list[BaseRoute]:
    """Routes below `/_emulators/redshift/{database}`.

    `tables` counts the rows of every table, `tables/{schema.table}` returns them, `reset` forgets everything.
    """

    async def tables(request: Request) -> Response:
        found = await _ask(request, COUNTS)
        return JSONResponse({str(name): int(rows or 0) for name, rows in found})

    async def rows(request: Request) -> Response:
        schema, _, table = request.path_params["name"].partition(".")
        try:
            found = await _ask(request, f"SELECT to_jsonb(t) FROM {_quoted(schema)}.{_quoted(table)} t")
        except BackendError as error:
            return JSONResponse({"error": error.args[1]}, status_code=404)
        return Response(f"[{','.join(str(row) for (row,) in found)}]", media_type="application/json")

    async def reset(_: Request) -> Response:
        emulator.reset()
        await asyncio.to_thread(files.empty)
        for database in DATABASES:
            backend = await Backend.connect(socket, "postgres", database)
            await backend.ask(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            for (statement,) in await backend.ask(EMPTY):
                await backend.ask(str(statement))
            await backend.ask(f"CREATE SCHEMA public AUTHORIZATION {DATABASES[database]}")
            backend.close()
        return JSONResponse({"ok": True})

    async def _ask(request: Request, sql: str) -> list[tuple[str | None, ...]]:
        backend = await Backend.connect(socket, "postgres", request.path_params["database"])
        try:
            return await backend.ask(sql)
        finally:
            backend.close()

    return [
        Route("/_emulators/redshift/reset", reset, methods=["POST"]),
        Route("/_emulators/redshift/{database}/tables", tables),
        Route("/_emulators/redshift/{database}/tables/{name}", rows),
    ]


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
