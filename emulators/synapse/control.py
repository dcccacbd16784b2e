"""What the control API adds for this stand-in: rows of tables, counts, and the way back to the beginning."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.synapse.dialect import Statement
from emulators.synapse.engine import Engine, Result
from emulators.synapse.refusals import Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

    from emulators.core import Emulator

_NAMES = "SELECT lower(schema_name || '.' || table_name) FROM duckdb_tables() ORDER BY 1"


def control_routes(emulator: Emulator, engine: Engine) -> list[BaseRoute]:
    """Routes below `/_emulators/synapse/{pool}`.

    `tables` counts the rows of every table, `tables/{schema.table}` returns them, `reset` forgets everything.
    """

    async def tables(request: Request) -> Response:
        names = [str(name) for (name,) in (await _ask(request, _NAMES)).rows]
        counts = {name: (await _ask(request, f"SELECT count(*) FROM {name}")).rows[0][0] for name in names}
        return JSONResponse(counts)

    async def rows(request: Request) -> Response:
        try:
            found = await _ask(request, f"SELECT * FROM {request.path_params['name']}")
        except Refusal as refusal:
            return JSONResponse({"error": refusal.message}, status_code=404)
        names = [column.name for column in found.columns]
        text = json.dumps([dict(zip(names, row, strict=True)) for row in found.rows], default=str)
        return Response(text, media_type="application/json")

    async def reset(_: Request) -> Response:
        emulator.reset()
        await asyncio.to_thread(engine.reset)
        return JSONResponse({"ok": True})

    async def _ask(request: Request, sql: str) -> Result:
        session = engine.session(request.path_params["pool"])
        try:
            values: dict[str, Any] = {}
            return await asyncio.to_thread(session.run, Statement(sql, (sql,), "select"), values)
        finally:
            session.close()

    return [
        Route("/_emulators/synapse/reset", reset, methods=["POST"]),
        Route("/_emulators/synapse/{pool}/tables", tables),
        Route("/_emulators/synapse/{pool}/tables/{name}", rows),
    ]
