"""A process keeps its secrets: no dump of its memory, nothing for its children, no quotation in its log."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import Permanent
from workers.privacy import ReticentFormatter, secret_variables

ROOT = Path(__file__).parents[2]
CANARY = "canary-91c2"


def fail(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


def written(error: Exception, text: str = "it failed", cause: Exception | None = None) -> str:
    try:
        fail(error, cause)
    except Exception:
        record = logging.getLogger("any").makeRecord("any", 40, __file__, 1, text, (), sys.exc_info())
    return ReticentFormatter("%(message)s").format(record)


def test_an_exception_is_told_by_type_and_place_and_not_by_message() -> None:
    said = written(LookupError(CANARY))
    assert "LookupError" in said
    assert Path(__file__).name in said
    assert CANARY not in said


def test_what_it_came_from_is_told_as_sparingly() -> None:
    said = written(LookupError(CANARY), cause=ValueError(CANARY))
    assert ("ValueError" in said, CANARY in said) == (True, False)


def test_the_representation_that_asyncio_appends_stays_out() -> None:
    said = written(LookupError("x"), f"Task exception was never retrieved\nfuture: <Task exception={CANARY}>")
    assert "never retrieved" in said
    assert CANARY not in said


def test_our_own_errors_keep_their_sentence() -> None:
    assert "The mapping is wrong." in written(Permanent("wrong", "The mapping is wrong."))


@pytest.mark.parametrize("name", ["MASTER_KEY", "MASTER_KEY_PREVIOUS", "VAULT_SECRET_ID", "REPORT_TOKEN", "API_KEY"])
def test_every_secret_setting_is_known_as_one(name: str) -> None:
    assert f"WEDSYNC_{name}" in set(secret_variables())


def test_a_child_gets_no_secret_and_the_process_leaves_no_core_dump() -> None:
    program = (
        "import json, os, resource, subprocess, sys\n"
        "from workers.privacy import keep_secrets_in\n"
        "keep_secrets_in()\n"
        "seen = subprocess.run(['env'], capture_output=True, text=True).stdout\n"
        "print(json.dumps([seen, resource.getrlimit(resource.RLIMIT_CORE)]))\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "WEDSYNC_MASTER_KEY": CANARY}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, cwd=ROOT
    )
    seen, limit = json.loads(done.stdout)
    assert CANARY not in seen
    assert limit == [0, 0]
