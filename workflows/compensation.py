"""Finding out what a failed delivery left at the vendors, and taking it back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.effects import RetractStatus, Sighting
    from contracts.notification import DeliveryStatus
    from contracts.sync import SyncPriority
    from workflows.delivery_book import Entry
    from workflows.effects import look_for_effect, retract_effect
    from workflows.visibility import detail_of

T = TypeVar("T")


async def find_out(entry: Entry, word: SyncPriority) -> None:
    """Enter whether an effect stands whose delivery failed or was called off."""
    try:
        found = await look_for_effect(entry.step, word)
    except ActivityError as error:
        entry.note(DeliveryStatus.UNKNOWN, error=detail_of(error))
        return
    if found.sighting is Sighting.STANDS:
        entry.note(DeliveryStatus.SUCCESS, outcome=found.outcome)
    elif found.sighting is Sighting.UNKNOWN:
        entry.note(DeliveryStatus.UNKNOWN)
    elif entry.called_off:
        entry.note(DeliveryStatus.SKIPPED)


async def take_back(entry: Entry, word: SyncPriority) -> None:
    """Take an effect that stands back, and enter whether that was possible."""
    if not entry.step.reversible:
        entry.note(DeliveryStatus.NOT_REVERSIBLE)
        return
    try:
        outcome = await retract_effect(entry.standing(), word)
    except ActivityError as error:
        entry.note(DeliveryStatus.NOT_REVERSIBLE, error=detail_of(error))
        return
    stands = outcome.status is RetractStatus.NOT_REVERSIBLE
    entry.note(DeliveryStatus.NOT_REVERSIBLE if stands else DeliveryStatus.RETRACTED)


async def unhindered(work: Coroutine[Any, Any, T]) -> T:
    """Do the work to its end, though the run is cancelled meanwhile."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # A run is cancelled once; a second time it is only put out of memory.
        return await task
