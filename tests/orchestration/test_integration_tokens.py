"""Integration: keeping the access token alive, and parking the connection when that is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from contracts.alerts import Alert, AlertPlan
from contracts.connection import ConnectionResult
from contracts.errors import AuthExpired, Transient
from contracts.integration import CredentialRef, IntegrationState
from contracts.tokens import RefusedCredential
from tests.orchestration.test_integration import EXAMPLE, FakeConnect, act, configuration, connect, stored
from tests.support.temporal import polling, time_skipping
from workflows.integration import Integration

PATIENCE_S = 280
REVOKED = AuthExpired("grant_refused", "The vendor no longer honours the access that was granted.")


class FakeOAuth(FakeConnect):
    """Grants tokens of half an hour, and remembers what the owner was told."""

    def __init__(self) -> None:
        super().__init__()
        self.life_s = 1_800.0
        self.told: list[str] = []

    def activities(self) -> list[Any]:
        return [*super().activities(), self.plan]

    @activity.defn(name="alerts.plan")
    async def plan(self, alert: Alert) -> AlertPlan:
        self.told.append(alert.kind)
        return AlertPlan()


@asynccontextmanager
async def stage(fake: FakeOAuth) -> AsyncIterator[tuple[WorkflowEnvironment, WorkflowHandle[Any, Any]]]:
    async with (
        time_skipping() as environment,
        polling(environment.client, [Integration], fake.activities(), "system.hubspot"),
    ):
        handle, _ = await connect(environment, configuration(credentialRef=stored(1)))
        yield environment, handle


async def shown(handle: WorkflowHandle[Any, Any]) -> ConnectionResult:
    return await handle.query("show", result_type=ConnectionResult)


async def becomes(handle: WorkflowHandle[Any, Any], state: IntegrationState) -> ConnectionResult:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await shown(handle)
            if found.state is state:
                return found
            await asyncio.sleep(0.02)


async def refused(handle: WorkflowHandle[Any, Any], version: int) -> None:
    ref = CredentialRef(
        organization_id=EXAMPLE["organizationId"], integration_id=EXAMPLE["integrationId"], version=version
    )
    await handle.signal("credential_refused", RefusedCredential(ref=ref))


async def asked(fake: FakeOAuth, times: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(fake.asked) < times:  # noqa: ASYNC110 - the fake lives in a worker
            await asyncio.sleep(0.02)


async def test_a_token_is_renewed_before_it_ends_and_again_before_that_one_ends():
    fake = FakeOAuth()
    async with stage(fake) as (environment, handle):
        connected = await shown(handle)
        await environment.sleep(timedelta(hours=1))
        renewed = await shown(handle)
        await act(handle, "disconnect")
    assert 3 <= len(fake.asked) <= 4
    assert connected.credential_expires_at < renewed.credential_expires_at
    assert fake.asked[0] is False


async def test_a_credential_without_an_end_is_left_alone():
    fake = FakeOAuth()
    fake.life_s = None
    async with stage(fake) as (environment, handle):
        await environment.sleep(timedelta(days=400))
        await act(handle, "disconnect")
    assert fake.asked == [False]


async def test_f30_however_many_workers_meet_a_refused_token_it_is_renewed_once():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        for _ in range(50):
            await refused(handle, 2)
        await asked(fake, 2)
        await act(handle, "test")
        await act(handle, "disconnect")
    assert fake.asked == [False, True]


async def test_a_refusal_of_a_token_that_was_replaced_meanwhile_means_nothing():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        await refused(handle, 1)
        await act(handle, "test")
        await act(handle, "disconnect")
    assert fake.asked == [False]


async def test_a_vendor_that_does_not_answer_is_asked_again_and_nobody_is_bothered():
    fake = FakeOAuth()
    async with stage(fake) as (environment, handle):
        fake.refused_grants = [Transient("vendor_unavailable", "It does not answer.") for _ in range(40)]
        await environment.sleep(timedelta(hours=1))
        state = (await shown(handle)).state
        await act(handle, "disconnect")
    assert state is IntegrationState.ACTIVE
    assert not fake.told
    assert not fake.refused_grants


async def test_f32_a_revoked_grant_parks_the_connection_after_one_request_and_tells_its_owner_once():
    fake = FakeOAuth()
    async with stage(fake) as (environment, handle):
        fake.schedules.clear()
        fake.refused_grants = [REVOKED]
        await environment.sleep(timedelta(hours=1))
        parked = await becomes(handle, IntegrationState.RECONNECT_REQUIRED)
        for version in range(1, 5):
            await refused(handle, version)
        await environment.sleep(timedelta(days=30))
        await act(handle, "disconnect")
    assert parked.error.code == "grant_refused"
    assert (fake.asked, fake.told, fake.schedules[0]) == ([False, True], ["reconnect_required"], False)


async def test_f32_a_reconnection_takes_up_the_schedule_and_wakes_what_waited():
    fake = FakeOAuth()
    async with stage(fake) as (environment, handle):
        fake.refused_grants = [REVOKED]
        await environment.sleep(timedelta(hours=1))
        await becomes(handle, IntegrationState.RECONNECT_REQUIRED)
        fake.schedules.clear()
        _, again = await connect(environment, configuration(credentialRef=stored(9)), workflow_id=handle.id)
        await act(handle, "disconnect")
    assert (again.state, again.error, fake.woken) == (IntegrationState.ACTIVE, None, 1)
    assert any(fake.schedules)


async def test_a_rotation_ends_the_parking_too():
    fake = FakeOAuth()
    async with stage(fake) as (environment, handle):
        fake.refused_grants = [REVOKED]
        await environment.sleep(timedelta(hours=1))
        await becomes(handle, IntegrationState.RECONNECT_REQUIRED)
        rotated = await act(handle, "rotate", credentialRef=stored(9))
        await act(handle, "disconnect")
    assert (rotated.state, rotated.error, fake.woken) == (IntegrationState.ACTIVE, None, 1)


async def test_a_parked_connection_is_not_resumed_by_hand():
    fake = FakeOAuth()
    async with stage(fake) as (environment, handle):
        fake.refused_grants = [REVOKED]
        await environment.sleep(timedelta(hours=1))
        await becomes(handle, IntegrationState.RECONNECT_REQUIRED)
        with pytest.raises(WorkflowUpdateFailedError):
            await act(handle, "resume")
        await act(handle, "disconnect")


async def refused_time_after_time(fake: FakeOAuth, handle: WorkflowHandle[Any, Any]) -> None:
    for version in range(2, 4):
        await refused(handle, version)
        await asked(fake, version)
    await refused(handle, 4)


async def test_a_vendor_that_refuses_what_it_just_granted_is_not_asked_for_ever():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        fake.trouble = [AuthExpired("credential_refused", "The vendor refuses the credential.")]
        await refused_time_after_time(fake, handle)
        parked = await becomes(handle, IntegrationState.RECONNECT_REQUIRED)
        await act(handle, "disconnect")
    assert parked.error.code == "fresh_token_refused"
    assert len(fake.asked) == 3


async def test_f33_a_credential_that_the_vendor_accepts_for_other_work_is_not_given_up():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        await refused_time_after_time(fake, handle)
        async with asyncio.timeout(PATIENCE_S):
            while not fake.settled:  # noqa: ASYNC110 - the fake lives in a worker
                await asyncio.sleep(0.02)
        state = (await shown(handle)).state
        await act(handle, "disconnect")
    assert (state, fake.settled, len(fake.asked)) == (IntegrationState.ACTIVE, [4], 3)


async def test_one_refusal_by_mistake_does_not_end_a_connection_whose_credential_has_no_successor():
    fake = FakeOAuth()
    fake.life_s = None
    async with stage(fake) as (_, handle):
        fake.refused_grants = [AuthExpired("credential_refused", "It is not one that can be renewed.")]
        await refused(handle, 1)
        async with asyncio.timeout(PATIENCE_S):
            while not fake.settled:  # noqa: ASYNC110 - the fake lives in a worker
                await asyncio.sleep(0.02)
        state = (await shown(handle)).state
        await act(handle, "disconnect")
    assert (state, fake.told) == (IntegrationState.ACTIVE, [])


async def test_a_test_with_an_expired_token_renews_it_and_succeeds():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        fake.trouble = [AuthExpired("credential_refused", "The vendor refuses the credential.")]
        tested = await act(handle, "test")
        await act(handle, "disconnect")
    assert (tested.state, tested.error, fake.asked) == (IntegrationState.ACTIVE, None, [False, True])


async def test_a_test_of_a_revoked_credential_parks_the_connection():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        fake.trouble = [AuthExpired("credential_refused", "The vendor refuses the credential.")]
        fake.refused_grants = [REVOKED]
        tested = await act(handle, "test")
        await act(handle, "disconnect")
    assert (tested.state, tested.error.code) == (IntegrationState.RECONNECT_REQUIRED, "grant_refused")


async def test_a_reconfiguration_keeps_the_credential_and_is_proven_first():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        fake.rotation.clear()
        wanted = configuration().model_dump(mode="json") | {"syncSchedule": {"intervalMs": 3_600_000}}
        changed = await act(handle, "reconfigure", configuration=wanted)
        await act(handle, "disconnect")
    assert (changed.state, changed.error) == (IntegrationState.ACTIVE, None)
    assert fake.rotation == ["verified 2", "in use 2"]


async def test_a_reconfiguration_the_vendor_refuses_changes_nothing():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        fake.rotation.clear()
        fake.trouble = [AuthExpired("credential_refused", "The vendor refuses the credential.")]
        changed = await act(handle, "reconfigure", configuration=configuration().model_dump(mode="json"))
        await act(handle, "disconnect")
    assert changed.error.code == "credential_refused"
    assert fake.rotation == []


async def test_another_integrations_configuration_is_refused():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        wanted = configuration().model_dump(mode="json") | {"integrationId": "another"}
        with pytest.raises(WorkflowUpdateFailedError):
            await act(handle, "reconfigure", configuration=wanted)
        await act(handle, "disconnect")


async def test_a_reconfiguration_that_cannot_be_provisioned_is_undone():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        fake.unprovisionable = True
        wanted = configuration().model_dump(mode="json") | {"syncSchedule": {"intervalMs": 3_600_000}}
        fake.recorded.clear()
        changed = await act(handle, "reconfigure", configuration=wanted)
        await act(handle, "disconnect")
    assert changed.error.code == "missing_permission"
    assert fake.recorded == [True, False]


async def test_a_new_grant_whose_account_is_refused_leaves_no_credential_behind():
    fake = FakeOAuth()
    async with stage(fake) as (_, handle):
        fake.rotation.clear()
        fake.trouble = [AuthExpired("credential_refused", "The vendor refuses the credential.")]
        await act(handle, "rotate", credentialRef=stored(9))
        dropped = list(fake.rotation)
        await act(handle, "disconnect")
    assert dropped == ["dropped 9", "dropped 3"]
