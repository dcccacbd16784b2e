"""Planning a wedding's steps."""

from __future__ import annotations

from temporalio import activity

from activities.transform import timeline
from contracts.wedding import PlanTimelineInput, PlanTimelineResult


@activity.defn(name="timeline.plan")
async def plan(request: PlanTimelineInput) -> PlanTimelineResult:
    """Return the wedding's steps as of an instant.

    An activity, though it is pure: the zone rules it reads may change between a run and its replay.
    """
    return PlanTimelineResult(steps=timeline.plan(request.state, request.now))
