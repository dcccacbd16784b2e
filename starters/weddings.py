"""The typed facade of weddings: telling them what happened, looking at them, deciding, re-opening."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio.client import Client, RPCError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCStatusCode

from contracts import names
from contracts.errors import InvalidInput, WedSyncError
from contracts.facts import StepDecision
from contracts.names import WorkflowType
from contracts.recall import RecallReport
from contracts.sync import SyncPriority
from contracts.wedding import WeddingEvent, WeddingEventType, WeddingRun, WeddingState
from starters.automations import Automations, changed
from starters.failures import as_error, detail_of, not_found, translated
from workflows.policies import priority


class Weddings:
    """What the doors can ask about weddings.

    Args:
        client: from the one factory, so that payloads are sealed.
        automations: started by what happens to weddings.
        answer_timeout_s: how long to wait for a worker to answer, in seconds.
    """

    def __init__(self, client: Client, automations: Automations, *, answer_timeout_s: float) -> None:
        self._client = client
        self._automations = automations
        self._answer_timeout_s = answer_timeout_s

    async def tell(self, organization_id: str, wedding_id: str, event: WeddingEvent) -> WeddingState:
        """Tell a wedding what happened to it and return its state afterwards; one that has ended can be re-opened.

        Idempotent: yes, by `event.event_id`.

        Raises:
            InvalidInput: there is no such wedding, or its timeline has ended.
        """
        state = await self._told(organization_id, wedding_id, event)
        await self._automations.happened(changed(event, state))
        return state

    async def _told(self, organization_id: str, wedding_id: str, event: WeddingEvent) -> WeddingState:
        try:
            return await self._update(organization_id, wedding_id, "apply_event", event)
        except InvalidInput as error:
            if error.detail.code != "wedding_closed" or event.type is not WeddingEventType.REOPENED:
                raise
        await self._begin_again(organization_id, wedding_id)
        return await self._update(organization_id, wedding_id, "apply_event", event)

    async def decide(self, organization_id: str, wedding_id: str, decision: StepDecision) -> WeddingState:
        """Answer a step or a dispute that waits for a person.

        Idempotent: yes, the same answer given again is one.

        Raises:
            InvalidInput: there is no such wedding, or nothing of that id waits.
        """
        return await self._update(organization_id, wedding_id, "decide_step", decision)

    async def state(self, organization_id: str, wedding_id: str) -> WeddingState:
        """Return a wedding's timeline.

        Raises:
            InvalidInput: there is no such wedding.
            Transient: no worker answers.
        """
        handle = self._handle(organization_id, wedding_id)
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                state: WeddingState = await handle.query("state", result_type=WeddingState)
        except RPCError as error:
            raise await _no_wedding(error, handle) from error
        except Exception as error:
            raise as_error(detail_of(error)) from error
        return state

    async def recall_progress(self, organization_id: str, wedding_id: str, recall_id: str) -> RecallReport:
        """Return how far a recall is.

        Raises:
            InvalidInput: there is no such recall.
            Transient: no worker answers.
        """
        handle = self._client.get_workflow_handle(names.recall_workflow_id(organization_id, wedding_id, recall_id))
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                report: RecallReport = await handle.query("progress", result_type=RecallReport)
        except RPCError as error:
            raise (not_found() if error.status is RPCStatusCode.NOT_FOUND else as_error(detail_of(error))) from error
        except Exception as error:
            raise as_error(detail_of(error)) from error
        return report

    async def _update(
        self, organization_id: str, wedding_id: str, name: str, argument: WeddingEvent | StepDecision
    ) -> WeddingState:
        handle = self._handle(organization_id, wedding_id)
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                state: WeddingState = await handle.execute_update(name, argument, result_type=WeddingState)
        except RPCError as error:
            raise await _no_wedding(error, handle) from error
        except Exception as error:
            raise as_error(detail_of(error)) from error
        return state

    async def _begin_again(self, organization_id: str, wedding_id: str) -> None:
        """Start a timeline that ended where it ended."""
        handle = self._handle(organization_id, wedding_id)
        with translated():
            ended = await handle.result()
            await self._client.start_workflow(
                WorkflowType.WEDDING_TIMELINE.value,
                WeddingRun(**dict(ended.wedding), resumed=ended.model_copy(update={"closes_at": None})),
                id=handle.id,
                task_queue=names.ORCHESTRATION_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                priority=priority(SyncPriority.NORMAL, organization_id),
                static_summary=f"Timeline of {wedding_id}, re-opened",
            )

    def _handle(self, organization_id: str, wedding_id: str) -> WorkflowHandle[Any, WeddingState]:
        workflow_id = names.wedding_workflow_id(organization_id, wedding_id)
        return self._client.get_workflow_handle(workflow_id, result_type=WeddingState)


async def _no_wedding(error: RPCError, handle: WorkflowHandle[Any, WeddingState]) -> WedSyncError:
    detail = detail_of(error)
    if detail.code != "run_not_found":
        return as_error(detail)
    try:
        await handle.describe()
    except RPCError as missing:
        detail = detail_of(missing)
        if detail.code != "run_not_found":
            return as_error(detail)
        return InvalidInput(
            "wedding_not_found",
            "There is no such wedding in this organisation.",
            action="Start its timeline first with `wedsync weddings start FILE`.",
        )
    return InvalidInput(
        "wedding_closed",
        "The wedding's timeline has ended and takes no more events.",
        action="Re-open it with `wedsync weddings reopen` if it goes on after all.",
    )
