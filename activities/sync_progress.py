"""How far the running step of a sync is: what it heartbeats, and where its successor resumes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from temporalio import activity

from contracts.base import Contract
from contracts.dataset import DatasetRef
from contracts.errors import Transient
from contracts.sync import RecordResult
from contracts.sync_steps import ExtractProgress, PushProgress, counted

C = TypeVar("C", bound=Contract)
P = TypeVar("P", ExtractProgress, PushProgress)

_BEAT_S = 5.0
_HELD_ROUNDS = 3


@dataclass
class Pulse(Generic[C]):
    """What the running activity last reported as its resume point."""

    progress: C

    def beat(self, progress: C) -> None:
        """Report a new resume point."""
        self.progress = progress
        activity.heartbeat(progress)


@asynccontextmanager
async def beating(progress: C) -> AsyncIterator[Pulse[C]]:
    """Heartbeat every five seconds, so that a long vendor call is not taken for a dead worker."""
    pulse = Pulse(progress)

    async def _beat() -> None:
        while True:
            activity.heartbeat(pulse.progress)
            await asyncio.sleep(_BEAT_S)

    task = asyncio.create_task(_beat())
    try:
        yield pulse
    finally:
        task.cancel()


class Push:
    """How far a push is; every change is reported as its resume point."""

    def __init__(self, pulse: Pulse[PushProgress]) -> None:
        self._pulse = pulse

    @property
    def done(self) -> PushProgress:
        """What is accounted for."""
        return self._pulse.progress

    def called(self, calls: int) -> None:
        """Count calls of the vendor."""
        self._note(vendor_calls=self.done.vendor_calls + calls)

    def refuse_held(self, waiting: int) -> None:
        """Let Temporal try again while the vendor could not take single records; after that they stay held.

        Raises:
            Transient: `records_held`.
        """
        if waiting and self.done.held_rounds < _HELD_ROUNDS:
            self._note(held_rounds=self.done.held_rounds + 1)
            raise _still_held(waiting)

    def pushed(self, parts: int, outcomes: DatasetRef, results: Sequence[RecordResult]) -> None:
        """Account for parts that are pushed."""
        self._note(
            parts_done=self.done.parts_done + parts,
            outcomes=[*self.done.outcomes, outcomes],
            books=self.done.books.plus(counted([result.status for result in results])),
        )

    def _note(self, **changes: object) -> None:
        self._pulse.beat(self.done.model_copy(update=changes))


def resume(model: type[P]) -> P:
    """Return the resume point of an earlier attempt, or a fresh one."""
    details = activity.info().heartbeat_details
    return model.model_validate(details[0]) if details else model()


def _still_held(waiting: int) -> Transient:
    return Transient(
        "records_held",
        f"{waiting} records could not be taken for the moment; the others stand.",
        operation="sync.push_records",
    )
