"""A storm of signals to one wedding, each counted: `python -m tests.benchmarks.bench_storm` prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from tests.orchestration.test_wedding_interleavings import confirmed, in_real_time
from tests.support.storm import blown, day_of


async def measure(signals: int) -> dict[str, float]:
    """Return the figures of one storm."""
    async with in_real_time() as (client, fake):
        handle = await confirmed(client, "storm")
        began = time.perf_counter()
        state = await blown(client, handle, signals)
        seconds = time.perf_counter() - began
        runs = [run async for run in client.list_workflows(f"WorkflowId = '{handle.id}'")]
        await handle.terminate()
    return {
        "signals": signals,
        "lost": max(0, signals - state.taken),
        "taken_twice": max(0, state.taken - signals),
        "wrong_days": int(str(state.wedding.wedding_date) != day_of(signals - 1)),
        "messages_beyond_once": sum(fake.sent.values()) - len(fake.sent),
        "runs": len(runs),
        "seconds": seconds,
    }


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=20_000)
    figures = asyncio.run(measure(parser.parse_args().signals))
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))  # noqa: T201 - the benchmark's result


if __name__ == "__main__":
    main()
