"""Connecting, testing and provisioning integrations, and keeping what activities read about them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from temporalio import activity
from temporalio.client import ScheduleAlreadyRunningError, ScheduleUpdate, ScheduleUpdateInput
from temporalio.service import RPCError, RPCStatusCode

from activities.access import Access
from activities.ports.connector import Connector
from activities.ports.secrets import SecretStore
from activities.storage.connections import ConnectionStore
from activities.storage.dead_letters import DeadLetters
from activities.sync_schedule import schedule_of
from contracts import names
from contracts.connect import IntegrationRecord, ScheduledSync
from contracts.health import IntegrationKey
from contracts.integration import ConnectionProbe, CredentialRef, IntegrationState, ProvisionResult
from contracts.names import SearchAttribute


class Connect:
    """The verbs of an integration's life.

    Args:
        access: opens connectors.
        connections: what activities read about integrations.
        secrets: their credentials.
        letters: the records that could not be brought over to them.
    """

    def __init__(
        self, access: Access, connections: ConnectionStore, secrets: SecretStore, letters: DeadLetters
    ) -> None:
        self._access = access
        self._connections = connections
        self._secrets = secrets
        self._letters = letters

    @activity.defn(name="connect.record")
    async def record(self, record: IntegrationRecord) -> None:
        """Publish configuration and state to the activities. Idempotent: yes."""
        await self._connections.put(record.configuration, record.state)

    @activity.defn(name="connect.probe")
    async def probe(self, key: IntegrationKey) -> ConnectionProbe:
        """Test the connection with the stored credential.

        Raises:
            AuthExpired: the vendor refuses the credential.
            Transient: the vendor does not answer.
        """
        stored = await self._access.stored(key.organization_id, key.integration_id)
        connector = await self._access.connector_of(stored, Connector)
        started = time.monotonic()
        probe = await connector.probe()
        elapsed_ms = (time.monotonic() - started) * 1_000
        scopes = probe.scopes or await self._access.granted_scopes(stored)
        return probe.model_copy(update={"latency_ms": elapsed_ms, "scopes": scopes})

    @activity.defn(name="connect.verify")
    async def verify(self, record: IntegrationRecord) -> ConnectionProbe:
        """Test a configuration that is not in use yet.

        Raises:
            AuthExpired: the vendor refuses its credential.
            Transient: the vendor does not answer.
        """
        connector = await self._access.aside(record.configuration)
        try:
            return await connector.probe()
        finally:
            await connector.aclose()

    @activity.defn(name="connect.drop_credential")
    async def drop_credential(self, ref: CredentialRef) -> None:
        """Destroy a credential that its successor has replaced. Idempotent: yes."""
        await self._secrets.drop(ref)

    @activity.defn(name="connect.provision")
    async def provision(self, key: IntegrationKey) -> ProvisionResult:
        """Create what syncs and deliveries need at the vendor. Idempotent: yes."""
        stored = await self._access.stored(key.organization_id, key.integration_id)
        connector = await self._access.connector_of(stored, Connector)
        return await connector.provision()

    @activity.defn(name="connect.forget")
    async def forget(self, key: IntegrationKey) -> None:
        """Destroy the credentials, mark the integration disconnected and drop its dead letters. Idempotent: yes."""
        stored = await self._access.stored(key.organization_id, key.integration_id)
        config = stored.configuration
        bare = config.model_copy(
            update={"connection_config": config.connection_config.model_copy(update={"credential_ref": None})}
        )
        await self._secrets.destroy(key.organization_id, key.integration_id)
        await self._connections.put(bare, IntegrationState.DISCONNECTED)
        await self._letters.drop(key.organization_id, key.integration_id)

    @activity.defn(name="connect.settle_refusal")
    async def settle_refusal(self, ref: CredentialRef) -> None:
        """Note that the vendor accepts a credential it had refused. Idempotent: yes."""
        await self._connections.settle_refusal(ref, datetime.now(UTC))

    @activity.defn(name="connect.wake")
    async def wake(self, key: IntegrationKey) -> None:
        """Tell the runs that wait for this connection that it stands. Idempotent: yes, a second telling finds none."""
        client = activity.client()
        waiting = (
            f"{SearchAttribute.ORGANIZATION_ID} = '{key.organization_id}' "
            f"AND {SearchAttribute.INTEGRATION_ID} = '{key.integration_id}' "
            f"AND {SearchAttribute.OUTCOME} = '{names.WAITING_FOR_RECONNECTION}' AND ExecutionStatus = 'Running'"
        )
        async for run in client.list_workflows(waiting):
            activity.heartbeat(run.id)
            try:
                await client.get_workflow_handle(run.id).signal("connection_restored", key)
            except RPCError as error:
                # It ended meanwhile.
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise

    @activity.defn(name="connect.schedule_sync")
    async def schedule_sync(self, scheduled: ScheduledSync) -> None:
        """Create, change or delete the integration's own sync schedule. Idempotent: yes, by its id."""
        key, wanted = scheduled.key, scheduled.schedule
        client = activity.client()
        schedule_id = names.sync_schedule_id(key.organization_id, key.integration_id)
        handle = client.get_schedule_handle(schedule_id)
        if wanted is None or not (wanted.cron or wanted.interval_ms) or not wanted.source_report_id:
            try:
                await handle.delete()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            return
        schedule = schedule_of(scheduled, datetime.now(UTC))
        try:
            await client.create_schedule(schedule_id, schedule)
        except ScheduleAlreadyRunningError:

            def _replace(_: ScheduleUpdateInput) -> ScheduleUpdate:
                return ScheduleUpdate(schedule=schedule)

            await handle.update(_replace)
