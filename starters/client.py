"""The typed facade: everything a door can ask of WedSync."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy

from activities.ports.secrets import SecretStore
from activities.storage.authorizations import AuthorizationStore
from activities.storage.automations import AutomationStore
from activities.storage.connections import ConnectionStore
from activities.storage.database import Database
from activities.storage.dead_letters import DeadLetters
from activities.storage.delivery_receipts import DeliveryReceiptStore
from activities.storage.ledger import EffectLedger
from activities.storage.root_keys import StoredRootKeys
from activities.storage.states import StateStore
from contracts import names
from contracts.analytics import AnalyticsQuery, QueryResult
from contracts.base import Contract
from contracts.batch import BatchSummary, NotificationBatch
from contracts.engagement import StateSynchronization, StateSyncResult
from contracts.etl import EtlRequest, ETLResult
from contracts.health import MonitorHealthInput, MonitorHealthResult
from contracts.names import RECORD_CHANGED, WorkflowType
from contracts.notification import CrossSystemRouting, RoutingResult
from contracts.recall import RecallReport, RecallRequest
from contracts.sync import (
    DataSynchronizationRequest,
    RemovalAnswer,
    RemovalApproval,
    SynchronizationResult,
    SynchronizationType,
    SyncPriority,
)
from contracts.transformation import DataTransformation, TransformedData
from contracts.undelivered import RerouteResult, UndeliveredEffect
from contracts.wedding import Wedding, WeddingState
from starters.authorizations import Authorizations
from starters.automations import Automations, planned
from starters.conflicts import Conflicts
from starters.dead_letters import DeadLetterDesk
from starters.emergencies import Emergencies
from starters.failures import translated
from starters.hooks import Hooks
from starters.integrations import Integrations
from starters.notification_batches import NotificationBatches
from starters.notifications import Notifications
from starters.receipts import Receipts
from starters.runs import Run, RunView, view_run, workflow_id_of
from starters.starting import start_or_join, tell_or_start
from starters.weddings import Weddings
from workers.composition import endpoint_resolver
from workers.secret_store import open_secret_store
from workers.settings import Settings
from workers.temporal import connect
from workflows.policies import RUN_TIMEOUT, priority

R = TypeVar("R", bound=Contract)

HEALTH_TIMEOUT = timedelta(minutes=5)


class WedSync:
    """What the command line, the HTTP API and the demo share.

    Args:
        client: from the one factory, so that payloads are sealed.
        store: credentials, connections and consents.
        settings: of this process.
    """

    def __init__(self, client: Client, store: Store, settings: Settings) -> None:
        answer_timeout_s = settings.answer_timeout_s
        self.client = client
        self.integrations = Integrations(
            client,
            store.secrets,
            store.connections,
            answer_timeout_s=answer_timeout_s,
            outbound=settings.outbound_rules(),
        )
        self.automations = Automations(client, store.connections, store.automations, answer_timeout_s=answer_timeout_s)
        self.authorizations = Authorizations(
            store.authorizations,
            self.integrations,
            settings.oauth_apps,
            endpoint_resolver(settings),
            settings.public_url or settings.api_url,
        )
        self.conflicts = Conflicts(client, store.connections, answer_timeout_s=answer_timeout_s)
        self.dead_letters = DeadLetterDesk(store.dead_letters, self.start_sync)
        self.batches = NotificationBatches(client, settings, self._start_batch)
        self.notifications = Notifications(
            client,
            EffectLedger(store.database),
            StateStore(store.database),
            DeliveryReceiptStore(store.database),
            answer_timeout_s,
        )
        self.hooks = Hooks(
            client,
            store.connections,
            store.secrets,
            EffectLedger(store.database),
            StateStore(store.database),
            Receipts(client, DeliveryReceiptStore(store.database), self.start_reroute),
            StoredRootKeys(settings.database_url, settings.load_master_keys()).eldest,
            self.start_state_sync,
        )
        self._public_url = settings.public_url or settings.api_url
        self.weddings = Weddings(client, self.automations, answer_timeout_s=answer_timeout_s)
        self.emergencies = Emergencies(client, answer_timeout_s=answer_timeout_s)
        self._answer_timeout_s = answer_timeout_s

    async def start_sync(self, request: DataSynchronizationRequest) -> Run[SynchronizationResult]:
        """Start the sync of a report, or join the run of the same sync id; plans and their runs are always new."""
        target = request.target_integration.integration_id
        place = (request.organization_id, target, request.sync_id)
        if request.sync_type is SynchronizationType.REAL_TIME and len(request.record_ids) == 1:
            return await self._start_live(request)
        planned = request.dry_run or request.plan_hash is not None
        return await self._start(
            WorkflowType.SYNC_REPORT,
            request,
            SynchronizationResult,
            names.sync_attempt_workflow_id(*place, uuid4().hex) if planned else names.sync_workflow_id(*place),
            _fair(request.priority, request.organization_id),
            f"{'Plan' if request.dry_run else 'Sync'} {request.source_report_id} into {target}",
        )

    async def _start_live(self, request: DataSynchronizationRequest) -> Run[SynchronizationResult]:
        """Start the run that brings one record over, or have the one under way look at the record again."""
        target, [record_id] = request.target_integration.integration_id, request.record_ids
        report = request.data_source().report_id or request.source_report_id
        return await tell_or_start(
            self.client,
            WorkflowType.SYNC_REPORT,
            request,
            SynchronizationResult,
            names.live_sync_workflow_id(request.organization_id, target, report, record_id),
            _fair(request.priority, request.organization_id),
            f"Sync {record_id} of {report} into {target}",
            RUN_TIMEOUT,
            signal=RECORD_CHANGED,
        )

    async def approve_removals(self, run_id: str, approval: RemovalApproval) -> RemovalAnswer:
        """Say whether a sync that waits for it may remove records; the first answer counts.

        Raises:
            InvalidInput: no such sync, or it does not wait for an approval.
            Transient: no worker answers.
        """
        handle = self.client.get_workflow_handle(workflow_id_of(approval.organization_id, run_id))
        with translated():
            async with asyncio.timeout(self._answer_timeout_s):
                accepted = await handle.execute_update("approve", approval, result_type=bool)
        return RemovalAnswer(accepted=accepted)

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

    async def start_transformation(self, request: DataTransformation) -> Run[TransformedData]:
        """Start a transformation, or join the run of the same transformation id."""
        return await self._start(
            WorkflowType.TRANSFORM_REPORT,
            request,
            TransformedData,
            names.transform_workflow_id(request.organization_id, request.transformation_id),
            _fair(request.priority, request.organization_id),
            f"Transform {request.transformation_id}",
        )

    async def start_query(self, query: AnalyticsQuery) -> Run[QueryResult]:
        """Put a question to a warehouse, or join the run of the same query id."""
        target = query.target_integration.integration_id
        return await self._start(
            WorkflowType.QUERY_WAREHOUSE,
            query,
            QueryResult,
            names.query_workflow_id(query.organization_id, target, query.query_id),
            _fair(query.priority, query.organization_id),
            f"Query {target}",
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

    async def start_state_sync(self, sync: StateSynchronization) -> Run[StateSyncResult]:
        """Start to carry the states of notifications between systems, or join the run of the same sync id."""
        return await self._start(
            WorkflowType.SYNC_NOTIFICATION_STATES,
            sync,
            StateSyncResult,
            names.state_sync_workflow_id(sync.organization_id, sync.sync_id),
            _fair(SyncPriority.LOW, sync.organization_id),
            f"Carry states to {len(sync.target_systems)} systems",
        )

    async def start_reroute(self, told: UndeliveredEffect) -> Run[RerouteResult]:
        """Start to see to a message that its vendor did not deliver, or join the run of the same effect."""
        effect = told.effect
        return await self._start(
            WorkflowType.REROUTE_UNDELIVERED,
            told,
            RerouteResult,
            names.reroute_workflow_id(effect.organization_id, effect.effect_id),
            _fair(SyncPriority.HIGH, effect.organization_id),
            f"{effect.system} did not deliver {effect.kind}",
        )

    async def hook_url(self, organization_id: str, integration_id: str) -> str:
        """Return the address that an integration's vendor is to send its webhooks to.

        Raises:
            InvalidInput: no such integration.
        """
        found = await self.integrations.show(organization_id, integration_id)
        token = self.hooks.token(organization_id, integration_id)
        return f"{self._public_url.rstrip('/')}/v1/hooks/{found.platform}/{token}"

    async def _start_batch(self, batch: NotificationBatch) -> Run[BatchSummary]:
        return await self._start(
            WorkflowType.ROUTE_NOTIFICATION_BATCH,
            batch,
            BatchSummary,
            names.batch_workflow_id(batch.organization_id, batch.batch_id),
            _fair(batch.priority, batch.organization_id),
            f"Route the notifications of {batch.batch_id}",
        )

    async def start_wedding(self, wedding: Wedding) -> Run[WeddingState]:
        """Start a wedding's timeline, or join it when it runs or has run to its end."""
        run = await self._start(
            WorkflowType.WEDDING_TIMELINE,
            wedding,
            WeddingState,
            names.wedding_workflow_id(wedding.organization_id, wedding.wedding_id),
            _fair(SyncPriority.NORMAL, wedding.organization_id),
            f"Timeline of {wedding.wedding_id}",
            execution_timeout=None,
        )
        await self.automations.happened(planned(wedding))
        return run

    async def start_recall(self, request: RecallRequest) -> Run[RecallReport]:
        """Start the recall of a wedding or of one notification about it, or join the recall of the same key."""
        return await self._start(
            WorkflowType.RECALL_WEDDING,
            request,
            RecallReport,
            names.recall_workflow_id(request.organization_id, request.wedding_id, request.recall_id),
            _fair(SyncPriority.CRITICAL, request.organization_id),
            f"Recall {request.wedding_id}",
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
            await self.integrations.handle(organization_id, integration_id)
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
        return await start_or_join(
            self.client, kind, request, result_type, workflow_id, queue_priority, summary, execution_timeout
        )


def _fair(word: SyncPriority, organization_id: str) -> Priority:
    return priority(word, organization_id)


@dataclass(frozen=True)
class Store:
    """The parts of the SQL store that the doors use; whoever opened it closes the database."""

    database: Database
    secrets: SecretStore
    connections: ConnectionStore
    authorizations: AuthorizationStore
    automations: AutomationStore
    dead_letters: DeadLetters


def open_store(settings: Settings) -> Store:
    """Return the store's parts."""
    keys = settings.load_master_keys()
    database = Database(settings.database_url)
    return Store(
        database,
        open_secret_store(settings, database, keys),
        ConnectionStore(database, keys),
        AuthorizationStore(database, keys),
        AutomationStore(database, keys),
        DeadLetters(database, keys),
    )


@asynccontextmanager
async def open_wedsync(settings: Settings) -> AsyncIterator[WedSync]:
    """Yield the facade on the configured Temporal service and store.

    Raises:
        Transient: Temporal does not answer.
    """
    client = await connect(settings.model_copy(update={"metrics_address": ""}))
    store = open_store(settings)
    try:
        yield WedSync(client, store, settings)
    finally:
        await store.database.aclose()
