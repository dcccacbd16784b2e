"""Asking the source for a wedding's events that did not arrive."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.errors import ErrorDetail
    from contracts.sync import SyncPriority
    from contracts.wedding import Pull, WeddingEvent, WeddingKey, WeddingState
    from workflows import policies
    from workflows.visibility import detail_of


class ClosesGaps:
    """A run that reads its wedding at the source when a gap in the events' numbers stays."""

    _state: WeddingState

    def _take(self, event: WeddingEvent) -> None:
        raise NotImplementedError

    def watch_for_gaps(self) -> None:
        """Begin to close gaps."""
        self._watching = asyncio.create_task(self._watch_for_gaps())

    def leave_gaps(self) -> None:
        """End that; a gap that stands stays in the state, with when the source is to be asked."""
        self._watching.cancel()

    async def _watch_for_gaps(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self._state.gap_since is not None)
            if not workflow.patched("pull-what-is-missing"):
                return
            while self._state.gap_since is not None:
                await self._close_gap(self._state.gap_since)

    async def _close_gap(self, since: datetime) -> None:
        """Ask the source once, unless what is missing arrives before."""
        pull = self._state.pull or Pull(due_at=since + policies.GAP_GRACE)
        self._plan_pull(pull)
        if await self._closes_before(pull.due_at - workflow.now(), since):
            self._plan_pull(None)
            return
        error = await self._pulled()
        if self._state.gap_since != since:
            self._plan_pull(None)
            return
        tries = pull.tries + 1
        pause = min(policies.GAP_GRACE * 2 ** min(tries, _DOUBLINGS), policies.GAP_LONGEST)
        self._plan_pull(Pull(due_at=workflow.now() + pause, tries=tries, error=error))

    async def _closes_before(self, timeout: timedelta, since: datetime) -> bool:
        try:
            await workflow.wait_condition(
                lambda: self._state.gap_since != since,
                timeout=max(timeout, timedelta()),
                timeout_summary="Until missing events have arrived",
            )
        except TimeoutError:
            return False
        return True

    async def _pulled(self) -> ErrorDetail | None:
        """Take the wedding as the source has it; why not, where there is no answer."""
        wedding = self._state.wedding
        try:
            restated: WeddingEvent = await workflow.execute_activity(
                "timeline.pull",
                WeddingKey(organization_id=wedding.organization_id, wedding_id=wedding.wedding_id),
                result_type=WeddingEvent,
                summary="Ask the source for missing events",
                priority=policies.priority(SyncPriority.NORMAL, wedding.organization_id),
                **policies.PULL.options(),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return detail_of(error)
        self._take(restated)
        return None

    def _plan_pull(self, pull: Pull | None) -> None:
        self._state = self._state.model_copy(update={"pull": pull})


_DOUBLINGS = 20
"""More of them would not fit into a pause."""
