"""Routes of notification batches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from activities.storage.idempotency import Answer
from contracts.batch import BatchSummary, NotificationBatch
from contracts.notification import RoutingResult
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, once
from starters.api.runs import accepted
from starters.api.views import Accepted
from starters.client import WedSync

router = APIRouter(prefix="/v1/organizations/{organizationId}/notification-batches", tags=["runs"])
BatchId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:\-]{0,63}$")]


@router.post("", status_code=202, response_model=Accepted, openapi_extra=body(NotificationBatch))
async def start_batch(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Route many notifications as one run."""

    async def act(wedsync: WedSync, batch: NotificationBatch) -> Answer:
        return accepted(request, org, await wedsync.batches.start(batch))

    return await once(request, org, idempotency_key, NotificationBatch, act)


@router.get("/{batch_id}", response_model=BatchSummary)
async def show_batch(org: Organization, batch_id: BatchId, wedsync: Facade) -> BatchSummary:
    """Show what has become of a batch so far."""
    return await wedsync.batches.summary(org, batch_id)


@router.get("/{batch_id}/results", response_model=list[RoutingResult])
async def batch_results(
    org: Organization, batch_id: BatchId, wedsync: Facade, part: Annotated[int, Query(ge=0)] = 0
) -> list[RoutingResult]:
    """Show one result per notification of a part that has ended."""
    return await wedsync.batches.results(org, batch_id, part)


@router.post("/{batch_id}/cancel", status_code=202, response_class=Response)
async def cancel_batch(org: Organization, batch_id: BatchId, wedsync: Facade) -> None:
    """Call a batch off; what is under way ends, nothing new begins."""
    await wedsync.batches.cancel(org, batch_id)
