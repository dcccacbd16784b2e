"""The control API under `/_emulators`: what vendors hold, applied and were asked, and how they are made to fail."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import httpx
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router

from emulators.faults import BadFaultError, FaultMiddleware

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from emulators.core import Emulator
    from emulators.warehouses.launch import Launcher

# A stand-in answers after the statement it is busy with, which takes minutes on a machine that has others to serve.
_PROXY_TIMEOUT_S = 300.0


class EmulatorApp(Starlette):
    """A Starlette application that lets faults reach the client's connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the server's transport for the faults, then answer."""
        if scope["type"] == "http":
            # uvicorn's `send` is a bound method of the object that owns the transport; other servers have none.
            scope["emulator.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        await super().__call__(scope, receive, send)


class Control:
    """Handlers of the control API over a set of emulators.

    `external` names systems served by a process of their own, each with its root URL.
    """

    def __init__(
        self, emulators: Sequence[Emulator], external: Mapping[str, str], launcher: Launcher | None = None
    ) -> None:
        """Serve these emulators, point at the external ones, and launch those that are asked for."""
        self._launcher = launcher
        self._emulators = {emulator.system: emulator for emulator in emulators}
        self._external = dict(external)
        # The other processes are on loopback and speak plain HTTP: loading certificates for them would be in vain.
        self._client = httpx.AsyncClient(
            timeout=_PROXY_TIMEOUT_S, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )

    def routes(self) -> list[BaseRoute]:
        """The control API's routes."""
        methods = ["GET", "POST", "DELETE"]
        proxies = [
            Route(f"/_emulators/{system}/{{rest:path}}", self._proxy(url), methods=methods)
            for system, url in self._external.items()
        ]
        launched = [] if self._launcher is None else self._launcher.systems()
        proxies += [
            Route(f"/_emulators/{system}/{{rest:path}}", self._launched(system), methods=methods) for system in launched
        ]
        return [
            Route("/_emulators", self._index),
            Route("/_emulators/reset", self._reset, methods=["POST"]),
            *proxies,
            Route("/_emulators/{system}", self._one),
            Route("/_emulators/{system}/effects", self._effects),
            Route("/_emulators/{system}/requests", self._requests),
            Route("/_emulators/{system}/objects/{type:path}", self._objects),
            Route("/_emulators/{system}/snapshot", self._take_snapshot, methods=["POST"]),
            Route("/_emulators/{system}/restore", self._restore, methods=["POST"]),
            Route("/_emulators/{system}/reset", self._reset_one, methods=["POST"]),
            Route("/_emulators/{system}/faults", self._faults, methods=methods),
            Route(
                "/_emulators/{system}/faults/{id:int}",
                self._one_fault,
                methods=["DELETE"],
            ),
        ]

    async def _index(self, request: Request) -> Response:
        root = str(request.base_url).rstrip("/")
        systems: dict[str, Any] = {
            name: {
                "baseUrl": f"{root}/{name}{emulator.base_path}",
                **emulator.details(),
            }
            for name, emulator in self._emulators.items()
        }
        systems.update({name: {"baseUrl": url} for name, url in self._external.items()})
        return JSONResponse({"systems": systems})

    async def _one(self, request: Request) -> Response:
        """Answer as the index does for one system; one that is a process of its own is started for it."""
        system = request.path_params["system"]
        if self._launcher is not None and system in self._launcher.systems():
            return JSONResponse(await self._launcher.details(system))
        answer = json.loads(bytes((await self._index(request)).body))["systems"].get(system)
        return _unknown() if answer is None else JSONResponse(answer)

    def _launched(self, system: str) -> Callable[[Request], Awaitable[Response]]:
        async def forward(request: Request) -> Response:
            if self._launcher is None:
                return _unknown()
            url = str((await self._launcher.details(system))["control"])
            return await self._forward(request, f"{url}/_emulators/{system}/{request.path_params['rest']}")

        return forward

    def _system(self, request: Request) -> Emulator | None:
        return self._emulators.get(request.path_params["system"])

    async def _effects(self, request: Request) -> Response:
        emulator = self._system(request)
        return _unknown() if emulator is None else JSONResponse(emulator.effects(*_window(request)))

    async def _requests(self, request: Request) -> Response:
        emulator = self._system(request)
        return _unknown() if emulator is None else JSONResponse(emulator.requests(*_window(request)))

    async def _objects(self, request: Request) -> Response:
        emulator = self._system(request)
        if emulator is None:
            return _unknown()
        offset, limit = _number(request, "offset", 0), _number(request, "limit", -1)
        return JSONResponse(emulator.list(request.path_params["type"], limit=limit, offset=offset))

    async def _faults(self, request: Request) -> Response:
        emulator = self._system(request)
        if emulator is None:
            return _unknown()
        if request.method == "DELETE":
            emulator.faults.clear()
            return Response(status_code=204)
        if request.method == "GET":
            return JSONResponse(emulator.faults.listing())
        try:
            rule = json.loads(await request.body())
            fault_id = emulator.faults.install(rule)
        except (BadFaultError, ValueError, AttributeError) as error:
            return JSONResponse({"error": f"The fault was not installed. {error}"}, 400)
        return JSONResponse({"id": fault_id}, 201)

    async def _one_fault(self, request: Request) -> Response:
        emulator = self._system(request)
        if emulator is None:
            return _unknown()
        emulator.faults.clear(request.path_params["id"])
        return Response(status_code=204)

    async def _take_snapshot(self, request: Request) -> Response:
        emulator = self._system(request)
        if emulator is None:
            return _unknown()
        emulator.snapshot()
        return Response(status_code=204)

    async def _restore(self, request: Request) -> Response:
        emulator = self._system(request)
        if emulator is None:
            return _unknown()
        if not emulator.restore():
            return JSONResponse({"error": "There is no snapshot of this system; take one first."}, 409)
        return Response(status_code=204)

    async def _reset(self, _request: Request) -> Response:
        for emulator in self._emulators.values():
            emulator.reset()
        for system in () if self._launcher is None else self._launcher.systems():
            url = self._launcher.control_url(system) if self._launcher is not None else None
            if url is not None:
                await self._client.post(f"{url}/_emulators/{system}/reset")
        failed = [name for name, url in self._external.items() if not await self._reset_external(url)]
        if failed:
            return JSONResponse(
                {"error": f"These systems could not be reset: {', '.join(failed)}."},
                502,
            )
        return JSONResponse({"reset": [*self._emulators, *self._external]})

    async def _reset_one(self, request: Request) -> Response:
        emulator = self._system(request)
        if emulator is None:
            return _unknown()
        emulator.reset()
        return Response(status_code=204)

    async def _reset_external(self, url: str) -> bool:
        try:
            return (await self._client.post(f"{url.rstrip('/')}/_emulators/reset")).is_success
        except httpx.HTTPError:
            return False

    def _proxy(self, url: str) -> Callable[[Request], Awaitable[Response]]:
        async def forward(request: Request) -> Response:
            return await self._forward(request, f"{url.rstrip('/')}/_emulators/{request.path_params['rest']}")

        return forward

    async def _forward(self, request: Request, target: str) -> Response:
        try:
            answer = await self._client.request(
                request.method,
                target,
                params=str(request.query_params),
                content=await request.body(),
                headers={"Content-Type": request.headers.get("Content-Type", "application/json")},
            )
        except httpx.HTTPError:
            return JSONResponse({"error": "The stand-in that serves this system does not answer."}, 502)
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("Content-Type"))

    async def aclose(self) -> None:
        """Close the connections to the external systems."""
        await self._client.aclose()
        if self._launcher is not None:
            await self._launcher.aclose()


def _unknown() -> Response:
    return JSONResponse({"error": "No emulated system has this name; GET /_emulators lists them."}, 404)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isdigit() else default


def _window(request: Request) -> tuple[int, int]:
    return _number(request, "since", 0), _number(request, "limit", -1)


def build_app(
    emulators: Sequence[Emulator], *, external: Mapping[str, str] | None = None, launcher: Launcher | None = None
) -> Starlette:
    """One ASGI application: every system under its name, behind its faults, and the control API.

    Args:
        emulators: The systems served here.
        external: Systems served by another process: name -> root URL.
        launcher: Starts the systems that are processes of their own when they are first asked for.
    """
    control = Control(emulators, external or {}, launcher)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        for emulator in emulators:
            for start in emulator.startup:
                await start()
        yield
        await control.aclose()
        for emulator in emulators:
            for stop in emulator.shutdown:
                await stop()

    mounts = [
        Mount(
            f"/{emulator.system}",
            app=FaultMiddleware(Router(emulator.routes, redirect_slashes=False), emulator),
        )
        for emulator in emulators
    ]
    own = [route for emulator in emulators for route in emulator.control_routes]
    return EmulatorApp(routes=[*own, *control.routes(), *mounts], lifespan=lifespan)
