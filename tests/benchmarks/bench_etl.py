"""The whole load against a bare script, as one JSON line.

`python -m tests.benchmarks.bench_etl --warehouse snowflake --rows 100000`; the marts are not arranged, which a request
may ask for besides.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from activities.boundary import BoundaryInterceptor
from activities.heartbeat import HeartbeatInterceptor
from activities.ports.warehouse import LayerFiles, WarehouseConnector
from activities.transform import extract, reading
from contracts.dataset import SourceFormat
from contracts.etl import EtlBatch, EtlRequest, Layer
from contracts.names import DATA_QUEUE, ORCHESTRATION_QUEUE, SearchAttribute, system_queue
from emulators.wedding_files import write
from emulators.wedding_rows import DataSet
from tests.benchmarks.warehouses import STAND_INS, Place, bare_session
from tests.orchestration.test_run_warehouse_etl import EXAMPLE
from tests.support.etl_house import House
from workers.sandbox import workflow_runner
from workflows.run_warehouse_etl import RunWarehouseEtl

_WARM_UP_ROWS = 200
_PLACE = "place.json"
_SERVER = (
    "history.transferProcessorMaxPollRPS=200",
    'history.timerProcessorMaxTimeShift="1ms"',
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)


def bare(system: str, place: Place, sources: Sequence[Path], folder: Path) -> float:
    """Return the seconds in which a plain script without Temporal transforms the last source and loads it.

    It maps and judges the rows, brings one Parquet file by the warehouse's bulk path, and sends the same MERGEs and
    analytics; RAW, staged objects, receipts and the quarantine are ours alone.
    """
    taken = 0.0
    with bare_session(system, place) as (loader, _):
        loader.provision()
        for source in sources:
            started = time.perf_counter()
            path, rows = _staging_file(source, folder / source.stem)
            batch = EtlBatch(
                etl_id=source.stem,
                organization_id="bare",
                integration_id="bare",
                run_id=source.stem,
                as_of=datetime.now(UTC).date(),
            )
            loader.load_layer(batch, LayerFiles(Layer.STAGING, [path], rows, "0" * 32))
            loader.load_marts(batch)
            loader.build_analytics(batch)
            taken = time.perf_counter() - started
    return taken


def _staging_file(source: Path, folder: Path) -> tuple[Path, int]:
    folder.mkdir()
    with extract.engine(folder, source) as connection:
        names = reading.columns_of(connection, source, SourceFormat.CSV)
        extract.judge(connection, source, SourceFormat.CSV, names, EtlRequest.model_validate(EXAMPLE).data_mapping)
        parts = list(extract.write_parts(connection, folder, source.stem, datetime.now(UTC), part_rows=10_000_000))
    return next((part.path, part.rows) for part in parts if part.layer is Layer.STAGING)


@contextmanager
def temporal(folder: Path) -> Iterator[str]:
    """Yield the address of a real server with a file database and the settings of the embedded profile."""
    port, ui = _free_port(), _free_port()
    command = [
        str(Path(sys.executable).with_name("temporal")), "server", "start-dev", "--ip", "127.0.0.1",
        "--port", str(port), "--ui-port", str(ui), "--headless", "-f", str(folder / "temporal.db"),
        "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal", "--log-level", "error",
        *(part for name in SearchAttribute for part in ("--search-attribute", f"{name.value}=Keyword")),
        *(part for value in _SERVER for part in ("--dynamic-config-value", value)),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def connected(address: str) -> Client:
    """Return a client as soon as the server answers."""
    for _ in range(600):
        with suppress(RuntimeError):
            return await Client.connect(address, data_converter=pydantic_data_converter)
        await asyncio.sleep(0.1)
    message = "the Temporal server did not start"
    raise RuntimeError(message)


async def serve(system: str, address: str, place: Place, folder: Path) -> None:
    """Run the worker's half until the process is ended."""
    integration_id = f"{system}-main"
    house = House(folder, integration_id, system, place.url)
    await house.connect(EXAMPLE["organizationId"], place.credential, place.settings)
    warehouse = await house.access.connector(EXAMPLE["organizationId"], integration_id, WarehouseConnector)
    await warehouse.provision()
    client = await connected(address)
    activities = house.activities()
    workers = [
        Worker(
            client,
            task_queue=queue,
            activities=activities,
            interceptors=[BoundaryInterceptor(), HeartbeatInterceptor()],
            build_id="bench",
        )
        for queue in (DATA_QUEUE, system_queue(system))
    ]
    decider = Worker(
        client,
        task_queue=ORCHESTRATION_QUEUE,
        workflows=[RunWarehouseEtl],
        workflow_runner=workflow_runner(),
        build_id="bench",
    )
    async with AsyncExitStack() as running:
        for worker in (decider, *workers):
            await running.enter_async_context(worker)
        print("ready", flush=True)  # noqa: T201
        await asyncio.Event().wait()


