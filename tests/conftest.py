"""What every test shares."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.snowflake_account import INTERPRETER, Account

# Machines are noisy: an example is judged by its answer, never by its time.
settings.register_profile("house", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_TELLING = 3_000
_SHARED = {"stack": "stack", "snowflake_process": "snowflake"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep the tests of a module in one process, and all tests that share something costly in one too.

    The marks have to stand before xdist's own hook over the collected items reads them.
    """
    fixtures = getattr(item, "fixturenames", ())
    group = next((name for fixture, name in _SHARED.items() if fixture in fixtures), item.path.name)
    item.add_marker(pytest.mark.xdist_group(group))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once what failed and how, for a run that is cut off before its summary."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ and sys.__stderr__ is not None:
        sys.__stderr__.write(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext[-_TELLING:]}\n")


@pytest.fixture(scope="session")
def snowflake_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The session's Snowflake stand-in."""
    if not INTERPRETER.exists():
        pytest.skip("the environment .venv-snowflake has not been built")
    standing = Account(tmp_path_factory.mktemp("snowflake"))
    yield standing
    standing.stop()


@pytest.fixture
def account(snowflake_process: Account) -> Account:
    """The session's Snowflake stand-in, empty."""
    snowflake_process.reset()
    return snowflake_process
