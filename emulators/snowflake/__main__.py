"""Starts the Snowflake stand-in: `python emulators/snowflake --port N --data-dir D`."""

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

# The old driver inside this environment imports the AWS libraries if it can; without them the start takes half as long.
sys.modules.update({"boto3": None, "botocore": None})  # type: ignore[dict-item]
# ruff: noqa: E402

import fakesnow.server
import uvicorn
from control import build
from engine import Engine
from faults import Faults
from ledger import Ledger
from starlette.types import ASGIApp, Receive, Scope, Send
from wrapper import Compatibility


class Server(uvicorn.Server):
    """uvicorn that ticks once a second, without its signal handlers.

    They would end the process before the databases are written out.
    """

    async def main_loop(self) -> None:
        """Tick until the server is told to end."""
        # The end is a flag of uvicorn, not an event.
        while not await self.on_tick(0):  # noqa: ASYNC110
            await asyncio.sleep(1)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to this module."""
        yield


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python emulators/snowflake", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 means any free port")
    parser.add_argument("--data-dir", type=Path, required=True, help="databases, staged files and the ledger")
    options = parser.parse_args()
    directory = options.data_dir.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    asyncio.run(_serve(options.host, options.port, directory))


async def _serve(host: str, port: int, directory: Path) -> None:
    ledger = Ledger(directory / "ledger.sqlite")
    engine = Engine(directory, ledger)
    faults = Faults()
    control = build(engine, ledger, faults)
    vendor = Compatibility(fakesnow.server.app, engine, ledger, faults)
    config = uvicorn.Config(
        _split(control, vendor),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    server = Server(config)
    announcing = asyncio.create_task(_announce(server))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    await server.serve()
    announcing.cancel()
    engine.close()
    ledger.close()


async def _announce(server: uvicorn.Server) -> None:
    # uvicorn offers no event for having started.
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    sys.stdout.write(json.dumps({"event": "ready", "url": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()


def _split(control: ASGIApp, vendor: ASGIApp) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_control = scope["type"] == "http" and scope["path"].startswith("/_emulators")
        await (control if is_control else vendor)(scope, receive, send)

    return app


if __name__ == "__main__":
    main()
