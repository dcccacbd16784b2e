"""Routes of weddings."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from activities.storage.idempotency import Answer
from contracts.wedding import Wedding, WeddingEvent, WeddingState
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, answer, once
from starters.api.views import Accepted
from starters.client import WedSync

router = APIRouter(prefix="/v1/organizations/{organizationId}/weddings", tags=["weddings"])


@router.post("", status_code=202, response_model=Accepted, openapi_extra=body(Wedding))
async def start_wedding(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Start a wedding's timeline."""

    async def act(wedsync: WedSync, wedding: Wedding) -> Answer:
        run = await wedsync.start_wedding(wedding)
        url = str(request.url_for("show_wedding", organizationId=org, wedding_id=wedding.wedding_id))
        return answer(Accepted(run_id=run.run_id, url=url), 202, Location=url)

    return await once(request, org, idempotency_key, Wedding, act)


@router.get("/{wedding_id}", response_model=WeddingState)
async def show_wedding(org: Organization, wedding_id: str, wedsync: Facade) -> WeddingState:
    """Show a wedding's timeline."""
    return await wedsync.wedding_state(org, wedding_id)


@router.post("/{wedding_id}/events", response_model=WeddingState, openapi_extra=body(WeddingEvent))
async def tell_wedding(
    request: Request, org: Organization, wedding_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Tell a wedding what happened to it."""

    async def act(wedsync: WedSync, event: WeddingEvent) -> Answer:
        return answer(await wedsync.wedding_event(org, wedding_id, event))

    return await once(request, org, idempotency_key, WeddingEvent, act)
