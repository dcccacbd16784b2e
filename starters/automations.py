"""The typed facade of automations: checking, saving, starting, answering and explaining them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import JsonValue, ValidationError
from temporalio.client import Client, RPCError, WorkflowHandle
from temporalio.service import RPCStatusCode

from activities.automations import check, refused
from activities.storage.automations import AutomationStore
from activities.storage.connections import ConnectionStore
from activities.transform.automation_check import path_of
from activities.transform.automation_insight import insight
from contracts import names
from contracts.actions import ActionAnswer, ActionTaken
from contracts.automation import AutomationDefinition, WorkflowOrchestration
from contracts.automation_check import AutomationCheck, AutomationProblem, ProblemCode
from contracts.automation_insight import AutomationInsight
from contracts.automation_run import AutomationEvent, StepAnswer, WeddingNews, WorkflowResult
from contracts.automation_steps import TriggerEvent, TriggerResult
from contracts.base import Contract, unknown_fields
from contracts.errors import InvalidInput
from contracts.names import WorkflowType
from contracts.notification import WeddingContext
from contracts.sync import SyncPriority
from contracts.wedding import Wedding, WeddingEvent, WeddingEventType, WeddingState
from starters.failures import as_error, detail_of, translated
from starters.runs import Run
from starters.starting import start_or_join
from workflows.policies import AUTOMATION_TIMEOUT, RUN_TIMEOUT, priority

T = TypeVar("T")
_DOOR = "wedsync"
"""Stands for a vendor's system where somebody answers at our own door."""


