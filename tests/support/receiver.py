"""A server that takes webhooks over TCP and keeps them as they arrived."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from activities.security.signatures import SignedRequest
from emulators.serving import Server
from tests.support.listeners import open_listener


@dataclass
class Receiver:
    """What came, oldest first; `answer` is what every sender hears."""

    url: str = ""
    answer: str = "<Response/>"
    received: list[SignedRequest] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        """Keep a request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.body()
        self.received.append(SignedRequest(request.method, str(request.url), headers, body))
        return Response(self.answer, media_type="application/xml")


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve a receiver of any path until the block ends."""
    receiver = Receiver()
    application = Starlette(routes=[Route("/{path:path}", receiver.take, methods=["GET", "POST"])])
    listener = open_listener()
    receiver.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/hooks/any/token"
    server = Server(uvicorn.Config(application, log_level="error", access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="receiver", daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.should_exit = True
        thread.join(timeout=10)
