"""Threads of blocking SDKs: what hangs at one vendor holds up nobody."""

from __future__ import annotations

import asyncio
import threading
import uuid

import pytest

from activities.transport.offload import offload, offload_to


@pytest.mark.parametrize("same", [True, False], ids=["at the same vendor", "at another vendor"])
async def test_f60_sixty_hanging_calls_leave_threads_for_sixty_healthy_ones(*, same: bool) -> None:
    release = threading.Event()
    system = f"system-{uuid.uuid4()}"
    hanging = [asyncio.create_task(offload_to(system, release.wait)) for _ in range(60)]
    try:
        other = system if same else f"system-{uuid.uuid4()}"
        answers = [offload_to(other, int, "7") for _ in range(60)]
        assert await asyncio.wait_for(asyncio.gather(*answers, offload(int, "7")), 280) == [7] * 61
    finally:
        release.set()
        await asyncio.gather(*hanging)
