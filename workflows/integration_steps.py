"""The activities that the `Integration` workflow decides about."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Contract
    from contracts.connect import IntegrationRecord, ScheduledSync
    from contracts.health import IntegrationKey
    from contracts.integration import (
        ConnectionProbe,
        CredentialRef,
        IntegrationConfiguration,
        IntegrationState,
        ProvisionResult,
        SynchronizationSchedule,
    )
    from contracts.migration import MigrationPlan, PlanMigration
    from contracts.names import ORCHESTRATION_QUEUE, system_queue
    from contracts.sync import SyncPriority
    from contracts.tokens import ObtainedToken, ObtainToken
    from workflows import policies


def key_of(configuration: IntegrationConfiguration, state: IntegrationState) -> IntegrationKey:
    """Return the opaque facts about an integration."""
    return IntegrationKey(
        organization_id=configuration.organization_id,
        integration_id=configuration.integration_id,
        platform=configuration.platform,
        state=state,
    )


async def probe(key: IntegrationKey) -> ConnectionProbe:
    """Test the connection in use."""
    return await _at_vendor("connect.probe", key, key, ConnectionProbe, "Test the connection", policies.PROBE)


async def verify(key: IntegrationKey, configuration: IntegrationConfiguration) -> ConnectionProbe:
    """Test a configuration that is not in use."""
    record = IntegrationRecord(configuration=configuration, state=key.state)
    return await _at_vendor("connect.verify", record, key, ConnectionProbe, "Test what is to be used", policies.PROBE)


async def provision(key: IntegrationKey) -> ProvisionResult:
    """Create what is missing at the vendor."""
    summary = "Create what is missing at the vendor"
    return await _at_vendor("connect.provision", key, key, ProvisionResult, summary, policies.SETUP)


async def obtain_token(key: IntegrationKey, ref: CredentialRef, *, renew: bool) -> ObtainedToken:
    """Have the credential hold a token that lives."""
    wanted = ObtainToken(key=key, ref=ref, renew=renew)
    return await _at_vendor("tokens.obtain", wanted, key, ObtainedToken, "Keep the access token", policies.TOKEN)


async def plan_migration(key: IntegrationKey, successor_id: str, report_id: str | None) -> MigrationPlan:
    """Return which reports the successor is to hold before it takes over."""
    plan: MigrationPlan = await workflow.execute_activity(
        "migration.plan",
        PlanMigration(key=key, successor_id=successor_id, scheduled_report_id=report_id),
        result_type=MigrationPlan,
        task_queue=ORCHESTRATION_QUEUE,
        priority=policies.priority(SyncPriority.HIGH, key.organization_id),
        **policies.STORE.options(),
    )
    return plan


async def record(configuration: IntegrationConfiguration, state: IntegrationState) -> None:
    """Publish what activities read."""
    given = IntegrationRecord(configuration=configuration, state=state)
    await _at_home("connect.record", given, configuration.organization_id)


async def schedule_sync(key: IntegrationKey, schedule: SynchronizationSchedule | None) -> None:
    """Give the integration this sync schedule, or none."""
    await _at_home("connect.schedule_sync", ScheduledSync(key=key, schedule=schedule), key.organization_id)


async def forget(key: IntegrationKey) -> None:
    """Destroy the credentials."""
    await _at_home("connect.forget", key, key.organization_id)


async def drop_credential(ref: CredentialRef) -> None:
    """Destroy one version of the credential."""
    await _at_home("connect.drop_credential", ref, ref.organization_id)


async def settle_refusal(ref: CredentialRef) -> None:
    """Let work fail by itself that a vendor refuses although it accepts the credential."""
    await _at_home("connect.settle_refusal", ref, ref.organization_id)


async def wake(key: IntegrationKey) -> None:
    """Tell the runs that wait for this connection that it stands."""
    await _at_home("connect.wake", key, key.organization_id)


async def _at_vendor(
    name: str, given: Contract, key: IntegrationKey, answer: type[policies.A], summary: str, policy: policies.Policy
) -> policies.A:
    result: policies.A = await workflow.execute_activity(
        name,
        given,
        result_type=answer,
        task_queue=system_queue(key.platform),
        summary=summary,
        priority=policies.connection_priority(SyncPriority.HIGH, key.organization_id, key.integration_id),
        **policy.options(),
    )
    return result


async def _at_home(name: str, given: Contract, organization_id: str) -> None:
    await workflow.execute_activity(
        name,
        given,
        task_queue=ORCHESTRATION_QUEUE,
        priority=policies.priority(SyncPriority.HIGH, organization_id),
        **policies.STORE.options(),
    )
