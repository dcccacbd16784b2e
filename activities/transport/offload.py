"""Run a blocking SDK call off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_POOL = ThreadPoolExecutor(max_workers=32, thread_name_prefix="blocking-sdk")
_THREADS_PER_SYSTEM = 256
"""More than the slots of a system's queue can use, so that no call waits behind one that hangs."""


async def offload(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `call(*args, **kwargs)` computed in a thread, so that other activities keep running."""
    return await _run(_POOL, call, *args, **kwargs)


async def offload_to(system: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `call(*args, **kwargs)` computed in a thread of `system`, whose hanging calls hold up no other's."""
    return await _run(_threads_of(system), call, *args, **kwargs)


async def _run(pool: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, partial(call, *args, **kwargs))


@cache
def _threads_of(system: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=_THREADS_PER_SYSTEM, thread_name_prefix=system)
