"""Routes of single notifications: why they did or did not arrive, and what is to become of what waits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from activities.storage.idempotency import Answer
from contracts.decisions import HeldAction, HeldActionResult
from contracts.explanation import Explanation
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, answer, once
from starters.client import WedSync

router = APIRouter(prefix="/v1/organizations/{organizationId}", tags=["notifications"])
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:\-]{0,63}$")]


@router.get("/notifications/{notification_id}/explanation", response_model=Explanation)
async def explain_notification(
    org: Organization,
    notification_id: Id,
    wedsync: Facade,
    contact: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")] = None,
) -> Explanation:
    """Tell why each recipient, or one, did or did not get a notification; `preferences/lookup` names the contact."""
    return await wedsync.notifications.explain(org, notification_id, contact)


@router.get("/weddings/{wedding_id}/explanation", response_model=Explanation)
async def explain_wedding(org: Organization, wedding_id: Id, wedsync: Facade) -> Explanation:
    """Tell when each of a wedding's steps is due, and what became of it."""
    return await wedsync.notifications.explain_wedding(org, wedding_id)


@router.post("/notifications/{routing_id}/held", response_model=HeldActionResult, openapi_extra=body(HeldAction))
async def decide_held(
    request: Request, org: Organization, routing_id: Id, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send now, or call off, what waits of a routing."""

    async def act(wedsync: WedSync, action: HeldAction) -> Answer:
        return answer(await wedsync.notifications.decide_held(org, routing_id, action))

    return await once(request, org, idempotency_key, HeldAction, act)