class Automations:
    """What the doors can ask about automations.

    Args:
        client: from the one factory, so that payloads are sealed.
        connections: what automations can act on.
        store: the saved ones.
        answer_timeout_s: how long to wait for a worker to answer, in seconds.
    """

    def __init__(
        self, client: Client, connections: ConnectionStore, store: AutomationStore, *, answer_timeout_s: float
    ) -> None:
        self._client = client
        self._connections = connections
        self._store = store
        self._answer_timeout_s = answer_timeout_s

    async def check(self, organization_id: str, given: dict[str, JsonValue]) -> AutomationCheck:
        """Return every reason why an automation, as somebody wrote it, would be refused."""
        found = shape_problems({**given, "organizationId": organization_id})
        if found:
            return AutomationCheck(problems=found)
        asked = WorkflowOrchestration.model_validate({**given, "organizationId": organization_id})
        return await self._checked(asked)

    async def start(self, asked: WorkflowOrchestration) -> Run[WorkflowResult]:
        """Start an automation, or join the run of the same orchestration id.

        Raises:
            InvalidInput: `automation_invalid`; the evidence names every place.
        """
        found = await self._checked(asked)
        if found.problems:
            raise refused(found)
        return await start_or_join(
            self._client,
            WorkflowType.RUN_AUTOMATION,
            asked,
            WorkflowResult,
            names.automation_workflow_id(asked.organization_id, asked.orchestration_id),
            priority(asked.priority, asked.organization_id),
            f"Automation {asked.orchestration_id}",
            AUTOMATION_TIMEOUT,
        )

    async def save(self, definition: AutomationDefinition) -> AutomationDefinition:
        """Save an automation as its next version; runs under way keep the one they began with.

        Raises:
            InvalidInput: `automation_invalid`; the evidence names every place.
        """
        with translated():
            found = await check(self._connections, definition.organization_id, definition, None)
            if found.problems:
                raise refused(found)
            return await self._store.save(definition)

    async def saved(self, organization_id: str) -> list[AutomationDefinition]:
        """Return the organisation's automations, the newest version of each."""
        with translated():
            return await self._store.newest(organization_id)

    async def running(self, organization_id: str) -> list[str]:
        """Return the orchestration ids of the runs that have not ended."""
        mine = f"WorkflowType = '{WorkflowType.RUN_AUTOMATION}' AND ExecutionStatus = 'Running'"
        query = f"{mine} AND OrganizationId = '{organization_id}'"
        with translated():
            return [one.id.rpartition("/")[2] async for one in self._client.list_workflows(query)]

    async def show(self, organization_id: str, orchestration_id: str) -> WorkflowResult:
        """Return every step of a run as it stands.

        Raises:
            InvalidInput: there is no such run.
            Transient: no worker answers.
        """
        handle = self._handle(organization_id, orchestration_id)
        return await self._answered(handle.query("state", result_type=WorkflowResult))

    async def explain(self, organization_id: str, orchestration_id: str) -> AutomationInsight:
        """Return where a run's time went.

        Raises:
            InvalidInput: there is no such run.
            Transient: no worker answers.
        """
        handle = self._handle(organization_id, orchestration_id)
        definition = await self._answered(handle.query("definition", result_type=WorkflowOrchestration))
        return insight(definition, await self.show(organization_id, orchestration_id), datetime.now(UTC))

    async def answer(self, organization_id: str, orchestration_id: str, answer: StepAnswer) -> ActionAnswer:
        """Approve or reject the step that waits for it.

        Raises:
            InvalidInput: there is no such run, it has ended, or it does not take this answer.
            Transient: no worker answers.
        """
        taken = ActionTaken(
            event_id=answer.event_id or uuid.uuid4().hex,
            action_id=answer.answer,
            action_type=answer.answer,
            notification_id=orchestration_id,
            system=_DOOR,
            integration_id=_DOOR,
            actor_id=answer.actor_id,
            value=answer.step_id,
            occurred_at=datetime.now(UTC),
        )
        handle = self._handle(organization_id, orchestration_id)
        said: ActionAnswer = await self._answered(handle.execute_update("take_action", taken, result_type=ActionAnswer))
        if not said.accepted:
            raise InvalidInput(
                "answer_refused", said.message, action="`wedsync automations show` tells who may answer."
            )
        return said

    async def tell(self, organization_id: str, orchestration_id: str, event: AutomationEvent) -> ActionAnswer:
        """Tell a run of an event it may wait for.

        Idempotent: yes, by `event.event_id`.

        Raises:
            InvalidInput: there is no such run, or it has ended.
            Transient: no worker answers.
        """
        handle = self._handle(organization_id, orchestration_id)
        said: ActionAnswer = await self._answered(handle.execute_update("tell", event, result_type=ActionAnswer))
        return said

    async def cancel(self, organization_id: str, orchestration_id: str) -> Run[WorkflowResult]:
        """Ask a run to end; what its chains declare is compensated.

        Raises:
            InvalidInput: there is no such run, or it has ended.
        """
        handle = self._handle(organization_id, orchestration_id)
        with translated():
            await handle.cancel()
        return Run(handle, WorkflowResult)

    async def happened(self, event: TriggerEvent) -> Run[TriggerResult] | None:
        """Start what an event triggers; None where nothing can be concerned.

        Idempotent: yes, by `event.event_id`.
        """
        with translated():
            if not await self._store.concerns(event.organization_id, event.wedding_id):
                return None
        key = names.effect_id(event.wedding_id or "", event.event_id)
        return await start_or_join(
            self._client,
            WorkflowType.TRIGGER_AUTOMATIONS,
            event,
            TriggerResult,
            names.trigger_workflow_id(event.organization_id, key),
            priority(SyncPriority.HIGH, event.organization_id),
            "Start automations",
            RUN_TIMEOUT,
        )

    async def _checked(self, asked: WorkflowOrchestration) -> AutomationCheck:
        with translated():
            return await check(self._connections, asked.organization_id, asked, asked.participants)

    def _handle(self, organization_id: str, orchestration_id: str) -> WorkflowHandle[object, WorkflowResult]:
        workflow_id = names.automation_workflow_id(organization_id, orchestration_id)
        return self._client.get_workflow_handle(workflow_id, result_type=WorkflowResult)

    async def _answered(self, asked: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                return await asked
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise InvalidInput(
                    "run_not_found",
                    "There is no such automation in this organisation, or it has ended.",
                    action="Look with `wedsync automations list`.",
                ) from error
            raise as_error(detail_of(error)) from error
        except Exception as error:
            raise as_error(detail_of(error)) from error


def shape_problems(
    given: dict[str, JsonValue], model: type[Contract] = WorkflowOrchestration
) -> list[AutomationProblem]:
    """Return every field that is missing, unreadable or unknown, with its place."""
    try:
        found = model.model_validate(given)
    except ValidationError as error:
        return [
            AutomationProblem(code=ProblemCode.SHAPE, place=path_of(item["loc"])[:255], message=item["msg"])
            for item in error.errors(include_input=False, include_url=False)
        ]
    return [
        AutomationProblem(code=ProblemCode.SHAPE, place=name[:255], message="There is no such field.")
        for name in unknown_fields(found, given)
    ]


def planned(wedding: Wedding) -> TriggerEvent:
    """Return what a wedding may trigger when WedSync first tells of it."""
    return _trigger(wedding, "planned", "planned", "planned", {"booking_status": wedding.booking_status})


def changed(event: WeddingEvent, state: WeddingState) -> TriggerEvent:
    """Return what a wedding's event may trigger, with the facts as they are after it."""
    stands = event.booking_status is not None and state.wedding.booking_status == event.booking_status
    properties = {"booking_status": str(event.booking_status)} if stands else {}
    if event.type is WeddingEventType.COMPLETED:
        properties["completion_status"] = "completed"
    return _trigger(state.wedding, event.event_id, event.type.value, state.status, properties)


def _trigger(wedding: Wedding, event_id: str, name: str, status: str, properties: dict[str, str]) -> TriggerEvent:
    return TriggerEvent(
        organization_id=wedding.organization_id,
        event_id=event_id,
        wedding_id=wedding.wedding_id,
        name=name,
        properties=properties,
        participants=wedding.participants,
        news=WeddingNews(
            status=status,
            wedding=WeddingContext(
                wedding_id=wedding.wedding_id,
                wedding_date=wedding.wedding_date,
                wedding_time=wedding.ceremony_time,
                time_zone=wedding.time_zone,
                client_name=wedding.client_name,
                venue_name=wedding.venue_name,
            ),
        ),
    )
