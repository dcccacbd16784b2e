"""The middleware that acts faults out: every request is logged, and some are answered badly."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import struct
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, Response

from emulators.fault_book import TRANSPORT_KINDS, BadFaultError, Fault, FaultBook

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from emulators.core import Emulator

__all__ = ["BadFaultError", "Fault", "FaultBook", "FaultMiddleware", "abort", "drain", "drifted", "paths_of"]

_LOGIN_PAGE = "<!doctype html><html><head><title>Sign in</title></head><body><form>Please sign in</form></body></html>"


def paths_of(scope: MutableMapping[str, Any]) -> tuple[str, str]:
    """A request's path as the vendor sees it, and with the system's mount prefix."""
    full = str(scope["path"])
    return full.removeprefix(str(scope.get("root_path", ""))) or "/", full


class FaultMiddleware:
    """ASGI middleware around one system: logs every request and acts out the faults that apply to it."""

    def __init__(self, app: ASGIApp, emulator: Emulator) -> None:
        """Wrap the system's own application."""
        self._app = app
        self._emulator = emulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, well or badly."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = paths_of(scope)[0]
        query = scope.get("query_string", b"").decode("latin-1")
        seq = self._emulator.open_request(scope["method"], path, query)
        seen = {"status": 0}

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            await send(message)

        try:
            await self._answer(scope, receive, noting)
        finally:
            self._emulator.close_request(seq, seen["status"], scope.get("emulator.operation"))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        book, method, paths = self._emulator.faults, scope["method"], paths_of(scope)
        left = book.window_left()
        if left > 0:
            await drain(receive)
            await self._error(429, None, left)(scope, receive, send)
            return
        slow = book.draw(("latency",), method, paths)
        if slow is not None:
            await asyncio.sleep(1.0 if slow.delay_s is None else slow.delay_s)
        fault = book.draw(TRANSPORT_KINDS, method, paths)
        if fault is None:
            await self._app(scope, receive, send)
            return
        await getattr(self, f"_act_{fault.kind}")(fault, scope, receive, send)

    def _error(self, status: int, fault: Fault | None, retry_after: float | None) -> Response:
        response = self._emulator.render_error(status, fault)
        if retry_after is not None:
            response.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        return response

    async def _act_status(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await drain(receive)
        await self._error(fault.status, fault, fault.retry_after)(scope, receive, send)

    async def _act_rate_limit(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = 1.0 if fault.retry_after is None else fault.retry_after
        self._emulator.faults.open_window(seconds)
        await drain(receive)
        await self._error(429, fault, seconds)(scope, receive, send)

    async def _act_html_login_page(self, _fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        await drain(receive)
        await HTMLResponse(_LOGIN_PAGE)(scope, receive, send)

    async def _act_reset(self, _fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await drain(receive)
        await abort(scope)

    async def _act_drop_after_effect(self, _fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await self._captured(scope, receive)
        await abort(scope)

    async def _act_truncate(self, _fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        start, body = await self._captured(scope, receive)
        await send(_declare(start, len(body) or 1))
        await send(
            {
                "type": "http.response.body",
                "body": body[: len(body) // 2],
                "more_body": True,
            }
        )
        await abort(scope, reset=False)

    async def _act_garbage(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        start, body = await self._captured(scope, receive)
        noise = b"\xff{" + random.Random(fault.seed).randbytes(max(32, len(body)))  # noqa: S311
        await send(_declare(start, len(noise)))
        await send({"type": "http.response.body", "body": noise})

    async def _act_hang(self, fault: Fault, scope: Scope, receive: Receive, _send: Send) -> None:
        await drain(receive)
        try:
            async with asyncio.timeout(3600 if fault.delay_s is None else fault.delay_s):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            await abort(scope)

    async def _act_slow_body(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        start, body = await self._captured(scope, receive)
        pause = (5.0 if fault.delay_s is None else fault.delay_s) / 10
        await send(_declare(start, len(body)))
        step = max(1, len(body) // 10)
        for begin in range(0, len(body), step):
            await asyncio.sleep(pause)
            await send(
                {
                    "type": "http.response.body",
                    "body": body[begin : begin + step],
                    "more_body": True,
                }
            )
        await send({"type": "http.response.body", "body": b""})

    async def _captured(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        start: Message = {"type": "http.response.start", "status": 500, "headers": []}
        parts: list[bytes] = []

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, keep)
        return start, b"".join(parts)


def _declare(start: Message, length: int) -> Message:
    headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    return {**start, "headers": [*headers, (b"content-length", str(length).encode())]}


async def drain(receive: Receive) -> None:
    """Read the request's body to its end so that the connection stays usable."""
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return


async def abort(scope: Scope, *, reset: bool = True) -> None:
    """End the client's connection without (the rest of) an answer: by TCP reset, or by a plain close.

    Raises:
        ConnectionResetError: The server gives no access to its socket (an in-process test client).
    """
    transport = scope.get("emulator.transport")
    if transport is None:
        message = "The emulator closed the connection on purpose."
        raise ConnectionResetError(message)
    if reset:
        plain = transport.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    # The server must notice the lost connection before this task ends, else it would try to answer 500.
    for _ in range(3):
        await asyncio.sleep(0)


def drifted(body: Any, renames: dict[str, str]) -> Any:
    """A response whose contract has moved: the named fields carry other names, at every depth."""
    if isinstance(body, dict):
        return {renames.get(key, key): drifted(value, renames) for key, value in body.items()}
    if isinstance(body, list):
        return [drifted(item, renames) for item in body]
    return body
