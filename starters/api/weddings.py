"""Routes of weddings."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from activities.storage.idempotency import Answer
from contracts.facts import StepDecision
from contracts.recall import RecallOrder, RecallReport, RecallRequest
from contracts.wedding import Wedding, WeddingEvent, WeddingState
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, answer, once
from starters.api.views import Accepted
from starters.client import WedSync
from starters.documents import validate

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
    return await wedsync.weddings.state(org, wedding_id)


@router.post("/{wedding_id}/events", response_model=WeddingState, openapi_extra=body(WeddingEvent))
async def tell_wedding(
    request: Request, org: Organization, wedding_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Tell a wedding what happened to it."""

    async def act(wedsync: WedSync, event: WeddingEvent) -> Answer:
        return answer(await wedsync.weddings.tell(org, wedding_id, event))

    return await once(request, org, idempotency_key, WeddingEvent, act)


@router.post("/{wedding_id}/decisions", response_model=WeddingState, openapi_extra=body(StepDecision))
async def decide_step(
    request: Request, org: Organization, wedding_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answer a step or a dispute of a wedding that waits for a person."""

    async def act(wedsync: WedSync, decision: StepDecision) -> Answer:
        return answer(await wedsync.weddings.decide(org, wedding_id, decision))

    return await once(request, org, idempotency_key, StepDecision, act)


@router.post("/{wedding_id}/recall", status_code=202, response_model=Accepted, openapi_extra=body(RecallOrder))
async def recall_wedding(
    request: Request, org: Organization, wedding_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Stop all that is still to come for a wedding, and take back or set right what was sent."""

    async def act(wedsync: WedSync, order: RecallOrder) -> Answer:
        given = {"organizationId": org, "weddingId": wedding_id, **order.model_dump(mode="json")}
        run = await wedsync.start_recall(validate(given, RecallRequest))
        place = request.url_for("show_recall", organizationId=org, wedding_id=wedding_id, recall_id=order.recall_id)
        return answer(Accepted(run_id=run.run_id, url=str(place)), 202, Location=str(place))

    return await once(request, org, idempotency_key, RecallOrder, act)


@router.get("/{wedding_id}/recall/{recall_id}", response_model=RecallReport)
async def show_recall(org: Organization, wedding_id: str, recall_id: str, wedsync: Facade) -> RecallReport:
    """Show how far a recall is, effect by effect."""
    return await wedsync.weddings.recall_progress(org, wedding_id, recall_id)
