"""What dlt takes to bring weddings into PostgreSQL: `python -m tests.benchmarks.bench_dlt` prints one JSON line.

dlt neither judges nor models the rows here: it makes one table of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from emulators.wedding_files import write
from emulators.wedding_rows import DataSet
from tests.support.postgres import OWNER, PASSWORD, Postgres

ROOT = Path(__file__).parents[2]
INTERPRETER = ROOT / ".venv-dlt" / "bin" / "python"
KINDS = (("arrow", "append"), ("arrow", "merge"), ("dicts", "append"))
_PATIENCE_S = 900


def measured(rows: int, repeats: int) -> dict[str, float]:
    """Return median seconds and highest peak memory of each kind of load, each time into a new schema."""
    found: dict[str, float] = {"rows": rows}
    server = Postgres()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weddings.parquet"
            write(DataSet(rows, 7, 0.0), path, file_format="parquet", layout="raw-csv")
            for shape, disposition in KINDS:
                runs = [_load(server, path, rows, shape, disposition) for _ in range(repeats)]
                found[f"{shape}_{disposition}_s"] = median(run["seconds"] for run in runs)
                found[f"{shape}_{disposition}_mb"] = max(run["peak_rss_mb"] for run in runs)
    finally:
        server.stop()
    return found


def _load(server: Postgres, path: Path, rows: int, shape: str, disposition: str) -> dict[str, Any]:
    schema = f"dlt_{shape}_{disposition}"
    asyncio.run(server.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
    url = f"postgresql://{OWNER}:{PASSWORD}@127.0.0.1:{server.port}/postgres"
    program = str(Path(__file__).parent / "dlt" / "load.py")
    command = [str(INTERPRETER), program, str(path), url, shape, disposition]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True)
    held = asyncio.run(server.fetch(f"SELECT count(*) FROM {schema}.weddings"))[0][0]
    if held != rows:
        message = f"dlt brought {held} of {rows} rows ({shape}, {disposition})"
        raise RuntimeError(message)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    sys.stdout.write(json.dumps(measured(given.rows, given.repeats)) + "\n")


if __name__ == "__main__":
    main()
