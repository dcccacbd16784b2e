"""The typed facade of integrations: connecting, changing and looking at them."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from pathlib import Path

from temporalio.client import Client, RPCError, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from activities.ports.outbound import PUBLIC_ONLY, OutboundRules
from activities.ports.secrets import SecretStore
from activities.storage.connections import ConnectionStore, StoredConnection, unknown_integration
from contracts import names
from contracts.connection import ConnectionAction, ConnectionActionKind, ConnectionResult, MigrationPhase
from contracts.errors import ErrorKind, InvalidInput, Owner, Transient, WedSyncError
from contracts.integration import CredentialRef, IntegrationConfiguration, IntegrationState
from contracts.names import WorkflowType
from contracts.sync import SyncPriority
from starters.credentials import Lifted, lift, require_credential
from starters.failures import AWAY, as_error, translated
from workflows.policies import priority

_UNDECIDED = {ErrorKind.TRANSIENT, ErrorKind.RATE_LIMITED, ErrorKind.OUTCOME_UNKNOWN}
"""After these the connection may still come about, and then needs its credential."""
ASK_AGAIN_S = 1.0
_ON_THE_MOVE = {MigrationPhase.BACKFILLING, MigrationPhase.VERIFYING}
_WITH_MORE = {ConnectionActionKind.ROTATE, ConnectionActionKind.RECONFIGURE, ConnectionActionKind.MIGRATE}


class Integrations:
    """What the doors can ask about integrations.

    Args:
        client: from the one factory, so that payloads are sealed.
        secrets: where credentials go before anything travels.
        connections: what is known about every integration.
        answer_timeout_s: how long to wait for a worker to answer a question or to act, in seconds.
        outbound: what the installation lets connectors reach.
    """

    def __init__(
        self,
        client: Client,
        secrets: SecretStore,
        connections: ConnectionStore,
        *,
        answer_timeout_s: float,
        outbound: OutboundRules = PUBLIC_ONLY,
    ) -> None:
        self._client = client
        self._answer_timeout_s = answer_timeout_s
        self._secrets = secrets
        self._connections = connections
        self._outbound = outbound

    def lift(self, configuration: IntegrationConfiguration, *, beside: Path | None) -> Lifted:
        """Take the credential out of a configuration, as this installation's outbound rules have it; see `lift`."""
        return lift(configuration, beside=beside, outbound=self._outbound)

    async def connect(
        self, configuration: IntegrationConfiguration, *, beside: Path | None = None
    ) -> tuple[ConnectionResult, tuple[str, ...]]:
        """Connect an integration, or connect it again with a new credential.

        Idempotent: yes, one entity workflow per integration takes every call.

        Args:
            configuration: with its plain credential, which goes no further than the credential store.
            beside: the directory of the configuration file, see `starters.credentials.lift`.

        Returns:
            The integration after the vendor accepted it, and warnings for the operator.

        Raises:
            InvalidInput: the configuration does not fit the connector.
            AuthExpired: the vendor refuses the credential.
            Transient: Temporal, the vendor or every worker is away.
        """
        lifted = self.lift(configuration, beside=beside)
        return await self.take(lifted), lifted.warnings

    async def take(self, lifted: Lifted) -> ConnectionResult:
        """Connect what was lifted out of a configuration; errors as `connect`."""
        configuration = lifted.configuration
        organization_id, integration_id = configuration.organization_id, configuration.integration_id
        with translated():
            before = await self._connections.get(organization_id, integration_id)
            ready = await self._with_reference(lifted, before)
        is_new = before is None or before.state is IntegrationState.DISCONNECTED
        try:
            result = await self._update(ready)
        except WedSyncError as error:
            if is_new and lifted.values is not None and error.detail.kind not in _UNDECIDED:
                await self._secrets.destroy(organization_id, integration_id)
            raise
        return result

    async def _with_reference(self, lifted: Lifted, before: StoredConnection | None) -> IntegrationConfiguration:
        configuration = lifted.configuration
        if lifted.values:
            ref: CredentialRef | None = await self._secrets.put(
                configuration.organization_id, configuration.integration_id, lifted.values
            )
        else:
            ref = before.configuration.connection_config.credential_ref if before else None
            if ref is None or (before is not None and before.state is IntegrationState.DISCONNECTED):
                require_credential(configuration)
        config = configuration.connection_config.model_copy(update={"credential": None, "credential_ref": ref})
        return configuration.model_copy(update={"connection_config": config})

    async def _update(self, configuration: IntegrationConfiguration) -> ConnectionResult:
        update_id = uuid.uuid4().hex
        with translated():
            async with asyncio.timeout(self._answer_timeout_s):
                while True:
                    try:
                        return _accepted(await self._start_connecting(configuration, update_id))
                    except RPCError as error:
                        # A workflow whose first task is slow fails the call; the same update id joins what it began.
                        if error.status not in AWAY:
                            raise
                    await asyncio.sleep(ASK_AGAIN_S)

    async def _start_connecting(self, configuration: IntegrationConfiguration, update_id: str) -> ConnectionResult:
        operation: WithStartWorkflowOperation[object, object] = WithStartWorkflowOperation(
            WorkflowType.INTEGRATION.value,
            configuration,
            id=names.integration_workflow_id(configuration.organization_id, configuration.integration_id),
            task_queue=names.ORCHESTRATION_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Integration {configuration.integration_id} on {configuration.platform}",
            priority=priority(SyncPriority.HIGH, configuration.organization_id),
        )
        result: ConnectionResult = await self._client.execute_update_with_start_workflow(
            "connect", configuration, id=update_id, start_workflow_operation=operation, result_type=ConnectionResult
        )
        return result

    async def act(
        self, organization_id: str, integration_id: str, action: ConnectionActionKind, reason: str = ""
    ) -> ConnectionResult:
        """Test, provision, pause, resume or disconnect an integration.

        Raises:
            InvalidInput: there is no such integration.
            WedSyncError: the vendor's or the integration's refusal.
        """
        if action in _WITH_MORE:
            raise InvalidInput(
                "action_incomplete",
                f"The action {action.value} needs more than its name.",
                action=f"Use `wedsync integrations {action.value}`, or the address of its own in the HTTP API.",
            )
        return await self._ask(organization_id, integration_id, ConnectionAction(action=action, reason=reason))

    async def _ask(self, organization_id: str, integration_id: str, action: ConnectionAction) -> ConnectionResult:
        handle = await self.handle(organization_id, integration_id)
        with translated():
            async with asyncio.timeout(self._answer_timeout_s):
                result: ConnectionResult = await handle.execute_update("act", action, result_type=ConnectionResult)
        return _accepted(result)

    async def migrate(
        self,
        organization_id: str,
        integration_id: str,
        successor: IntegrationConfiguration,
        *,
        beside: Path | None = None,
    ) -> ConnectionResult:
        """Connect the successor and begin to move an integration's work to it; the move goes on after the answer.

        The old integration works until every report stands at the successor as it was sent; it is paused then, and kept
        until the migration is confirmed. Arguments as `connect`.

        Raises:
            InvalidInput: there is no such integration, or the successor does not fit.
            AuthExpired: the vendor refuses the successor's credential.
        """
        await self.handle(organization_id, integration_id)
        await self.connect(successor, beside=beside)
        action = ConnectionAction(action=ConnectionActionKind.MIGRATE, successor_id=successor.integration_id)
        return await self._ask(organization_id, integration_id, action)

    async def until_moved(self, organization_id: str, integration_id: str) -> ConnectionResult:
        """Return the integration once its migration has come to an end or waits for a decision.

        Raises:
            WedSyncError: why the migration failed.
        """
        while True:
            found = await self.show(organization_id, integration_id)
            if found.migration is None or found.migration.phase not in _ON_THE_MOVE:
                break
            await asyncio.sleep(ASK_AGAIN_S)
        if found.migration is not None and found.migration.error is not None:
            raise as_error(found.migration.error)
        return found

    async def until_connected(self, configuration: IntegrationConfiguration, deadline: datetime) -> ConnectionResult:
        """Return the integration once it stands after this moment.

        Raises:
            Transient: it does not until `deadline`.
        """
        organization_id, integration_id = configuration.organization_id, configuration.integration_id
        began = datetime.now(UTC)
        while datetime.now(UTC) < deadline:
            with translated():
                stored = await self._connections.get(organization_id, integration_id)
            if stored and stored.state is IntegrationState.ACTIVE and stored.changed_at > began:
                return await self.show(organization_id, integration_id)
            await asyncio.sleep(ASK_AGAIN_S)
        raise Transient(
            "consent_outstanding",
            "Nobody has granted access within the time the address was good for.",
            owner=Owner.TENANT,
            action="Begin again with `wedsync integrations authorize FILE`.",
        )

    async def reconfigure(self, configuration: IntegrationConfiguration) -> ConnectionResult:
        """Give an integration other settings, mappings or schedules, once the vendor accepts them.

        Raises:
            InvalidInput: there is no such integration, the configuration does not fit, or it brings a credential.
        """
        lifted = self.lift(configuration, beside=None)
        if lifted.values is not None:
            raise InvalidInput(
                "credential_refused_here",
                "A reconfiguration takes no credential.",
                action="Remove connectionConfig.credential, or replace the credential with `rotate`.",
            )
        action = ConnectionAction(action=ConnectionActionKind.RECONFIGURE, configuration=lifted.configuration)
        return await self._ask(configuration.organization_id, configuration.integration_id, action)

    async def rotate(
        self, configuration: IntegrationConfiguration, *, beside: Path | None = None
    ) -> tuple[ConnectionResult, tuple[str, ...]]:
        """Put the configuration's credential in the place of the one in use, once the vendor has accepted it.

        Nothing else of the configuration is taken over. Arguments and result are those of `connect`.

        Raises:
            InvalidInput: there is no such integration, or the credential does not fit its connector.
            AuthExpired: the vendor refuses the new credential; the old one stays in use.
            Transient: Temporal, the vendor or every worker is away.
        """
        organization_id, integration_id = configuration.organization_id, configuration.integration_id
        lifted = self.lift(configuration, beside=beside)
        await self.handle(organization_id, integration_id)
        if not lifted.values:
            require_credential(configuration)
        with translated():
            ref = await self._secrets.put(organization_id, integration_id, lifted.values or {})
        action = ConnectionAction(action=ConnectionActionKind.ROTATE, credential_ref=ref)
        try:
            result = await self._ask(organization_id, integration_id, action)
        except WedSyncError as error:
            # Nobody took it; once a workflow has taken a credential, it alone decides which one goes.
            if error.detail.kind not in _UNDECIDED:
                await self._secrets.drop(ref)
            raise
        return result, lifted.warnings

    async def show(self, organization_id: str, integration_id: str) -> ConnectionResult:
        """Return the integration as its workflow knows it.

        Raises:
            InvalidInput: there is no such integration.
            Transient: no worker answers.
        """
        handle = await self.handle(organization_id, integration_id)
        with translated():
            async with asyncio.timeout(self._answer_timeout_s):
                result: ConnectionResult = await handle.query("show", result_type=ConnectionResult)
        return result

    async def of(self, organization_id: str) -> list[StoredConnection]:
        """Return the integrations of an organisation, disconnected ones included."""
        with translated():
            return await self._connections.of_organization(organization_id)

    async def organizations(self) -> list[str]:
        """Return the organisations that have connected integrations."""
        with translated():
            return await self._connections.organizations()

    async def handle(self, organization_id: str, integration_id: str) -> WorkflowHandle[object, object]:
        """Return the handle of an integration's workflow.

        Raises:
            InvalidInput: there is no such integration.
        """
        with translated():
            stored = await self._connections.get(organization_id, integration_id)
        if stored is None:
            raise unknown_integration(integration_id)
        return self._client.get_workflow_handle(names.integration_workflow_id(organization_id, integration_id))


def _accepted(result: ConnectionResult) -> ConnectionResult:
    """A refusal that came as a result is an error at the door as well."""
    if result.error is not None:
        raise as_error(result.error)
    return result
