"""Stories of emergencies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle

from tests.orchestration import test_audit_escalation as audit
from tests.orchestration import test_raise_emergency as emergency


@asynccontextmanager
async def emergency_escalated_repeated_and_acknowledged() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    vendors = emergency.Vendors(dead={"ops"}, down={"oncall": 2}, calls={"oncall"}, correctable={"sms"})
    async with emergency.stage(vendors) as environment:
        handle = await emergency.raised(environment, *emergency.TWO_LEVELS, repeatEvery="PT100S")
        await environment.sleep(timedelta(seconds=200))
        await emergency.acknowledged(handle)
        await handle.result()
        yield handle


@asynccontextmanager
async def emergency_drilled() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with emergency.stage(emergency.Vendors()) as environment:
        handle = await emergency.raised(environment, *emergency.TWO_LEVELS, drill=True)
        await handle.result()
        yield handle


@asynccontextmanager
async def emergency_called_off() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with emergency.stage(emergency.Vendors()) as environment:
        handle = await emergency.raised(environment, *emergency.TWO_LEVELS)
        await environment.sleep(timedelta(seconds=70))
        await handle.cancel()
        await handle.result()
        yield handle


@asynccontextmanager
async def escalation_found_stopped() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with audit.stage(audit.FakeAudit(overdue=True)) as environment:
        handle = await audit.audited(environment)
        await handle.result()
        yield handle


PLAYS = (
    emergency_escalated_repeated_and_acknowledged,
    emergency_drilled,
    emergency_called_off,
    escalation_found_stopped,
)
