"""Every measurement in one run, each beside its bare path: `make bench`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from tests.benchmarks.figures import Row, run
from tests.benchmarks.loads import dlt, growth, others, redshift, snowflake


def sync() -> list[Row]:
    """Return the figures of a sync into the HubSpot stand-in and of its repeat."""
    found = run("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/benchmarks/bench_sync.py")
    name, many = "2,000 weddings into HubSpot", f"{found['many']:,} weddings into HubSpot"
    return [
        Row(f"{name}: batch calls, first run", found["calls_first"], 25, "calls"),
        Row(f"{name}: batch calls, repeated run", found["calls_repeat"], 25, "calls"),
        Row(f"{name}: writes, repeated run", found["writes_repeat"], 0, "calls"),
        Row(f"{name}: ours", found["ours_s"], None, "s"),
        Row(f"{name}: bare path", found["bare_s"], None, "s"),
        Row(f"{name}: ours / bare path", found["ratio"], None, "x"),
        Row(f"{many}: first sync", found["many_first_s"], None, "s"),
        Row(f"{many}: since the last sync / first, nothing changed", found["many_incremental_ratio"], 0.15, "x"),
        Row(f"{many}: whole, every record asked for / first, nothing changed", found["many_full_ratio"], None, "x"),
        Row(f"{many}: writes of both repeats", found["many_writes_repeat"], 0, "calls"),
    ]


def bulk() -> list[Row]:
    """Return the figures of a sync into the Salesforce stand-in as a bulk job, and of its repeat."""
    found = run("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/benchmarks/bench_bulk.py")
    name = "10,000 weddings into Salesforce"
    return [
        Row(f"{name}: bulk jobs", found["jobs"], 1, "jobs"),
        Row(f"{name}: calls, first run", found["calls_first"], 25, "calls"),
        Row(f"{name}: calls, repeated run", found["calls_repeat"], 60, "calls"),
        Row(f"{name}: ours", found["ours_s"], None, "s"),
        Row(f"{name}: bare path", found["bare_s"], None, "s"),
        Row(f"{name}: ours / bare path", found["ratio"], None, "x"),
    ]


def memory() -> list[Row]:
    """Return the figures of the worker of one large sync."""
    found = run("-m", "tests.benchmarks.bench_memory")
    name = f"{found['rows']:,} weddings into Tableau"
    return [
        Row(f"{name}: worker's peak memory", found["peak_mb"], 512, "MB"),
        Row(f"{name}: worker's memory before", found["resting_mb"], None, "MB"),
        Row(f"{name}: rows missing", found["missing"], 0, "rows"),
        Row(f"{name}: ours", found["seconds"], None, "s"),
    ]


def notify() -> list[Row]:
    """Return the figures of one notification to three systems."""
    found = run("-m", "tests.benchmarks.bench_notify")
    name = "one notification to three systems"
    return [
        Row(f"{name}: p50", found["p50_ms"], 150, "ms"),
        Row(f"{name}: p95", found["p95_ms"], 400, "ms"),
        Row(f"{name}: bare path, p50", found["bare_p50_ms"], None, "ms"),
        Row(f"{name}: p50 ours / bare path", found["ratio"], None, "x"),
    ]


def batch() -> list[Row]:
    """Return the figures of many notifications to three systems as one run."""
    found = run("-m", "tests.benchmarks.bench_batch")
    name = f"{found['items']:,} notifications to three systems"
    return [
        Row(f"{name}: ours", found["ours_s"], 12, "s"),
        Row(f"{name}: plain script, one call each", found["bare_s"], None, "s"),
        Row(f"{name}: ours / plain script", found["ratio"], 1, "x"),
        Row(f"{name}: history events per notification and system", found["events_per_delivery"], 0.5, "events"),
        Row(f"{name}: vendor calls", found["vendor_calls"], None, "calls"),
    ]


def health() -> list[Row]:
    """Return the figures of thousands of integrations checked in one round."""
    found = run("-m", "tests.benchmarks.bench_health")
    name = f"{found['integrations']:,.0f} integrations checked"
    return [
        Row(f"{name}: one round", found["round_s"], 300, "s"),
        Row(f"{name}: one check, p95", found["check_p95_s"], 2, "s"),
        Row(f"{name}: not found healthy", found["not_healthy"], 0, "checks"),
        Row(f"{name}: alerts though nothing changed", found["alerts"], 0, "alerts"),
        Row(f"{name}: workers' memory, second round / first", found["memory_ratio"], 1.1, "x"),
    ]


def limits() -> list[Row]:
    """Return how exactly two worker processes keep two vendors' limits."""
    found = run("-m", "tests.benchmarks.bench_limits")
    rows = []
    for name, limit, window in (("slack", 20, "1 s"), ("hubspot", 190, "10 s")):
        figures, title = found[name], f"{limit} requests per {window}, two processes"
        rows += [
            Row(f"{title}: most in any window", figures["most_in_window"], limit, "requests"),
            Row(f"{title}: share left unused", 1 - figures["used"], 0.15, ""),
            Row(f"{title}: refused by the vendor", figures["refused"], 0, "requests"),
        ]
    return rows


def fairness() -> list[Row]:
    """Return what a quiet organisation notices of one that queues 20,000 items."""
    found = run("-m", "tests.benchmarks.bench_fairness")
    name = "a notification beside 20,000 of another organisation"
    return [
        Row(f"{name}: p95", found["beside_p95_ms"], None, "ms"),
        Row(f"{name}: p95 / p95 on an idle stack", found["ratio"], 2, "x"),
        Row("a notification while the 20,000 are being started: p95", found["during_p95_ms"], None, "ms"),
        Row("what the noisy one is granted meanwhile by its vendor", found["noisy_beside_per_s"], None, "/s"),
    ]


