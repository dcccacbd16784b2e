"""What a recall finds out: who is still sending, what the ledger has, and how it was planned."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from temporalio import activity
from temporalio.client import WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from activities.access import Access
from activities.ports.delivery import DeliveryConnector
from activities.started_with import started_with
from activities.storage.ledger import EffectLedger, LedgerEntry
from contracts.effects import Delivery, Rendered
from contracts.errors import Transient, WedSyncError
from contracts.names import WorkflowType, wedding_workflow_id
from contracts.notification import CrossSystemRouting, SourceNotification
from contracts.recall import (
    AccountEntry,
    CorrectedWords,
    RecallAccount,
    RecallNotice,
    RecallRequest,
    Replanned,
    ReplanRequest,
    StoppedDeliveries,
)
from contracts.wedding import WeddingState

_SENDERS = (WorkflowType.ROUTE_NOTIFICATION, WorkflowType.RUN_AUTOMATION, WorkflowType.REROUTE_UNDELIVERED)
"""Workflow types whose runs send on a wedding's behalf and end when they are cancelled."""
_MAX_RUNS = 1_000


class WeddingRecall:
    """The verbs of recalls, beside those that take one effect back."""

    def __init__(self, access: Access, ledger: EffectLedger) -> None:
        self._access = access
        self._ledger = ledger

    @activity.defn(name="recall.stop")
    async def stop(self, request: RecallRequest) -> StoppedDeliveries:
        """Have the wedding's timeline and the runs that deliver about it stop.

        Idempotent: yes; it is asked again until nothing runs any more.

        Raises:
            Transient: Temporal does not answer.
        """
        try:
            stopped = await self._stop_timeline(request) if request.notification_id is None else 0
            running = [run async for run in self._running(request)]
            for workflow_id in running:
                await _cancel(workflow_id)
        except RPCError as error:
            raise Transient(
                "temporal_unreachable", "Temporal does not answer, so that nothing can be stopped just now."
            ) from error
        return StoppedDeliveries(stopped_steps=stopped, running=running[:_MAX_RUNS])

    @staticmethod
    async def _stop_timeline(request: RecallRequest) -> int:
        workflow_id = wedding_workflow_id(request.organization_id, request.wedding_id)
        handle = activity.client().get_workflow_handle(workflow_id)
        notice = RecallNotice(recall_id=request.recall_id)
        try:
            state: WeddingState = await handle.execute_update("recall", notice, result_type=WeddingState)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return 0
            raise
        return sum(step.reason == "wedding recalled" for step in state.steps)

    @staticmethod
    async def _running(request: RecallRequest) -> AsyncIterator[str]:
        kinds = ", ".join(f"'{kind}'" for kind in _SENDERS)
        query = (
            f"OrganizationId = '{request.organization_id}' AND WeddingId = '{request.wedding_id}' "
            f"AND ExecutionStatus = 'Running' AND WorkflowType IN ({kinds})"
        )
        async for run in activity.client().list_workflows(query):
            if request.notification_id is None:
                yield run.id
                continue
            routing = await _routing_of(run.id) if run.workflow_type == WorkflowType.ROUTE_NOTIFICATION else None
            if routing is not None and routing.source_notification.notification_id == request.notification_id:
                yield run.id

    @activity.defn(name="recall.account")
    async def account(self, request: RecallRequest) -> RecallAccount:
        """Return what the ledger has about the wedding, or about one notification of it.

        Idempotent: yes, it changes nothing.
        """
        entries = await self._ledger.of_wedding(request.organization_id, request.wedding_id)
        if request.notification_id is not None:
            entries = await self._ledger.of_notification(request.organization_id, request.notification_id)
        now = datetime.now(UTC)
        return RecallAccount(entries=[_told(entry, now) for entry in entries])

    @activity.defn(name="recall.replan")
    async def replan(self, request: ReplanRequest) -> Replanned:
        """Plan again what a routed notification's run delivered; its effects have the same ids whatever the words.

        What another kind of run made, or one that Temporal no longer keeps, is not planned again.

        Idempotent: yes, it changes nothing.
        """
        routing = await _routing_of(request.workflow_id)
        if routing is None or routing.organization_id != request.organization_id:
            return Replanned()
        began = await activity.client().get_workflow_handle(request.workflow_id).describe()
        wanted, steps = set(request.effect_ids), []
        for delivery in _deliveries(routing, began, request.correction):
            try:
                stored = await self._access.stored(request.organization_id, delivery.target.integration_id)
                connector = await self._access.connector_of(stored, DeliveryConnector)
                planned = connector.plan(delivery)
            except Transient:
                raise
            except WedSyncError:
                continue
            about = {
                "notification_id": delivery.notification.notification_id,
                "wedding_id": delivery.wedding_id,
            }
            steps += [step.model_copy(update=about) for step in planned if step.effect_id in wanted]
        return Replanned(steps=steps)


def _told(entry: LedgerEntry, now: datetime) -> AccountEntry:
    is_open = entry.standing is None
    return AccountEntry(
        effect_id=entry.effect_id,
        integration_id=entry.integration_id,
        system=entry.system,
        kind=entry.kind,
        notification_id=entry.notification_id,
        workflow_id=entry.workflow_id,
        under_way=is_open and entry.claimed_until is not None and entry.claimed_until > now,
        standing=entry.standing,
        retracted_at=entry.retracted_at,
    )


async def _cancel(workflow_id: str) -> None:
    try:
        await activity.client().get_workflow_handle(workflow_id).cancel()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


async def _routing_of(workflow_id: str) -> CrossSystemRouting | None:
    return await started_with(workflow_id, WorkflowType.ROUTE_NOTIFICATION, CrossSystemRouting)


def _deliveries(
    routing: CrossSystemRouting, began: WorkflowExecutionDescription, correction: CorrectedWords | None
) -> list[Delivery]:
    notification: SourceNotification = routing.source_notification
    if correction is not None:
        notification = notification.model_copy(
            update={
                "title": correction.title,
                "message": correction.message,
                "metadata": {**notification.metadata, **correction.metadata},
            }
        )
    context = notification.wedding_context
    return [
        Delivery(
            organization_id=routing.organization_id,
            business_key=routing.routing_id,
            notification=notification,
            target=target,
            rendered=Rendered(subject=notification.title, text=""),
            wedding_id=context.wedding_id if context else None,
            occurred_at=began.start_time,
        )
        for target in routing.target_systems
    ]
