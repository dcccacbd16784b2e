"""The control API of the stand-in: ledger, current rows, faults and reset."""

import datetime as dt
import decimal
import json
from typing import Any

from engine import Engine
from faults import Faults
from ledger import Ledger
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def build(engine: Engine, ledger: Ledger, faults: Faults) -> Starlette:
    """The routes below `/_emulators`."""

    async def effects(request: Request) -> Response:
        return JSONResponse(ledger.list_effects(_number(request, "since", 0)))

    async def requests(request: Request) -> Response:
        return JSONResponse(ledger.list_requests(_number(request, "since", 0)))

    async def objects(request: Request) -> Response:
        name = request.path_params["name"]
        rows = await run_in_threadpool(engine.rows, name, _number(request, "limit", 1000))
        if rows is None:
            return JSONResponse({"error": f"there is no table {name}"}, status_code=404)
        return Response(json.dumps(rows, default=_plain), media_type="application/json")

    async def counts(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(engine.counts))

    async def add_fault(request: Request) -> Response:
        try:
            faults.add(await request.json())
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse({"ok": True}, status_code=201)

    async def clear_faults(_: Request) -> Response:
        faults.clear()
        return Response(status_code=204)

    async def abandoned(_: Request) -> Response:
        return JSONResponse({"aborted": await run_in_threadpool(engine.abort_abandoned, 0.0)})

    async def reset(_: Request) -> Response:
        faults.clear()
        await run_in_threadpool(engine.reset)
        return JSONResponse({"ok": True})

    return Starlette(
        routes=[
            Route("/_emulators/effects", effects),
            Route("/_emulators/requests", requests),
            Route("/_emulators/objects/{name}", objects),
            Route("/_emulators/counts", counts),
            Route("/_emulators/faults", add_fault, methods=["POST"]),
            Route("/_emulators/faults", clear_faults, methods=["DELETE"]),
            Route("/_emulators/abandoned", abandoned, methods=["POST"]),
            Route("/_emulators/reset", reset, methods=["POST"]),
        ]
    )


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isdigit() else default


def _plain(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else float(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value)
