"""Routes of dead letters."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from activities.storage.idempotency import Answer
from contracts.dead_letters import DeadLetterList, LetterDecision, RetriedDeadLetters, RetryDeadLetters
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, answer, once
from starters.client import WedSync

router = APIRouter(prefix="/v1/organizations/{organizationId}", tags=["dead letters"])
Integration = Annotated[str | None, Query(alias="integrationId", max_length=64)]


@router.get("/dead-letters", response_model=DeadLetterList)
async def list_dead_letters(org: Organization, wedsync: Facade, integration_id: Integration = None) -> DeadLetterList:
    """List the records that could not be brought to their target, those that were tried last first."""
    return await wedsync.dead_letters.listed(org, integration_id)


@router.post(
    "/dead-letters/retry",
    status_code=202,
    response_model=RetriedDeadLetters,
    openapi_extra=body(RetryDeadLetters),
)
async def retry_dead_letters(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Try dead letters again now, by a sync per report."""

    async def act(wedsync: WedSync, asked: RetryDeadLetters) -> Answer:
        return answer((await wedsync.dead_letters.retry(asked))[0], 202)

    return await once(request, org, idempotency_key, RetryDeadLetters, act)


@router.post(
    "/dead-letters/{letter_id}/decision",
    status_code=202,
    response_model=RetriedDeadLetters,
    openapi_extra=body(LetterDecision),
)
async def decide_dead_letter(
    request: Request, org: Organization, letter_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Decide which side of a record stands that source and target both changed, and have it carried out."""

    async def act(wedsync: WedSync, decision: LetterDecision) -> Answer:
        return answer((await wedsync.dead_letters.decide(letter_id, decision))[0], 202)

    return await once(request, org, idempotency_key, LetterDecision, act)