@contextmanager
def sampled(pid: int) -> Iterator[Callable[[], float]]:
    """Yield a function that returns the highest resident size of the process so far, in MB."""
    ended, peak = Event(), [0]

    def sample() -> None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            while not ended.wait(0.05):
                peak[0] = max(peak[0], process.memory_info().rss)

    thread = Thread(target=sample, daemon=True)
    thread.start()
    yield lambda: peak[0] / 1e6
    ended.set()
    thread.join()


async def ours(system: str, address: str, source: Path) -> dict[str, Any]:
    """Return the seconds, history size and result of the workflow."""
    client = await connected(address)
    request = EtlRequest.model_validate(
        {
            **EXAMPLE,
            "etlId": f"etl-{source.stem}",
            "targetIntegration": {"integrationId": f"{system}-main"},
            "optimize": False,
            "source": {"kind": "file", "uri": source.as_uri(), "format": "csv"},
        }
    )
    started = time.perf_counter()
    handle = await client.start_workflow(
        RunWarehouseEtl.run, request, id=f"bench-{source.stem}", task_queue=ORCHESTRATION_QUEUE
    )
    result = await handle.result()
    taken = time.perf_counter() - started
    described = await handle.describe()
    return {
        "ours_s": taken,
        "history_bytes": described.raw_description.workflow_execution_info.history_size_bytes,
        "history_events": described.history_length,
        "created": result.books.created,
        "rejected": result.books.rejected,
    }


def measure(system: str, rows: int, dirty: float) -> dict[str, Any]:
    """Return both paths' figures for one data set."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("bare", "ours", "bare-warehouse", "warehouse"):
            (folder / name).mkdir()
        # Both paths load a few rows first: a worker and a script that have just started measure their imports.
        sources = [folder / "ours" / f"weddings-{size}.csv" for size in (_WARM_UP_ROWS, rows)]
        for source, size in zip(sources, (_WARM_UP_ROWS, rows), strict=True):
            write(DataSet(size, 7, dirty), source, file_format="csv", layout="raw-csv")
        with STAND_INS[system](folder / "bare-warehouse") as place:
            bare_s = bare(system, place, sources, folder / "bare")
        with (
            STAND_INS[system](folder / "warehouse") as place,
            temporal(folder) as address,
            worker(system, address, place, folder / "ours") as peak,
        ):
            for source in sources:
                figures = asyncio.run(ours(system, address, source))
            figures["peak_rss_mb"] = round(peak())
    return {"rows": rows, "bare_s": bare_s, "ratio": figures["ours_s"] / bare_s, **figures}


@contextmanager
def worker(system: str, address: str, place: Place, folder: Path) -> Iterator[Callable[[], float]]:
    """Run the worker in a process of its own; yields a function that returns its highest resident size, in MB."""
    (folder / _PLACE).write_text(json.dumps(asdict(place)))
    command = [sys.executable, "-m", "tests.benchmarks.bench_etl", "--warehouse", system, "--serve", address]
    process = subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with sampled(process.pid) as peak:
            yield peak
    finally:
        process.terminate()
        process.wait(timeout=30)


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warehouse", choices=sorted(STAND_INS), default="snowflake")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dirty-ratio", type=float, default=0.02)
    parser.add_argument("--serve", nargs=2, metavar=("ADDRESS", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        address, folder = options.serve
        place = Place(**json.loads((Path(folder) / _PLACE).read_text()))
        asyncio.run(serve(options.warehouse, address, place, Path(folder)))
        return
    figures = measure(options.warehouse, options.rows, options.dirty_ratio)
    print(json.dumps({name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()}))  # noqa: T201


if __name__ == "__main__":
    main()
