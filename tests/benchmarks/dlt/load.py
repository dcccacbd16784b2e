"""Loads a Parquet file into PostgreSQL with dlt, in dlt's own environment, and prints one JSON line.

`.venv-dlt/bin/python tests/benchmarks/dlt/load.py FILE URL arrow|dicts append|merge`
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time

# Read when the library is imported.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"

import dlt
import pyarrow.parquet as pq
from dlt.destinations import postgres


def main(file: str, url: str, shape: str, disposition: str) -> None:
    """Load the file's rows, already read, and print the seconds and the process's peak memory in MB."""
    rows = pq.read_table(file)
    data = rows if shape == "arrow" else rows.to_pylist()
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            pipeline_name="baseline",
            destination=postgres(credentials=url),
            dataset_name=f"dlt_{shape}_{disposition}",
            pipelines_dir=folder,
        )
        started = time.perf_counter()
        pipeline.run(
            dlt.resource(data, name="weddings", primary_key="wedding_id"), write_disposition=disposition
        ).raise_on_failed_jobs()
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_rss_mb": peak}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:5])
