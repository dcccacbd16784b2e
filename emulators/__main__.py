"""The emulators' process: `python -m emulators`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from emulators.server import build_all
from emulators.serving import Server

_SHUTDOWN_S = 2
_KEEP_ALIVE_S = 600


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m emulators", description="Stand-ins of the vendors' APIs.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 means any free port")
    parser.add_argument("--data-dir", type=Path, default=None, help="without it nothing survives the process")
    parser.add_argument("--smtp-port", type=int, default=0)
    parser.add_argument("--snowflake-url", default=None, help="root URL of the Snowflake stand-in")
    return parser.parse_args(argv)


async def _serve(options: argparse.Namespace) -> None:
    app = build_all(
        options.data_dir, snowflake_url=options.snowflake_url, smtp_port=options.smtp_port, host=options.host
    )
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_SHUTDOWN_S,
        # A short keep-alive would close connections under a slow client's feet: a fault that nobody asked for.
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    # uvicorn offers no event for having started.
    while not server.started and not serving.done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if server.started:
        port = server.servers[0].sockets[0].getsockname()[1]
        sys.stdout.write(json.dumps({"event": "ready", "url": f"http://{options.host}:{port}"}) + "\n")
        sys.stdout.flush()
    await serving


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until a signal ends the process."""
    asyncio.run(_serve(_arguments(argv)))


if __name__ == "__main__":
    main()
