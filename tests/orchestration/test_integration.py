"""Integration: connecting, failing to, rotating, pausing, resuming and disconnecting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from activities.boundary import as_application_error
from contracts.connect import IntegrationRecord, ScheduledSync
from contracts.connection import ConnectionAction, ConnectionResult
from contracts.errors import AuthExpired, Permanent, Transient, WedSyncError
from contracts.health import HealthChange, IntegrationKey
from contracts.integration import (
    ConnectionProbe,
    CredentialRef,
    IntegrationConfiguration,
    IntegrationState,
    ProvisionResult,
)
from contracts.names import ORCHESTRATION_QUEUE
from contracts.tokens import ObtainedToken, ObtainToken
from tests.support.temporal import polling, time_skipping
from workflows.integration import Integration

EXAMPLE = json.loads((Path(__file__).parents[2] / "examples" / "integration-hubspot.json").read_text())


class FakeConnect:
    """Records what the workflow publishes; `trouble` is raised by the next probes."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.schedules: list[bool] = []
        self.forgotten = 0
        self.trouble: list[WedSyncError] = []
        self.rotation: list[str] = []
        self.asked: list[bool] = []
        self.refused_grants: list[WedSyncError] = []
        self.life_s: float | None = None
        self.woken = 0
        self.settled: list[int] = []
        self.unprovisionable = False
        self.recorded: list[bool] = []

    def activities(self) -> list[Any]:
        return [
            *(self.record, self.probe, self.provision, self.forget, self.schedule_sync),
            *(self.verify, self.drop_credential, self.obtain, self.wake, self.settle_refusal),
        ]

    @activity.defn(name="connect.record")
    async def record(self, record: IntegrationRecord) -> None:
        self.states.append(record.state.value)
        schedule = record.configuration.sync_schedule
        self.recorded.append(bool(schedule and schedule.interval_ms == 3_600_000))
        self.rotation.append(f"in use {version(record.configuration)}")

    @activity.defn(name="connect.probe")
    async def probe(self, key: IntegrationKey) -> ConnectionProbe:
        assert key.integration_id == "hubspot-main"
        if self.trouble:
            raise as_application_error(self.trouble.pop(0))
        return ConnectionProbe(ok=True, latency_ms=1)

    @activity.defn(name="connect.verify")
    async def verify(self, record: IntegrationRecord) -> ConnectionProbe:
        if self.trouble:
            raise as_application_error(self.trouble.pop(0))
        self.rotation.append(f"verified {version(record.configuration)}")
        return ConnectionProbe(ok=True, latency_ms=1)

    @activity.defn(name="connect.drop_credential")
    async def drop_credential(self, ref: CredentialRef) -> None:
        self.rotation.append(f"dropped {ref.version}")

    @activity.defn(name="tokens.obtain")
    async def obtain(self, wanted: ObtainToken) -> ObtainedToken:
        self.asked.append(wanted.renew)
        if self.refused_grants:
            raise as_application_error(self.refused_grants.pop(0))
        if self.life_s is None:
            return ObtainedToken(ref=wanted.ref)
        return ObtainedToken(ref=wanted.ref.model_copy(update={"version": len(self.asked) + 1}), life_s=self.life_s)

    @activity.defn(name="connect.settle_refusal")
    async def settle_refusal(self, ref: CredentialRef) -> None:
        self.settled.append(ref.version)

    @activity.defn(name="connect.wake")
    async def wake(self, key: IntegrationKey) -> None:
        self.woken += 1

    @activity.defn(name="connect.provision")
    async def provision(self, key: IntegrationKey) -> ProvisionResult:
        assert key.platform == "hubspot"
        if self.unprovisionable:
            raise as_application_error(Permanent("missing_permission", "The account lacks a scope."))
        return ProvisionResult()

    @activity.defn(name="connect.forget")
    async def forget(self, key: IntegrationKey) -> None:
        assert key.integration_id == "hubspot-main"
        self.forgotten += 1

    @activity.defn(name="connect.schedule_sync")
    async def schedule_sync(self, scheduled: ScheduledSync) -> None:
        self.schedules.append(scheduled.schedule is not None)


