"""Looking around a resource: what other systems know to be taken, and what is free instead."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from contracts.conflict import Alternative, BookingConflict
    from contracts.names import system_queue
    from contracts.notification import Slot
    from contracts.resource_day import (
        AskOwner,
        BusySpan,
        BusySpans,
        FindSlot,
        FoundSlot,
        LookAround,
        RankAlternatives,
        RankedAlternatives,
        ReadBookings,
        ReadCalendar,
        ResourceDayKey,
        SlotAnswer,
        SlotCommand,
        Sources,
        SystemRef,
    )
    from contracts.sync import SyncPriority
    from workflows import policies

_AFRESH = 0.0
_A_DAY_S = 86_400.0


async def sources_of(day: ResourceDayKey, *, max_age_s: float = _AFRESH) -> Sources:
    """Return the systems that know about a resource around its day."""
    found: Sources = await workflow.execute_local_activity(
        "bookings.sources",
        LookAround(day=day, max_age_s=max_age_s),
        result_type=Sources,
        **policies.local_options(policies.LOCAL),
    )
    return found


async def bring_up_to_date(sources: Sources, policy: policies.Policy) -> None:
    """Have the mirror of the booking system read what changed there, unless it is fresh."""
    if sources.stale:
        await workflow.execute_activity(
            "bookings.refresh",
            ReadBookings(source=sources.bookings),
            task_queue=system_queue(sources.bookings.system),
            summary=f"{sources.bookings.system}: read bookings",
            priority=_priority(sources.bookings),
            **policy.options(),
        )


async def calendar_spans(sources: Sources, policy: policies.Policy) -> list[BusySpan]:
    """Return what the connected calendars say about the resource and others of its kind."""
    answers = await asyncio.gather(*(_read(source, sources, policy) for source in sources.calendars))
    return [span for answer in answers for span in answer.spans]


async def _read(source: SystemRef, sources: Sources, policy: policies.Policy) -> BusySpans:
    found: BusySpans = await workflow.execute_activity(
        "bookings.read_calendar",
        ReadCalendar(
            source=source, resource_ids=sources.resource_ids, starts_at=sources.starts_at, ends_at=sources.ends_at
        ),
        result_type=BusySpans,
        task_queue=system_queue(source.system),
        summary=f"{source.system}: read the calendar",
        priority=_priority(source),
        **policy.options(),
    )
    return found


async def ranked(
    day: ResourceDayKey, wanted: Slot, bookings: Sequence[str], sources: Sources, calendar: Sequence[BusySpan]
) -> RankedAlternatives:
    """Return the free slots that could be taken instead of the wanted one, and what is taken on the day."""
    found: RankedAlternatives = await workflow.execute_local_activity(
        "bookings.rank",
        RankAlternatives(
            day=day,
            wanted=wanted,
            booking_ids=list(bookings),
            calendar=list(calendar),
            resource_ids=sources.resource_ids,
            now=workflow.now(),
        ),
        result_type=RankedAlternatives,
        **policies.local_options(policies.LOCAL),
    )
    return found


async def found_slot(organization_id: str, integration_id: str, conflict: BookingConflict) -> FoundSlot:
    """Return the slot that a conflict is about, as the mirror knows it."""
    found: FoundSlot = await workflow.execute_local_activity(
        "bookings.locate",
        FindSlot(organization_id=organization_id, integration_id=integration_id, conflict=conflict),
        result_type=FoundSlot,
        **policies.local_options(policies.LOCAL),
    )
    return found


@dataclass(frozen=True)
class Contested:
    """The slot of a conflict, and what is free instead."""

    found: FoundSlot
    sources: Sources
    alternatives: list[Alternative]


async def contested(organization_id: str, integration_id: str, conflict: BookingConflict) -> Contested:
    """Ask the booking system and the calendars about a conflict; waits as long as they are away."""
    first = await found_slot(organization_id, integration_id, conflict)
    sources = await sources_of(first.day)
    await bring_up_to_date(sources, policies.READING)
    found = await found_slot(organization_id, integration_id, conflict)
    sources = await sources_of(found.day, max_age_s=_A_DAY_S)
    calendar = await calendar_spans(sources, policies.READING)
    # The sessions that the decision is about are no obstacle to the booking that moves.
    moving = [conflict.conflicting_booking_id]
    ranking = await ranked(found.day, found.slot, moving, sources, calendar)
    return Contested(found, sources, ranking.alternatives)


async def ask_owner(day: ResourceDayKey, command: SlotCommand, policy: policies.Policy = policies.STORE) -> SlotAnswer:
    """Ask the owner of a day from within another run."""
    answer: SlotAnswer = await workflow.execute_activity(
        "bookings.ask_owner",
        AskOwner(day=day, command=command),
        result_type=SlotAnswer,
        summary=f"{command.kind.value} {command.hold_id}",
        priority=policies.priority(SyncPriority.HIGH, day.organization_id),
        **policy.options(),
    )
    return answer


def _priority(source: SystemRef) -> Priority:
    return policies.connection_priority(SyncPriority.HIGH, source.organization_id, source.integration_id)
