"""The typed facade of booking conflicts: raising them, following them, deciding them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from temporalio.client import Client, RPCError, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCStatusCode

from activities.bookings import zone_of
from activities.resource_days import FrontDesk
from activities.storage.connections import ConnectionStore, unknown_integration
from contracts import names
from contracts.conflict import (
    BookingConflicts,
    ConflictDecision,
    ConflictResolution,
    DecisionAnswer,
    DecisionMode,
    ResolutionDetail,
)
from contracts.errors import InvalidInput
from contracts.names import WorkflowType
from contracts.resource_day import (
    AskOwner,
    ConfirmBooking,
    SlotAnswer,
    SlotCommand,
    SlotCommandKind,
    day_of,
    resource_day,
)
from contracts.sync import SyncPriority
from starters.failures import AWAY, as_error, detail_of, translated
from starters.runs import Run, run_id_of
from workflows.policies import priority

T = TypeVar("T")

_CARRIED_OUT_WITHIN = timedelta(days=30)
_LISTED = 100
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0


@dataclass(frozen=True)
class ConflictView:
    """One conflict with the run that resolves it."""

    integration_id: str
    run_id: str
    detail: ResolutionDetail


class Conflicts:
    """What the doors can ask about conflicts.

    Args:
        client: from the one factory, so that payloads are sealed.
        connections: the booking systems of an organisation.
        answer_timeout_s: how long to wait for a worker, in seconds.
    """

    def __init__(self, client: Client, connections: ConnectionStore, *, answer_timeout_s: float) -> None:
        self._client = client
        self._desk = FrontDesk(client)
        self._connections = connections
        self._answer_timeout_s = answer_timeout_s

    async def raise_conflicts(self, request: BookingConflicts) -> Run[ConflictResolution]:
        """Start the resolution of conflicts, or join the run of the same conflicts.

        Raises:
            InvalidInput: there is no such integration.
        """
        await self._zone(request.organization_id, request.integration_id)
        wait = 2 * request.decision.deadline if request.decision.mode is DecisionMode.HUMAN else timedelta()
        workflow_id = names.conflict_workflow_id(
            request.organization_id, request.integration_id, *(one.conflict_id for one in request.conflicts)
        )
        with translated():
            handle: WorkflowHandle[object, ConflictResolution] = await self._client.start_workflow(
                WorkflowType.RESOLVE_BOOKING_CONFLICT.value,
                request,
                id=workflow_id,
                task_queue=names.ORCHESTRATION_QUEUE,
                result_type=ConflictResolution,
                execution_timeout=wait + _CARRIED_OUT_WITHIN,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                priority=priority(SyncPriority.HIGH, request.organization_id),
                static_summary=f"Resolve {len(request.conflicts)} booking conflicts",
            )
        return Run(handle, ConflictResolution)

    async def confirm(self, asked: ConfirmBooking) -> SlotAnswer:
        """Give a booking the slot, if nobody else has it; who is refused is told what is free instead.

        Idempotent: yes, by booking and slot.

        Raises:
            InvalidInput: there is no such integration.
            Transient: no worker answers.
        """
        zone, slot = await self._zone(asked.organization_id, asked.integration_id), asked.slot
        day = resource_day(
            asked.organization_id,
            asked.integration_id,
            slot.resource_id,
            day_of(slot.starts_at, zone),
            zone,
        )
        times = slot.starts_at.isoformat(), slot.ends_at.isoformat()
        command = SlotCommand(
            kind=SlotCommandKind.CONFIRM,
            hold_id=names.effect_id(asked.booking_id, slot.resource_id, *times),
            booking_ids=[asked.booking_id],
            slot=slot,
        )
        with translated():
            async with asyncio.timeout(self._answer_timeout_s):
                return await self._ask(AskOwner(day=day, command=command))

    async def _ask(self, request: AskOwner) -> SlotAnswer:
        """Ask the owner of a day, and again when Temporal breaks the question off: the same command has one answer."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await self._desk.ask(request)
            except RPCError as error:
                if error.status not in {*AWAY, RPCStatusCode.RESOURCE_EXHAUSTED}:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def every(self, organization_id: str) -> list[ConflictView]:
        """Return an organisation's conflicts, the newest runs first, a hundred at most."""
        query = (
            f"WorkflowType = '{WorkflowType.RESOLVE_BOOKING_CONFLICT.value}' "
            f"AND {names.SearchAttribute.ORGANIZATION_ID.value} = '{organization_id}'"
        )
        found: list[ConflictView] = []
        with translated():
            async for run in self._client.list_workflows(query, limit=_LISTED):
                of_several = "/all:" in run.id
                if of_several or run.status is WorkflowExecutionStatus.CONTINUED_AS_NEW:
                    continue
                handle: WorkflowHandle[object, ConflictResolution] = self._client.get_workflow_handle(
                    run.id, run_id=run.run_id, result_type=ConflictResolution
                )
                detail = await self._detail(handle, running=run.status is WorkflowExecutionStatus.RUNNING)
                if detail is not None:
                    found.append(ConflictView(run.id.split("/")[2], run_id_of(run.id), detail))
        return found

    async def show(self, organization_id: str, conflict_id: str) -> ConflictView:
        """Return one conflict.

        Raises:
            InvalidInput: there is no such conflict.
        """

        async def act(handle: WorkflowHandle[object, ConflictResolution]) -> ResolutionDetail | None:
            found = await handle.describe()
            return await self._detail(handle, running=found.status is WorkflowExecutionStatus.RUNNING)

        handle, detail = await self._of(organization_id, conflict_id, act)
        if detail is None:
            raise _unknown(conflict_id)
        return ConflictView(handle.id.split("/")[2], run_id_of(handle.id), detail)

    async def decide(self, organization_id: str, conflict_id: str, decision: ConflictDecision) -> DecisionAnswer:
        """Decide a conflict; one that is decided answers with its decision.

        Raises:
            InvalidInput: there is no such conflict.
            Transient: no worker answers.
        """

        async def act(handle: WorkflowHandle[object, ConflictResolution]) -> DecisionAnswer:
            try:
                answer: DecisionAnswer = await handle.execute_update("decide", decision, result_type=DecisionAnswer)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                found = await handle.describe()
                if found.status is WorkflowExecutionStatus.RUNNING:
                    raise
                return _ended(conflict_id, await self._detail(handle, running=False))
            return answer

        return (await self._of(organization_id, conflict_id, act))[1]

    async def _detail(
        self, handle: WorkflowHandle[object, ConflictResolution], *, running: bool
    ) -> ResolutionDetail | None:
        """Return how far a run is; None where it ended without a result."""
        if running:
            async with asyncio.timeout(self._answer_timeout_s):
                found: ConflictResolution = await handle.query("resolution", result_type=ConflictResolution)
        else:
            try:
                found = await handle.result()
            except Exception as error:
                if detail_of(error).code not in _ENDED_FROM_OUTSIDE:
                    raise
                return None
        return next(iter(found.resolution_details), None)

    async def _of(
        self,
        organization_id: str,
        conflict_id: str,
        act: Callable[[WorkflowHandle[object, ConflictResolution]], Awaitable[T]],
    ) -> tuple[WorkflowHandle[object, ConflictResolution], T]:
        """Do something with the run of a conflict, at whichever of the organisation's systems it was reported."""
        for stored in await self._connections.of_organization(organization_id):
            integration_id = stored.configuration.integration_id
            handle = self._client.get_workflow_handle(
                names.conflict_workflow_id(organization_id, integration_id, conflict_id),
                result_type=ConflictResolution,
            )
            try:
                async with asyncio.timeout(self._answer_timeout_s):
                    return handle, await act(handle)
            except RPCError as error:
                if detail_of(error).code != "run_not_found":
                    raise as_error(detail_of(error)) from error
            except Exception as error:
                raise as_error(detail_of(error)) from error
        raise _unknown(conflict_id)

    async def _zone(self, organization_id: str, integration_id: str) -> str:
        with translated():
            stored = await self._connections.get(organization_id, integration_id)
        if stored is None:
            raise unknown_integration(integration_id)
        return zone_of(stored)


_ENDED_FROM_OUTSIDE = {"run_cancelled", "run_terminated", "run_timed_out"}


def _unknown(conflict_id: str) -> InvalidInput:
    return InvalidInput(
        "conflict_not_found",
        f"There is no conflict {conflict_id!r} in this organisation.",
        action="Look for its id with `wedsync conflicts list`.",
    )


def _ended(conflict_id: str, detail: ResolutionDetail | None) -> DecisionAnswer:
    if detail is None or detail.winning_booking_id is None:
        message = "This conflict ended without a decision. Raise it anew if it still stands."
        return DecisionAnswer(accepted=False, conflict_id=conflict_id, message=message)
    return DecisionAnswer(
        accepted=False,
        conflict_id=conflict_id,
        winning_booking_id=detail.winning_booking_id,
        choice=detail.choice,
        decided_by=detail.decided_by,
        message=f"This was decided before by {detail.decided_by}: {detail.winning_booking_id} keeps the slot.",
    )
