"""The HTTP server of the stand-ins that run in the project's own environment."""

from __future__ import annotations

import asyncio

import uvicorn


class Server(uvicorn.Server):
    """Looks once a second whether to end, not ten times: an idle server leaves the machine to the others."""

    async def main_loop(self) -> None:
        """Tick until the server is told to end."""
        # The end is a flag of uvicorn, not an event.
        while not await self.on_tick(0):  # noqa: ASYNC110
            await asyncio.sleep(1)