def emergency() -> list[Row]:
    """Return how soon an emergency reaches its first channel, and what it costs the bulk work beside it."""
    found = run("-m", "tests.benchmarks.bench_emergency")
    name = "an emergency's first channel"
    beside = f"{name} beside {found['items']:,.0f} notifications"
    return [
        Row(f"{name}: p50", found["idle_p50_ms"], None, "ms"),
        Row(f"{name}: p99", found["idle_p99_ms"], 300, "ms"),
        Row(f"{name}, one channel silent: longest", found["dead_1_ms"], 3_300, "ms"),
        Row(f"{name}, two channels silent: longest", found["dead_2_ms"], 6_300, "ms"),
        Row(f"{beside}: p99", found["beside_p99_ms"], 1_000, "ms"),
        Row("notifications a second, two emergencies a second beside them", found["bulk_beside_per_s"], None, "/s"),
        Row("notifications a second, alone", found["bulk_alone_per_s"], None, "/s"),
    ]


def keys() -> list[Row]:
    """Return the figures of a rotation of the master key under syncs, with its worker killed midway."""
    found = run("-m", "tests.benchmarks.bench_keys")
    name = "rotation of the master key under syncs"
    return [
        Row(f"{name}: credentials", found["credentials"], None, "records"),
        Row(f"{name}: failed syncs of {found['syncs']}", found["failed_syncs"], 0, "syncs"),
        Row(f"{name}: left under the old key", found["left_under_old"], 0, "records"),
        Row(f"{name}: not open under the new key", found["credentials"] - found["open_under_new"], 0, "records"),
        Row(f"{name}: with a killed worker", found["seconds"], None, "s"),
    ]


def storm() -> list[Row]:
    """Return what a storm of signals leaves of itself at one wedding."""
    found = run("-m", "tests.benchmarks.bench_storm")
    name = f"{found['signals']:,} signals to one wedding"
    return [
        Row(f"{name}: lost", found["lost"], 0, "signals"),
        Row(f"{name}: taken twice", found["taken_twice"], 0, "signals"),
        Row(f"{name}: ended on another day", found["wrong_days"], 0, ""),
        Row(f"{name}: messages sent more than once", found["messages_beyond_once"], 0, "messages"),
        Row(f"{name}: runs of the timeline", found["runs"], None, "runs"),
        Row(f"{name}: until all are taken", found["seconds"], None, "s"),
    ]


def tokens() -> list[Row]:
    """Return the figures of tokens that end together, calm and with workers killed."""
    found = run("-m", "tests.benchmarks.bench_tokens")
    count = found["connections"]
    name = f"{count:,} tokens ending within 10 s, 3 workers"
    killed = f"{found['active_killed'] + found['parked_killed']} tokens, {found['kills']} workers killed"
    return [
        Row(f"{name}: token requests", found["requests"], count, "calls"),
        Row(f"{name}: spent tokens used again", found["reuse"], 0, ""),
        Row(f"{name}: failed syncs of {found['syncs']}", found["failed_syncs"], 0, ""),
        Row(f"{name}: parked", found["parked"], 0, ""),
        Row(f"{name}: until all are renewed", found["seconds"], None, "s"),
        Row(f"{killed}: token requests", found["requests_killed"], None, "calls"),
        Row(f"{killed}: parked for the tenant, answer lost", found["parked_killed"], None, ""),
        Row(f"{killed}: token requests in the 20 s after", found["requests_later"], 0, "calls"),
    ]


def kills() -> list[Row]:
    """Return how long a step waits for another worker when its own is killed."""
    found = run("-m", "tests.benchmarks.bench_kill")
    steps = {"push": "a push", "extract": "an extract", "marts": "a merge into the marts"}
    return [Row(f"worker killed in {name}: until another went on", found[key], 10, "s") for key, name in steps.items()]


def transform() -> list[Row]:
    """Return the figures of a report filtered, judged by a CEL rule and mapped."""
    found = run("-m", "tests.benchmarks.bench_transform")
    name = f"{found['rows']:,} weddings transformed"
    return [
        Row(f"{name}: ours", found["ours_s"], 20, "s"),
        Row(f"{name}: plain DuckDB script", found["bare_s"], None, "s"),
    ]


def measured(sizes: list[int]) -> Iterator[Row]:
    """Yield every row as it is measured."""
    yield from notify()
    yield from batch()
    yield from health()
    yield from sync()
    yield from tokens()
    yield from limits()
    yield from fairness()
    yield from emergency()
    yield from bulk()
    yield from memory()
    yield from keys()
    yield from kills()
    yield from transform()
    yield from storm()
    plain, table = dlt()
    yield from table
    yield from redshift(plain)
    yield from others()
    loads = []
    for rows in sizes:
        found, table = snowflake(rows)
        loads.append(found)
        yield from table
    yield from growth(loads)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="100000,1000000,5000000", help="sizes of the loads, comma-separated")
    sizes = [int(size) for size in parser.parse_args().rows.split(",")]
    table = Table("figure", "found", "limit", "unit", "")
    for row in measured(sizes):
        limit = "" if row.limit is None else f"{row.limit:g}"
        table.add_row(row.what, f"{row.found:,.2f}", limit, row.unit, row.verdict)
        sys.stderr.write(f"{row.what}: {row.found:,.2f} {row.unit}\n")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
