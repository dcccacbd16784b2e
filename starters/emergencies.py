"""Emergencies as the doors ask for them: raised, shown, acknowledged."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio.client import Client, RPCError, WorkflowHandle
from temporalio.service import RPCStatusCode

from contracts import names
from contracts.actions import ActionAnswer
from contracts.emergency import (
    Acknowledgement,
    EmergencyAlert,
    EmergencyResult,
    EmergencyState,
    StandDown,
)
from contracts.errors import InvalidInput
from contracts.names import WorkflowType
from contracts.sync import SyncPriority
from starters.failures import as_error, detail_of
from starters.runs import Run
from starters.starting import start_or_join
from workflows.policies import priority

_TASK = timedelta(seconds=5)
"""How long a decision of an emergency may stay with a worker that has died."""
_LONGER = timedelta(days=1)
"""What an emergency may run beyond its repetitions, to tell everybody that it is over."""


class Emergencies:
    """Raises and ends emergencies.

    Args:
        client: from the one factory.
        answer_timeout_s: how long a question may take.
    """

    def __init__(self, client: Client, *, answer_timeout_s: float) -> None:
        self._client = client
        self._answer_timeout_s = answer_timeout_s

    async def start(self, alert: EmergencyAlert) -> Run[EmergencyResult]:
        """Raise an emergency, or join it when it was raised before, whatever became of it."""
        return await start_or_join(
            self._client,
            WorkflowType.RAISE_EMERGENCY,
            alert,
            EmergencyResult,
            names.emergency_workflow_id(alert.organization_id, alert.alert_id),
            priority(SyncPriority.CRITICAL, alert.organization_id),
            f"{'Drill' if alert.drill else 'Emergency'} {alert.alert_id}",
            alert.repeat_for + _LONGER,
            queue=names.EMERGENCY_QUEUE,
            task_timeout=_TASK,
        )

    async def state(self, organization_id: str, alert_id: str) -> EmergencyState:
        """Return an emergency as it stands, also after its end.

        Raises:
            InvalidInput: there is no such emergency.
            Transient: no worker answers.
        """
        handle = self._handle(organization_id, alert_id)
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                found: EmergencyState = await handle.query("state", result_type=EmergencyState)
        except Exception as error:
            detail = detail_of(error)
            known = _unknown(alert_id) if detail.code == "run_not_found" else as_error(detail)
            raise known from error
        return found

    async def acknowledge(self, organization_id: str, alert_id: str, given: Acknowledgement) -> ActionAnswer:
        """Take an emergency; one that is over already says who has it.

        Idempotent: yes, by `given.event_id`.

        Raises:
            InvalidInput: there is no such emergency.
            Transient: no worker answers.
        """
        return await self._tell(organization_id, alert_id, "acknowledge", given)

    async def stand_down(self, organization_id: str, alert_id: str, report: StandDown) -> ActionAnswer:
        """Say that the danger is over; the errors are those of `acknowledge`."""
        return await self._tell(organization_id, alert_id, "stand_down", report)

    async def _tell(
        self, organization_id: str, alert_id: str, update: str, given: Acknowledgement | StandDown
    ) -> ActionAnswer:
        handle = self._handle(organization_id, alert_id)
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                answer: ActionAnswer = await handle.execute_update(update, given, result_type=ActionAnswer)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise as_error(detail_of(error)) from error
            return _ended(await self.state(organization_id, alert_id))
        except Exception as error:
            raise as_error(detail_of(error)) from error
        return answer

    def _handle(self, organization_id: str, alert_id: str) -> WorkflowHandle[object, EmergencyResult]:
        workflow_id = names.emergency_workflow_id(organization_id, alert_id)
        return self._client.get_workflow_handle(workflow_id, result_type=EmergencyResult)


def _unknown(alert_id: str) -> InvalidInput:
    return InvalidInput(
        "emergency_not_found",
        f"There is no emergency {alert_id!r} in this organisation.",
        action="Check its id; `wedsync emergency FILE` raises one.",
    )


def _ended(state: EmergencyState) -> ActionAnswer:
    by = f" by {state.ended_by}" if state.ended_by else ""
    return ActionAnswer(accepted=False, message=f"It is over already: {state.outcome}{by}.")