def version(given: IntegrationConfiguration) -> int:
    ref = given.connection_config.credential_ref
    return ref.version if ref else 0


def stored(number: int, organization_id: str = EXAMPLE["organizationId"]) -> dict[str, Any]:
    return {"organizationId": organization_id, "integrationId": EXAMPLE["integrationId"], "version": number}


def configuration(**connection: Any) -> IntegrationConfiguration:
    config = {name: value for name, value in EXAMPLE["connectionConfig"].items() if name != "credential"}
    return IntegrationConfiguration.model_validate({**EXAMPLE, "connectionConfig": {**config, **connection}})


@asynccontextmanager
async def stage(fake: FakeConnect) -> AsyncIterator[WorkflowEnvironment]:
    async with (
        time_skipping() as environment,
        polling(environment.client, [Integration], fake.activities(), "system.hubspot"),
    ):
        yield environment


async def connect(
    environment: WorkflowEnvironment, wanted: IntegrationConfiguration | None = None, *, workflow_id: str = ""
) -> tuple[WorkflowHandle[Any, Any], ConnectionResult]:
    wanted = wanted or configuration()
    # Two calls where the client makes one: the test server gives up on a first task that a busy machine delays.
    handle: WorkflowHandle[Any, Any] = environment.client.get_workflow_handle(workflow_id)
    if not workflow_id:
        handle = await environment.client.start_workflow(
            "Integration", wanted, id=f"integration-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
        )
    return handle, await handle.execute_update("connect", wanted, result_type=ConnectionResult)


async def act(handle: WorkflowHandle[Any, Any], action: str, **more: Any) -> ConnectionResult:
    wanted = ConnectionAction.model_validate({"action": action, **more})
    return await handle.execute_update("act", wanted, result_type=ConnectionResult)


async def test_a_connected_integration_is_tested_provisioned_and_active():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle, result = await connect(environment)
        await act(handle, "disconnect")
    assert (result.state, result.error) == (IntegrationState.ACTIVE, None)
    assert fake.states == ["connecting", "active"]


async def test_a_vendor_that_is_away_for_a_moment_does_not_spoil_connecting():
    fake = FakeConnect()
    fake.trouble = [Transient("vendor_away", "The vendor does not answer.")]
    async with stage(fake) as environment:
        handle, result = await connect(environment)
        await act(handle, "disconnect")
    assert result.state is IntegrationState.ACTIVE


async def test_a_first_connection_that_fails_leaves_nothing_half_connected():
    fake = FakeConnect()
    fake.trouble = [AuthExpired("credential_refused", "The vendor refuses the credential.")]
    async with stage(fake) as environment:
        handle, result = await connect(environment)
        await handle.result()
    assert (result.state, fake.forgotten) == (IntegrationState.DISCONNECTED, 1)
    assert result.error is not None
    assert result.error.code == "credential_refused"


async def test_a_failed_reconnection_keeps_the_integration_as_it_was():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle, _ = await connect(environment)
        fake.trouble = [AuthExpired("credential_refused", "The vendor refuses the credential.")]
        _, result = await connect(environment, workflow_id=handle.id)
        shown = await handle.query("show", result_type=ConnectionResult)
        await act(handle, "disconnect")
    assert result.error is not None
    assert shown.state is IntegrationState.ACTIVE
    assert fake.forgotten == 1


async def test_a_new_credential_is_verified_before_it_is_used_and_the_old_one_dropped_after_that():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle, _ = await connect(environment, configuration(credentialRef=stored(1)))
        fake.rotation.clear()
        result = await act(handle, "rotate", credentialRef=stored(2))
        await act(handle, "disconnect")
    assert (result.state, result.error) == (IntegrationState.ACTIVE, None)
    assert fake.rotation == ["verified 2", "in use 2", "dropped 1"]


