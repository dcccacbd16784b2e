"""The figures of loads into the warehouses' stand-ins, beside their bare paths and dlt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.benchmarks.figures import Row, run

_SHORT, _LONG = 100_000, 1_000_000
"""Rows of the loads that are run three times, and most rows of one that has no more memory than these."""


def load(system: str, rows: int, dirty: float = 0.02) -> dict[str, Any]:
    """Return the figures of a load into a warehouse's stand-in; of a short one the middle of three runs."""
    asked = ("--warehouse", system, "--rows", str(rows), "--dirty-ratio", str(dirty))
    runs = [run("-m", "tests.benchmarks.bench_etl", *asked) for _ in range(3 if rows == _SHORT else 1)]
    return sorted(runs, key=lambda figures: figures["ratio"])[len(runs) // 2]


def snowflake(rows: int) -> tuple[dict[str, Any], list[Row]]:
    """Return the figures of a load into the Snowflake stand-in."""
    found, name = load("snowflake", rows), f"{rows:,} weddings into Snowflake"
    return found, [
        Row(f"{name}: ours", found["ours_s"], 8 if rows == _SHORT else None, "s"),
        Row(f"{name}: bare path", found["bare_s"], None, "s"),
        Row(f"{name}: ours / bare path", found["ratio"], 2, "x"),
        Row(f"{name}: worker's peak memory", found["peak_rss_mb"], 600 if rows <= _LONG else 1_200, "MB"),
        Row(f"{name}: history", found["history_bytes"] / 1_000, 200, "KB"),
        Row(f"{name}: history", found["history_events"], 500, "events"),
    ]


def growth(loads: list[dict[str, Any]]) -> list[Row]:
    """Return how the figures of larger loads compare with those of the smallest."""
    small, rows = loads[0], []
    for large in loads[1:]:
        name = f"{large['rows']:,} / {small['rows']:,} weddings"
        grown = [large[path] / large["rows"] / (small[path] / small["rows"]) for path in ("ours_s", "bare_s")]
        memory = 1.2 if large["rows"] <= _LONG else None
        rows += [
            Row(f"{name}: seconds per wedding", grown[0], 1.3, "x"),
            Row(f"{name}: seconds per wedding, bare path", grown[1], None, "x"),
            Row(f"{name}: worker's peak memory", large["peak_rss_mb"] / small["peak_rss_mb"], memory, "x"),
        ]
    return rows


def redshift(plain: dict[str, Any]) -> list[Row]:
    """Return the figures of a whole load into the Redshift stand-in beside dlt, which brings the rows and no more."""
    found, name = load("redshift", _SHORT, dirty=0), f"{_SHORT:,} weddings into Redshift"
    return [
        Row(f"{name}: ours", found["ours_s"], None, "s"),
        Row(f"{name}: ours / dlt, arrow, append", found["ours_s"] / plain["arrow_append_s"], 1, "x"),
        Row(f"{name}: ours / dlt, dicts, append", found["ours_s"] / plain["dicts_append_s"], 0.25, "x"),
        Row(f"{name}: ours / bare path", found["ratio"], None, "x"),
    ]


def others() -> Iterator[Row]:
    """Yield the figures of loads into the stand-ins of the further warehouses."""
    for system, title, limit in (
        ("bigquery", "BigQuery", 2.5),
        ("databricks", "Databricks", 2.5),
        ("synapse", "Synapse", None),
    ):
        found, name = load(system, _SHORT), f"{_SHORT:,} weddings into {title}"
        yield Row(f"{name}: ours", found["ours_s"], None, "s")
        yield Row(f"{name}: bare path", found["bare_s"], None, "s")
        yield Row(f"{name}: ours / bare path", found["ratio"], limit, "x")


def dlt() -> tuple[dict[str, Any], list[Row]]:
    """Return the figures of dlt, which brings the same weddings into one table and judges none of them."""
    found = run("-m", "tests.benchmarks.bench_dlt")
    name = f"dlt, {found['rows']:,} weddings into PostgreSQL"
    kinds = [("arrow", "append"), ("arrow", "merge"), ("dicts", "append")]
    seconds = [Row(f"{name}: {a}, {b}", found[f"{a}_{b}_s"], None, "s") for a, b in kinds]
    memory = [Row(f"{name}: {a}, {b}, peak memory", found[f"{a}_{b}_mb"], None, "MB") for a, b in kinds]
    return found, seconds + memory
