"""What every test shares."""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.support import warehouse_stand_ins
from tests.support.snowflake_account import INTERPRETER, Account
from tests.support.warehouse_stand_ins import StandIn

# Machines are noisy: an example is judged by its answer, never by its time.
settings.register_profile("house", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_TELLING = 3_000
_TEARDOWN_S = 120
_STDERR = os.dup(2)
_TOGETHER = {
    "test_emulator_snowflake.py": "snowflake",
    "test_run_warehouse_etl.py": "snowflake",
    "test_snowflake.py": "snowflake",
    "test_snowflake_query.py": "snowflake",
    "test_staged_loads.py": "snowflake",
    "test_backfill.py": "snowflake",
    "test_emulator_redshift.py": "redshift",
    "test_redshift.py": "redshift",
    "test_redshift_session.py": "redshift",
    "test_emulator_synapse.py": "synapse",
    "test_synapse.py": "synapse",
    "test_synapse_session.py": "synapse",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-seam", action="store_true", help="lose a worker at every statement of every warehouse")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "first_seam" in metafunc.fixturenames:
        every = range(1, metafunc.cls.seams + 1)
        metafunc.parametrize("first_seam", every if metafunc.config.getoption("every_seam") else every[:1])


class _Scheduling(LoadScopeScheduling):
    """Keeps the tests of a module in one process, and all that share a warehouse's stand-in in one too.

    Whole workflows take longest. They are one scope because scopes of many tests are handed out first: nobody is left
    with a long module at the end.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = PurePath(nodeid.split("::", maxsplit=1)[0])
        if module.name in _TOGETHER:
            return _TOGETHER[module.name]
        return "orchestration" if module.parent.name == "orchestration" else str(module)


# The modules stay for the whole run; looking through them for garbage was a quarter of the time it took to import them.
gc.disable()


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later look for garbage."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Let go of what was left out: extension modules take what lives at the end for leaks, and say so at length."""
    gc.unfreeze()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Hand tests out by module."""
    return _Scheduling(config, log)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once what failed and how, for a run that is cut off before its summary."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ and sys.__stderr__ is not None:
        sys.__stderr__.write(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext[-_TELLING:]}\n")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """End a process in which a test's remains do not end: pytest's own watch is off as soon as the test has failed."""
    faulthandler.dump_traceback_later(_TEARDOWN_S, exit=True, file=_STDERR)
    yield
    faulthandler.cancel_dump_traceback_later()


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


def _stand_in(system: str, factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    if not warehouse_stand_ins.INTERPRETER.exists():
        pytest.skip("the environment .venv-warehouses has not been built")
    standing = StandIn(system, factory.mktemp(system))
    yield standing
    standing.stop()


@pytest.fixture(scope="session")
def redshift_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The session's Redshift stand-in."""
    yield from _stand_in("redshift", tmp_path_factory)


@pytest.fixture(scope="session")
def synapse_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The session's Synapse stand-in."""
    yield from _stand_in("synapse", tmp_path_factory)
