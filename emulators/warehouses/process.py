"""The process of a stand-in that speaks a database's wire protocol beside the emulators' control API."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from emulators.serving import Server

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_SHUTDOWN_S = 2

Ports = dict[str, int]
Start = Callable[[Path, str, Ports], AbstractAsyncContextManager[tuple["ASGIApp", dict[str, Any]]]]


def run(name: str, description: str, ports: tuple[str, ...], start: Start) -> None:
    """Serve until SIGTERM or SIGINT, and print one line with the addresses once everything answers.

    Args:
        name: the stand-in, as the command line shows it.
        description: one sentence for `--help`.
        ports: the further listeners, each an option `--<name>-port`.
        start: opens everything but the control API and yields that API's application with what to announce.
    """
    parser = argparse.ArgumentParser(prog=f"python -m emulators.{name}", description=description)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="of the control API; 0 means any free port")
    for one in ports:
        parser.add_argument(f"--{one}-port", type=int, default=0)
    parser.add_argument("--until-eof", action="store_true", help="end when the standard input does")
    parser.add_argument("--data-dir", type=Path, required=True, help="everything that has to survive a restart")
    options = parser.parse_args()
    directory: Path = options.data_dir.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    chosen = {one: int(getattr(options, f"{one}_port")) for one in ports}
    asyncio.run(_serve(options, start(directory, options.host, chosen)))


async def _serve(
    options: argparse.Namespace, starting: AbstractAsyncContextManager[tuple[ASGIApp, dict[str, Any]]]
) -> None:
    host: str = options.host
    async with starting as (app, details):
        config = uvicorn.Config(
            app,
            host=host,
            port=options.port,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
        server = Server(config)
        if options.until_eof:
            asyncio.get_running_loop().add_reader(sys.stdin, setattr, server, "should_exit", True)
        serving = asyncio.create_task(server.serve())
        # uvicorn offers no event for having started.
        while not server.started and not serving.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if server.started:
            control = server.servers[0].sockets[0].getsockname()[1]
            ready = {"event": "ready", "url": f"http://{host}:{control}", **details}
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
        await serving


@asynccontextmanager
async def listening(
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any], host: str, port: int
) -> AsyncIterator[int]:
    """Accept connections, and cut those that are left at the end; yields the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a callback of a server runs in a task
        tasks.add(task)
        try:
            await connected(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, host, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def cut(writer: asyncio.StreamWriter) -> None:
    """End a connection at once, as a network does that fails: the other side reads a reset."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
