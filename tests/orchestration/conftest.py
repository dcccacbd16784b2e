"""The time-skipping server ends with the tests that share it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.temporal import stop_servers


@pytest.fixture(scope="session", autouse=True)
def time_server() -> Iterator[None]:
    """The first test that needs the server starts it."""
    yield
    asyncio.run(stop_servers())
