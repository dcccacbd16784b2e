"""How far the running step of a sync is: what it heartbeats, and where its successor resumes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from temporalio import activity

from contracts.dataset import DatasetRef
from contracts.errors import Owner, Permanent, Transient
from contracts.sync import RecordResult
from contracts.sync_steps import ExtractProgress, PushProgress, RemovalProgress, RetryBudget, counted

P = TypeVar("P", ExtractProgress, PushProgress, RemovalProgress)

_HELD_ROUNDS = 3
WITHOUT_PROGRESS = timedelta(hours=12)
"""How long a step is repeated that does not come any further; one that does has a longer time (`policies.SYNC`)."""


class Pulse(Generic[P]):
    """What the running activity last reported as its resume point.

    Args:
        progress: the first one, reported at once, so that an attempt that comes no further is counted.
    """

    def __init__(self, progress: P) -> None:
        self.progress: P = progress
        activity.heartbeat(progress)

    def beat(self, progress: P) -> None:
        """Report a new resume point."""
        self.progress = _renewed(self.progress, progress)
        activity.heartbeat(self.progress)


def _renewed(before: P, now: P) -> P:
    """Return the resume point with a whole budget if it is ahead of the one before."""
    if now.units <= before.units:
        return now
    return now.model_copy(update={"budget": RetryBudget(progressed_at=datetime.now(UTC))})


def spent(budget: RetryBudget, now: datetime) -> RetryBudget:
    """Return the budget of the attempt that begins now.

    Raises:
        Permanent: `no_progress`, nothing has come of the attempts for too long.
    """
    if budget.progressed_at is None:
        return RetryBudget(progressed_at=now)
    if now - budget.progressed_at > WITHOUT_PROGRESS:
        raise Permanent(
            "no_progress",
            f"For {WITHOUT_PROGRESS.total_seconds() / 3600:.0f} hours no attempt of this step came any further.",
            owner=Owner.OPERATOR,
            action="See in the run's history why its attempts failed, then start it again; what stands stays.",
            operation="sync",
            evidence={"attempts": budget.stalled + 1},
        )
    return RetryBudget(progressed_at=budget.progressed_at, stalled=budget.stalled + 1)


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


def resume(model: type[P]) -> Pulse[P]:
    """Begin at the resume point of an earlier attempt, or afresh.

    Raises:
        Permanent: `no_progress`.
    """
    details = activity.info().heartbeat_details
    found = model.model_validate(details[0]) if details else model()
    return Pulse(found.model_copy(update={"budget": spent(found.budget, datetime.now(UTC))}))


def _still_held(waiting: int) -> Transient:
    return Transient(
        "records_held",
        f"{waiting} records could not be taken for the moment; the others stand.",
        operation="sync.push_records",
    )
