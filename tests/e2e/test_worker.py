"""A worker on a Temporal that is not ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from starters.ports import choose_ports
from tests.e2e.conftest import ROOT, environment
from workers.engine import binary

_PATIENCE_S = 300


@pytest.fixture
def foreign_temporal(tmp_path: Path) -> Iterator[str]:
    """The address of a real server that knows none of our search attributes."""
    port = choose_ports(tmp_path, {"temporal": 0})["temporal"]
    command = [
        str(binary("temporal")),
        "server",
        "start-dev",
        "--headless",
        "--port",
        str(port),
        "--log-level",
        "error",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait(_PATIENCE_S)


def test_a_worker_refuses_a_namespace_where_no_workflow_could_make_progress(
    foreign_temporal: str, tmp_path: Path
) -> None:
    settings = {"WEDSYNC_TEMPORAL_ADDRESS": foreign_temporal, "WEDSYNC_DATA_DIR": str(tmp_path)}
    sentence = "Temporal does not answer"
    while "Temporal does not" in sentence:
        done = subprocess.run(
            [sys.executable, "-m", "workers", "--queues", "orchestration"],
            cwd=ROOT, env=environment() | settings, capture_output=True, text=True, timeout=_PATIENCE_S, check=False,
        )  # fmt: skip
        sentence = done.stderr
    assert done.returncode == 1
    assert "temporal operator search-attribute create" in sentence
    assert "--name Outcome --type Keyword" in sentence
