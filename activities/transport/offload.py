"""Run a blocking SDK call off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_POOL = ThreadPoolExecutor(max_workers=32, thread_name_prefix="blocking-sdk")


async def offload(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `call(*args, **kwargs)` computed in a thread, so that other activities keep running."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, partial(call, *args, **kwargs))
