"""The typed facade: everything a door can ask of WedSync."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from temporalio.client import Client, RPCError, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.ports.outbound import PUBLIC_ONLY, OutboundRules
from activities.ports.secrets import SecretStore
from activities.storage.connections import ConnectionStore, StoredConnection
from activities.storage.database import Database
from contracts import names
from contracts.base import Contract
from contracts.errors import ErrorKind, InvalidInput, WedSyncError
from contracts.etl import EtlRequest, ETLResult
from contracts.health import MonitorHealthInput, MonitorHealthResult
from contracts.integration import (
    ConnectionAction,
    ConnectionActionKind,
    ConnectionResult,
    CredentialRef,
    IntegrationConfiguration,
    IntegrationState,
)
from contracts.names import WorkflowType
from contracts.notification import CrossSystemRouting, RoutingResult
from contracts.sync import DataSynchronizationRequest, SynchronizationResult, SyncPriority
from contracts.wedding import Wedding, WeddingEvent, WeddingState
from starters.credentials import Lifted, lift, require_credential
from starters.failures import AWAY, as_error, detail_of, translated
from starters.runs import Run, RunView, view_run, workflow_id_of
from workers.secret_store import open_secret_store
from workers.settings import Settings
from workers.temporal import connect
from workflows.policies import priority

R = TypeVar("R", bound=Contract)

RUN_TIMEOUT = timedelta(hours=24)
HEALTH_TIMEOUT = timedelta(minutes=5)
_UNDECIDED = {ErrorKind.TRANSIENT, ErrorKind.RATE_LIMITED, ErrorKind.OUTCOME_UNKNOWN}
"""After these the connection may still come about, and then needs its credential."""
ASK_AGAIN_S = 1.0


class WedSync:
    """What the command line, the HTTP API and the demo share.

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
        self.client = client
        self._answer_timeout_s = answer_timeout_s
        self._secrets = secrets
        self._connections = connections
        self._outbound = outbound

    async def connect_integration(
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
        lifted = lift(configuration, beside=beside, outbound=self._outbound)
        organization_id, integration_id = configuration.organization_id, configuration.integration_id
        with translated():
            before = await self._connections.get(organization_id, integration_id)
            ready = await self._with_reference(lifted, before)
        is_new = before is None or before.state is IntegrationState.DISCONNECTED
        try:
            result = await self._connect(ready)
        except WedSyncError as error:
            if is_new and lifted.values is not None and error.detail.kind not in _UNDECIDED:
                await self._secrets.destroy(organization_id, integration_id)
            raise
        return result, lifted.warnings

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

    async def _connect(self, configuration: IntegrationConfiguration) -> ConnectionResult:
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
            priority=_fair(SyncPriority.HIGH, configuration.organization_id),
        )
        result: ConnectionResult = await self.client.execute_update_with_start_workflow(
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
        if action is ConnectionActionKind.ROTATE:
            raise InvalidInput(
                "credential_missing",
                "A rotation needs the new credential.",
                action="Use `wedsync integrations rotate FILE`, or POST it to the integration's `credential`.",
            )
        handle = await self._integration(organization_id, integration_id)
        with translated():
            async with asyncio.timeout(self._answer_timeout_s):
                result: ConnectionResult = await handle.execute_update(
                    "act", ConnectionAction(action=action, reason=reason), result_type=ConnectionResult
                )
        return _accepted(result)

    async def rotate_credential(
        self, configuration: IntegrationConfiguration, *, beside: Path | None = None
    ) -> tuple[ConnectionResult, tuple[str, ...]]:
        """Put the configuration's credential in the place of the one in use, once the vendor has accepted it.

        Nothing else of the configuration is taken over. Arguments and result are those of `connect_integration`.

        Raises:
            InvalidInput: there is no such integration, or the credential does not fit its connector.
            AuthExpired: the vendor refuses the new credential; the old one stays in use.
            Transient: Temporal, the vendor or every worker is away.
        """
        organization_id, integration_id = configuration.organization_id, configuration.integration_id
        lifted = lift(configuration, beside=beside, outbound=self._outbound)
        handle = await self._integration(organization_id, integration_id)
        if not lifted.values:
            require_credential(configuration)
        with translated():
            ref = await self._secrets.put(organization_id, integration_id, lifted.values or {})
        action = ConnectionAction(action=ConnectionActionKind.ROTATE, credential_ref=ref)
        try:
            with translated():
                async with asyncio.timeout(self._answer_timeout_s):
                    result: ConnectionResult = await handle.execute_update("act", action, result_type=ConnectionResult)
        except WedSyncError as error:
            # Nobody took it; once a workflow has taken a credential, it alone decides which one goes.
            if error.detail.kind not in _UNDECIDED:
                await self._secrets.drop(ref)
            raise
        return _accepted(result), lifted.warnings

    async def show_integration(self, organization_id: str, integration_id: str) -> ConnectionResult:
        """Return the integration as its workflow knows it.

        Raises:
            InvalidInput: there is no such integration.
            Transient: no worker answers.
        """
        handle = await self._integration(organization_id, integration_id)
        with translated():
            async with asyncio.timeout(self._answer_timeout_s):
                result: ConnectionResult = await handle.query("show", result_type=ConnectionResult)
        return result

    async def list_integrations(self, organization_id: str) -> list[StoredConnection]:
        """Return the integrations of an organisation, disconnected ones included."""
        with translated():
            return await self._connections.of_organization(organization_id)

    async def organizations(self) -> list[str]:
        """Return the organisations that have connected integrations."""
        found: set[str] = set()
        after = None
        with translated():
            while page := await self._connections.page(after, 500):
                found.update(key.organization_id for key in page)
                after = page[-1]
        return sorted(found)

    async def _integration(self, organization_id: str, integration_id: str) -> WorkflowHandle[object, object]:
        with translated():
            stored = await self._connections.get(organization_id, integration_id)
        if stored is None:
            raise InvalidInput(
                "integration_not_found",
                f"There is no integration {integration_id!r} in this organisation.",
                action="Connect it first with `wedsync integrations connect FILE`.",
            )
        return self.client.get_workflow_handle(names.integration_workflow_id(organization_id, integration_id))

    async def start_sync(self, request: DataSynchronizationRequest) -> Run[SynchronizationResult]:
        """Start the sync of a report, or join the run of the same sync id."""
        target = request.target_integration.integration_id
        return await self._start(
            WorkflowType.SYNC_REPORT,
            request,
            SynchronizationResult,
            names.sync_workflow_id(request.organization_id, target, request.sync_id),
            _fair(request.priority, request.organization_id),
            f"Sync {request.source_report_id} into {target}",
        )

    async def start_etl(self, request: EtlRequest) -> Run[ETLResult]:
        """Start a warehouse load, or join the run of the same ETL id."""
        target = request.target_integration.integration_id
        return await self._start(
            WorkflowType.RUN_WAREHOUSE_ETL,
            request,
            ETLResult,
            names.etl_workflow_id(request.organization_id, target, request.etl_id),
            _fair(request.priority, request.organization_id),
            f"Load {request.etl_id} into {target}",
        )

    async def start_notification(self, routing: CrossSystemRouting) -> Run[RoutingResult]:
        """Start the routing of a notification, or join the run of the same routing id."""
        return await self._start(
            WorkflowType.ROUTE_NOTIFICATION,
            routing,
            RoutingResult,
            names.routing_workflow_id(routing.organization_id, routing.routing_id),
            _fair(routing.source_notification.priority, routing.organization_id),
            f"Route {routing.source_notification.notification_id} to {len(routing.target_systems)} systems",
        )

    async def start_wedding(self, wedding: Wedding) -> Run[WeddingState]:
        """Start a wedding's timeline, or join it when it runs or has run to its end."""
        return await self._start(
            WorkflowType.WEDDING_TIMELINE,
            wedding,
            WeddingState,
            names.wedding_workflow_id(wedding.organization_id, wedding.wedding_id),
            _fair(SyncPriority.NORMAL, wedding.organization_id),
            f"Timeline of {wedding.wedding_id}",
            execution_timeout=None,
        )

    async def wedding_event(self, organization_id: str, wedding_id: str, event: WeddingEvent) -> WeddingState:
        """Tell a wedding what happened to it and return its state afterwards.

        Idempotent: yes, by `event.event_id`.

        Raises:
            InvalidInput: there is no such wedding, or its timeline has ended.
        """
        handle = self.client.get_workflow_handle(names.wedding_workflow_id(organization_id, wedding_id))
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                state: WeddingState = await handle.execute_update("apply_event", event, result_type=WeddingState)
        except RPCError as error:
            raise await self._no_wedding(error, handle) from error
        except Exception as error:
            raise as_error(detail_of(error)) from error
        return state

    async def wedding_state(self, organization_id: str, wedding_id: str) -> WeddingState:
        """Return a wedding's timeline.

        Raises:
            InvalidInput: there is no such wedding.
            Transient: no worker answers.
        """
        handle = self.client.get_workflow_handle(names.wedding_workflow_id(organization_id, wedding_id))
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                state: WeddingState = await handle.query("state", result_type=WeddingState)
        except RPCError as error:
            raise await self._no_wedding(error, handle) from error
        except Exception as error:
            raise as_error(detail_of(error)) from error
        return state

    async def _no_wedding(self, error: RPCError, handle: WorkflowHandle[object, object]) -> WedSyncError:
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
            action="Nothing is left to do for it.",
        )

    async def run(self, organization_id: str, run_id: str) -> RunView:
        """Return a run of this organisation by its public id.

        Raises:
            InvalidInput: there is no such run here.
        """
        return await view_run(self.client, workflow_id_of(organization_id, run_id))

    async def health(self, organization_id: str, integration_id: str | None = None) -> MonitorHealthResult:
        """Probe an organisation's integrations, or one of them, now; a check under way is joined.

        Raises:
            InvalidInput: there is no such integration.
            Transient: no worker answers.
        """
        if integration_id is not None:
            await self._integration(organization_id, integration_id)
        request = MonitorHealthInput(
            organization_id=organization_id, integration_ids=[integration_id] if integration_id else []
        )
        with translated():
            handle = await self.client.start_workflow(
                WorkflowType.MONITOR_HEALTH.value,
                request,
                id=names.health_workflow_id("/".join(filter(None, (organization_id, integration_id)))),
                task_queue=names.ORCHESTRATION_QUEUE,
                result_type=MonitorHealthResult,
                execution_timeout=HEALTH_TIMEOUT,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                priority=_fair(SyncPriority.HIGH, organization_id),
                static_summary="Check the integrations' health",
            )
            async with asyncio.timeout(self._answer_timeout_s):
                result: MonitorHealthResult = await handle.result()
        return result

    async def _start(
        self,
        kind: WorkflowType,
        request: Contract,
        result_type: type[R],
        workflow_id: str,
        queue_priority: Priority,
        summary: str,
        execution_timeout: timedelta | None = RUN_TIMEOUT,
    ) -> Run[R]:
        """Start or join; a run that has succeeded under this id is the answer."""
        try:
            with translated():
                handle: WorkflowHandle[object, R] = await self.client.start_workflow(
                    kind.value,
                    request,
                    id=workflow_id,
                    task_queue=names.ORCHESTRATION_QUEUE,
                    result_type=result_type,
                    execution_timeout=execution_timeout,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    priority=queue_priority,
                    static_summary=summary,
                )
        except WorkflowAlreadyStartedError:
            handle = self.client.get_workflow_handle(workflow_id, result_type=result_type)
        return Run(handle, result_type)


def _fair(word: SyncPriority, organization_id: str) -> Priority:
    return priority(word, organization_id)


def _accepted(result: ConnectionResult) -> ConnectionResult:
    """A refusal that came as a result is an error at the door as well."""
    if result.error is not None:
        raise as_error(result.error)
    return result


def open_store(settings: Settings) -> tuple[Database, SecretStore, ConnectionStore]:
    """Return the store's parts; the caller closes the database."""
    key = settings.load_master_key()
    database = Database(settings.database_url)
    return database, open_secret_store(settings, database, key), ConnectionStore(database, key)


@asynccontextmanager
async def open_wedsync(settings: Settings) -> AsyncIterator[WedSync]:
    """Yield the facade on the configured Temporal service and store.

    Raises:
        Transient: Temporal does not answer.
    """
    client = await connect(settings.model_copy(update={"metrics_address": ""}))
    database, secrets, connections = open_store(settings)
    try:
        yield WedSync(
            client,
            secrets,
            connections,
            answer_timeout_s=settings.answer_timeout_s,
            outbound=settings.outbound_rules(),
        )
    finally:
        await database.aclose()