async def test_a_new_credential_that_is_refused_leaves_the_old_one_in_use():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle, _ = await connect(environment, configuration(credentialRef=stored(1)))
        fake.rotation.clear()
        fake.trouble = [AuthExpired("credential_refused", "The vendor refuses the credential.")]
        refused = await act(handle, "rotate", credentialRef=stored(2))
        assert fake.rotation == ["dropped 2"]
        await act(handle, "pause")
        await act(handle, "disconnect")
    assert refused.error is not None
    assert refused.error.code == "credential_refused"
    assert fake.rotation == ["dropped 2", "in use 1"]


async def test_a_rotation_of_a_paused_integration_leaves_it_paused():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle, _ = await connect(environment, configuration(credentialRef=stored(1)))
        await act(handle, "pause")
        rotated = await act(handle, "rotate", credentialRef=stored(2))
        await act(handle, "disconnect")
    assert rotated.state is IntegrationState.PAUSED


async def test_another_organisations_credential_is_refused():
    async with stage(FakeConnect()) as environment:
        handle, _ = await connect(environment, configuration(credentialRef=stored(1)))
        with pytest.raises(WorkflowUpdateFailedError):
            await act(handle, "rotate", credentialRef=stored(2, "somebody-else"))
        await act(handle, "disconnect")


async def test_pausing_takes_the_schedule_away_and_resuming_brings_it_back():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle, _ = await connect(environment)
        fake.schedules.clear()
        paused = await act(handle, "pause")
        assert (paused.state, fake.schedules) == (IntegrationState.PAUSED, [False])
        resumed = await act(handle, "resume")
        await act(handle, "disconnect")
    assert resumed.state is IntegrationState.ACTIVE


async def test_a_disconnected_integration_is_forgotten_and_its_workflow_ends():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle, _ = await connect(environment)
        await act(handle, "disconnect")
        ended = ConnectionResult.model_validate(await handle.result())
    assert (ended.state, fake.forgotten) == (IntegrationState.DISCONNECTED, 1)


async def test_a_credential_never_enters_the_workflow():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle, _ = await connect(environment)
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await connect(environment, configuration(credential={"accessToken": "secret"}), workflow_id=handle.id)
        await act(handle, "disconnect")
    assert "must not travel" in str(caught.value.cause)
    assert fake.states == ["connecting", "active"]


async def test_a_long_life_continues_in_the_state_it_had():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle: WorkflowHandle[Any, Any] = await environment.client.start_workflow(
            "Integration",
            {**configuration().model_dump(mode="json"), "state": "paused"},
            id=f"integration-{uuid4()}",
            task_queue=ORCHESTRATION_QUEUE,
        )
        shown = await handle.query("show", result_type=ConnectionResult)
        await act(handle, "disconnect")
    assert shown.state is IntegrationState.PAUSED


async def tell_health(handle: WorkflowHandle[Any, Any], word: str) -> None:
    await handle.signal("health_changed", HealthChange.model_validate({"word": word}))


async def test_a_working_integration_takes_on_the_word_of_its_health_checks():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle, _ = await connect(environment)
        for word, state in (("unhealthy",) * 2, ("unhealthy",) * 2, ("degraded",) * 2, ("healthy", "active")):
            await tell_health(handle, word)
            # Nobody is told when a signal has been dealt with.
            while (await handle.query("show", result_type=ConnectionResult)).state != state:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await act(handle, "disconnect")
    assert fake.states == ["connecting", "active", "unhealthy", "degraded", "active"]


async def test_an_integration_that_takes_no_work_is_not_moved_by_its_health():
    fake = FakeConnect()
    async with stage(fake) as environment:
        handle, _ = await connect(environment)
        await act(handle, "pause")
        await tell_health(handle, "healthy")
        await act(handle, "disconnect")
    assert fake.states == ["connecting", "active", "paused"]
