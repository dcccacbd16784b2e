"""The API's process."""

from __future__ import annotations

import asyncio
import json
import sys

import uvicorn

from activities.storage.database import migrate
from starters.api.app import create_app
from starters.api.settings import ApiSettings
from workers.privacy import keep_secrets_in
from workers.settings import Settings

_SHUTDOWN_S = 3
_KEEP_ALIVE_S = 75


class _Server(uvicorn.Server):
    """Looks once a second whether to end, not ten times: an idle part leaves the machine to the others."""

    async def main_loop(self) -> None:
        """Tick until the server is told to end."""
        # The end is a flag of uvicorn, not an event.
        while not await self.on_tick(0):  # noqa: ASYNC110
            await asyncio.sleep(1)


async def serve(settings: Settings, api_settings: ApiSettings) -> None:
    """Serve until a signal ends the process, printing one JSON ready line."""
    config = uvicorn.Config(
        create_app(settings, api_settings),
        host=api_settings.host,
        port=api_settings.port,
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        # Longer than the minute after which load balancers drop idle connections: the caller closes first.
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    # uvicorn offers no event for having started.
    while not server.started and not serving.done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if server.started:
        port = server.servers[0].sockets[0].getsockname()[1]
        sys.stdout.write(json.dumps({"event": "ready", "url": f"http://{api_settings.host}:{port}"}) + "\n")
        sys.stdout.flush()
    await serving


def main() -> None:
    """Serve on what the environment says, with the store's schema at its newest version."""
    settings, api_settings = Settings().on_stack(), ApiSettings()
    keep_secrets_in()
    migrate(settings.database_url)
    asyncio.run(serve(settings, api_settings))


if __name__ == "__main__":
    main()
