"""Reading once what many decisions of one moment need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_memory: ContextVar[dict[Hashable, Any] | None] = ContextVar("remembered", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Have `once` load each thing one time within the block, so that all its decisions see one state."""
    token = _memory.set({})
    try:
        yield
    finally:
        _memory.reset(token)


async def once(key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
    """Return what `load` answers; within `remembering`, what it answered the first time for `key`."""
    memory = _memory.get()
    if memory is None:
        return await load()
    if key not in memory:
        memory[key] = await load()
    found: T = memory[key]
    return found
