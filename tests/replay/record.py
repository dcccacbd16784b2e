"""Record histories: `python -m tests.replay.record [NAME ...]`, after a change that old runs need not survive."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHandle

from tests.replay import (
    automation_stories,
    booking_stories,
    emergency_stories,
    house_stories,
    integration_stories,
    notification_stories,
    routing_stories,
    sync_stories,
    warehouse_stories,
    wedding_stories,
)

HISTORIES = Path(__file__).parent / "histories"


_STORIES = (
    automation_stories,
    booking_stories,
    emergency_stories,
    house_stories,
    integration_stories,
    notification_stories,
    routing_stories,
    sync_stories,
    warehouse_stories,
    wedding_stories,
)
PLAYS: dict[str, Callable[[], AbstractAsyncContextManager[WorkflowHandle[Any, Any]]]] = {
    play.__name__: play for module in _STORIES for play in module.PLAYS
}


def scrubbed(value: Any) -> Any:
    """Return a history without what tells of the machine it was recorded on."""
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: scrubbed(item) for name, item in value.items() if name not in {"stackTrace", "binaryChecksum"}}
    told = {"identity": "recorder"} if "identity" in kept else {}
    # A worker's own queue bears the name of its machine.
    return kept | told | ({"name": "recorder"} if kept.get("kind") == "TASK_QUEUE_KIND_STICKY" else {})


async def main() -> None:
    """Play every story and write its history."""
    HISTORIES.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or list(PLAYS)
    for name, play in ((name, PLAYS[name]) for name in wanted):
        async with play() as handle:
            history = scrubbed(json.loads((await handle.fetch_history()).to_json()))
        (HISTORIES / f"{name}.json").write_text(json.dumps(history, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
