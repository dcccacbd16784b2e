"""Batches of notifications: staged, started, looked at, called off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property

from temporalio.client import Client

from activities.batch import KIND
from activities.storage.root_keys import StoredRootKeys
from activities.storage.staging import Staging
from activities.sync_parts import Parts
from contracts.batch import PART_SIZE, BatchSummary, NotificationBatch
from contracts.dataset import DatasetRef
from contracts.errors import InvalidInput
from contracts.names import batch_workflow_id
from contracts.notification import CrossSystemRouting, RoutingResult
from contracts.sync import SyncPriority
from starters.failures import translated
from starters.runs import Run
from workers.settings import Settings

Start = Callable[[NotificationBatch], Awaitable[Run[BatchSummary]]]


class NotificationBatches:
    """What the doors ask of `RouteNotificationBatch`.

    Args:
        client: from the one factory.
        settings: of this process, which say where bulk data is staged.
        start: starts or joins the run of a batch.
    """

    def __init__(self, client: Client, settings: Settings, start: Start) -> None:
        self._client = client
        self._settings = settings
        self._start = start

    async def start(self, batch: NotificationBatch) -> Run[BatchSummary]:
        """Start a batch, or join the run of the same batch id; its routings are staged, not sent along."""
        if not batch.routings:
            return await self._start(batch)
        return await self.start_many(batch.organization_id, batch.batch_id, batch.routings, batch.priority)

    async def start_many(
        self,
        organization_id: str,
        batch_id: str,
        routings: Iterable[CrossSystemRouting],
        priority: SyncPriority = SyncPriority.NORMAL,
    ) -> Run[BatchSummary]:
        """Start a batch of any size, or join the run of the same batch id.

        Raises:
            InvalidInput: no routing, or one of another organisation.
        """
        parts = Parts(self._staging, organization_id, batch_id, KIND)
        refs: list[DatasetRef] = []
        part: list[CrossSystemRouting] = []
        for routing in routings:
            if routing.organization_id != organization_id:
                raise _foreign()
            part.append(routing)
            if len(part) == PART_SIZE:
                refs.append(await parts.write(f"parts/{len(refs):06d}.ndjson", part))
                part = []
        if part:
            refs.append(await parts.write(f"parts/{len(refs):06d}.ndjson", part))
        if not refs:
            raise InvalidInput("batch_empty", "The batch has no routing.", action="Send at least one.")
        batch = NotificationBatch(batch_id=batch_id, organization_id=organization_id, parts=refs, priority=priority)
        return await self._start(batch)

    async def summary(self, organization_id: str, batch_id: str) -> BatchSummary:
        """Return what has become of a batch so far.

        Raises:
            InvalidInput: no such batch.
        """
        with translated():
            handle = self._client.get_workflow_handle(batch_workflow_id(organization_id, batch_id))
            found: BatchSummary = await handle.query("summary", result_type=BatchSummary)
        return found

    async def results(self, organization_id: str, batch_id: str, part: int) -> list[RoutingResult]:
        """Return one result per notification of a part that has ended, counted from 0.

        Raises:
            InvalidInput: no such batch, or the part has not ended.
        """
        summary = await self.summary(organization_id, batch_id)
        if not 0 <= part < len(summary.results):
            raise InvalidInput(
                "not_found",
                f"The batch has results of {len(summary.results)} parts so far.",
                action="Ask for one of them, counted from 0, or wait.",
            )
        parts = Parts(self._staging, organization_id, batch_id, KIND)
        return await parts.read(summary.results[part], RoutingResult)

    async def cancel(self, organization_id: str, batch_id: str) -> None:
        """Call a batch off; what is under way ends, nothing new begins.

        Raises:
            InvalidInput: no such batch.
        """
        with translated():
            await self._client.get_workflow_handle(batch_workflow_id(organization_id, batch_id)).cancel()

    @cached_property
    def _staging(self) -> Staging:
        roots = StoredRootKeys(self._settings.database_url, self._settings.load_master_keys())
        return Staging(self._settings.staging_url, roots, self._settings.data_dir / "scratch")


def _foreign() -> InvalidInput:
    return InvalidInput(
        "organization_mismatch",
        "A routing of the batch belongs to another organisation.",
        action="Send every organisation its own batch.",
    )
