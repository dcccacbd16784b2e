"""One large sync: `python -m tests.benchmarks.bench_memory` prints its worker's peak memory in MB as JSON.

A report of a million weddings goes from a file into the Tableau stand-in. Measured is a worker for the queues that it
needs, resting and at its highest; the worker of `wedsync up`, which knows every system, makes room for it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from contracts.names import DATA_QUEUE, ORCHESTRATION_QUEUE, system_queue
from emulators.wedding_files import write
from emulators.wedding_rows import DataSet
from tests.benchmarks.bench_etl import sampled
from tests.e2e.conftest import RunningStack
from tests.e2e.documents import ORGANIZATION
from tests.e2e.test_faults import ended
from tests.support.loopback import patient_client

_TABLEAU = {
    "integrationId": "tableau-main",
    "organizationId": ORGANIZATION,
    "integrationType": "bi_platform",
    "platform": "tableau",
    "connectionConfig": {
        "siteName": "lumen",
        "credential": {"tokenName": "sandbox-pat", "tokenSecret": "sandbox-tableau-secret"},
    },
}
_QUEUES = (ORCHESTRATION_QUEUE, DATA_QUEUE, system_queue("tableau"))
_BASE = f"/v1/organizations/{ORGANIZATION}"


@contextmanager
def worker_alone(stack: RunningStack) -> Iterator[int]:
    """Yield the process of a worker that takes the place of the stack's own."""
    assert stack.process is not None
    supervisor, own = psutil.Process(stack.process.pid), psutil.Process(stack.parts()["worker"])
    command = [sys.executable, "-m", "workers", "--queues", ",".join(_QUEUES)]
    environment, folder = own.environ(), own.cwd()
    supervisor.suspend()
    own.kill()
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)
        supervisor.resume()


def measure(pid: int, api: httpx.Client, source: Path, rows: int) -> dict[str, float]:
    """Return the worker's memory and what the books say of the sync."""
    api.post(f"{_BASE}/integrations", json=_TABLEAU).raise_for_status()
    resting = psutil.Process(pid).memory_info().rss / 1e6
    given = {
        "syncId": "large",
        "organizationId": ORGANIZATION,
        "sourceReportId": "weddings",
        "targetIntegration": {"integrationId": "tableau-main"},
        "targetObject": "Weddings",
        "source": {"kind": "file", "uri": source.as_uri(), "format": "parquet"},
    }
    started = time.perf_counter()
    with sampled(pid) as peak:
        view = ended(api, api.post(f"{_BASE}/syncs", json=given).raise_for_status().headers["location"])
        highest = peak()
    books = view["result"]["books"]
    return {
        "rows": rows,
        "missing": rows - books["updated"],
        "resting_mb": resting,
        "peak_mb": highest,
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "weddings.parquet"
        write(DataSet(rows, 7, 0.0), source, file_format="parquet")
        stack = RunningStack(Path(folder) / "data")
        stack.start()
        try:
            headers = {"Authorization": f"Bearer {stack.ready['api_key']}"}
            with patient_client(stack.ready["api"], headers) as api, worker_alone(stack) as pid:
                figures = measure(pid, api, source, rows)
        finally:
            stack.stop()
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
