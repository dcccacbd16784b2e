"""Stories of connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle

from contracts.integration import IntegrationState
from tests.orchestration import test_integration as integration
from tests.orchestration import test_integration_migration as moves
from tests.orchestration import test_integration_tokens as tokens


@asynccontextmanager
async def integration_paused_and_resumed() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with integration.stage(integration.FakeConnect()) as environment:
        handle, _ = await integration.connect(environment)
        for action in ("pause", "resume", "disconnect"):
            await integration.act(handle, action)
        await handle.result()
        yield handle


@asynccontextmanager
async def integration_with_a_new_credential() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with integration.stage(integration.FakeConnect()) as environment:
        first = integration.configuration(credentialRef=integration.stored(1))
        handle, _ = await integration.connect(environment, first)
        await integration.act(handle, "rotate", credentialRef=integration.stored(2))
        await integration.act(handle, "disconnect")
        await handle.result()
        yield handle


@asynccontextmanager
async def integration_renewed_parked_and_granted_again() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = tokens.FakeOAuth()
    async with tokens.stage(fake) as (environment, handle):
        await environment.sleep(timedelta(minutes=30))
        fake.refused_grants = [tokens.REVOKED]
        await environment.sleep(timedelta(minutes=30))
        await tokens.becomes(handle, IntegrationState.RECONNECT_REQUIRED)
        wanted = integration.configuration(credentialRef=integration.stored(9))
        await integration.connect(environment, wanted, workflow_id=handle.id)
        await integration.act(handle, "reconfigure", configuration=wanted.model_dump(mode="json"))
        await integration.act(handle, "disconnect")
        await handle.result()
        yield handle


@asynccontextmanager
async def integration_moved_and_confirmed() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with moves.moving(moves.FakeMoves()) as handle:
        await integration.act(handle, "migrate", successorId="crm-new")
        await moves.settled(handle)
        await integration.act(handle, "confirm_migration")
        await handle.result()
        yield handle


PLAYS = (
    integration_paused_and_resumed,
    integration_with_a_new_credential,
    integration_renewed_parked_and_granted_again,
    integration_moved_and_confirmed,
)
