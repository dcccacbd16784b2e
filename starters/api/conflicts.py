"""Routes of booking conflicts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from activities.storage.idempotency import Answer
from contracts.base import Contract, OpaqueId
from contracts.conflict import BookingConflicts, ConflictDecision, DecisionAnswer, ResolutionDetail
from contracts.resource_day import ConfirmBooking, SlotAnswer
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, answer, once
from starters.api.runs import accepted
from starters.api.views import Accepted
from starters.client import WedSync
from starters.conflicts import ConflictView

router = APIRouter(prefix="/v1/organizations/{organizationId}", tags=["conflicts"])


class Conflict(Contract):
    """A conflict, at which system it was reported, and the run that resolves it."""

    integration_id: OpaqueId
    run_id: str
    resolution: ResolutionDetail

    @classmethod
    def of(cls, view: ConflictView) -> Conflict:
        """Return what is shown of a conflict."""
        return cls(integration_id=view.integration_id, run_id=view.run_id, resolution=view.detail)


class ConflictList(Contract):
    """The conflicts of an organisation, the newest first."""

    conflicts: Annotated[list[Conflict], Field(max_length=100)]


@router.post("/conflicts", status_code=202, response_model=Accepted, openapi_extra=body(BookingConflicts))
async def raise_conflicts(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Have booking conflicts resolved."""

    async def act(wedsync: WedSync, conflicts: BookingConflicts) -> Answer:
        return accepted(request, org, await wedsync.conflicts.raise_conflicts(conflicts))

    return await once(request, org, idempotency_key, BookingConflicts, act)


@router.get("/conflicts", response_model=ConflictList)
async def list_conflicts(org: Organization, wedsync: Facade) -> ConflictList:
    """List the conflicts, open and resolved."""
    return ConflictList(conflicts=[Conflict.of(one) for one in await wedsync.conflicts.every(org)])


@router.get("/conflicts/{conflict_id}", response_model=Conflict)
async def show_conflict(org: Organization, conflict_id: str, wedsync: Facade) -> Conflict:
    """Show how far a conflict is."""
    return Conflict.of(await wedsync.conflicts.show(org, conflict_id))


@router.post("/conflicts/{conflict_id}/decision", response_model=DecisionAnswer, openapi_extra=body(ConflictDecision))
async def decide_conflict(
    request: Request, org: Organization, conflict_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Decide a conflict; a decision is final, and whoever comes later gets it back."""

    async def act(wedsync: WedSync, decision: ConflictDecision) -> Answer:
        return answer(await wedsync.conflicts.decide(org, conflict_id, decision))

    return await once(request, org, idempotency_key, ConflictDecision, act)


@router.post("/confirmations", response_model=SlotAnswer, openapi_extra=body(ConfirmBooking))
async def confirm_booking(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Give a booking its slot, if nobody else has it; who is refused is told what is free instead."""

    async def act(wedsync: WedSync, asked: ConfirmBooking) -> Answer:
        return answer(await wedsync.conflicts.confirm(asked))

    return await once(request, org, idempotency_key, ConfirmBooking, act)
