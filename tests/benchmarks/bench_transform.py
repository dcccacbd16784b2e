"""A report transformed: beside a plain DuckDB script that selects, judges and computes the same from the same file."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
from temporalio.testing import ActivityEnvironment

from contracts.transformation import DataTransformation
from emulators.wedding_files import write
from emulators.wedding_rows import DataSet
from tests.orchestration.test_transform_report import EXAMPLE, House

PLAIN = """
COPY (
    SELECT upper(wedding_id) AS "weddingId", adults + children AS guests, round(price * nights, 2) AS revenue,
        event_day AS day
    FROM read_csv('{source}') WHERE status <> 'cancelled' AND CAST(price AS DOUBLE) > 5000.0
) TO '{target}' (FORMAT parquet)
"""


async def ours(folder: Path, source: Path) -> tuple[float, int]:
    """Return the seconds of the activity that transforms, and how many records it made."""
    house = House(folder)
    asked = {**EXAMPLE, "source": {"kind": "file", "uri": source.as_uri(), "format": "csv"}}
    started = time.perf_counter()
    done = await ActivityEnvironment().run(house.activities()[1], DataTransformation.model_validate(asked))
    seconds = time.perf_counter() - started
    await house.database.aclose()
    return seconds, done.books.created


def bare(folder: Path, source: Path) -> tuple[float, int]:
    """Return the same of the plain script, which stages nothing, seals nothing, and tells no reasons."""
    target = folder / "bare.parquet"
    started = time.perf_counter()
    with duckdb.connect() as connection:
        connection.execute(PLAIN.format(source=source, target=target))
        seconds = time.perf_counter() - started
        found = connection.execute(f"SELECT count(*) FROM '{target}'").fetchone()
    return seconds, int(found[0]) if found else 0


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "weddings.csv"
        write(DataSet(rows, 7, 0.0), source, file_format="csv", layout="raw-csv")
        plain_s, expected = bare(folder, source)
        seconds, made = asyncio.run(ours(folder, source))
    if made != expected:
        message = f"{made} records were made, the plain script made {expected}"
        raise SystemExit(message)
    found: dict[str, Any] = {"rows": rows, "ours_s": seconds, "bare_s": plain_s, "ratio": seconds / plain_s}
    print(json.dumps(found))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
