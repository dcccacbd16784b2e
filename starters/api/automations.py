"""Routes of automations."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from activities.storage.idempotency import Answer
from contracts.actions import ActionAnswer
from contracts.automation import AutomationDefinition, WorkflowOrchestration
from contracts.automation_check import AutomationCheck
from contracts.automation_insight import AutomationInsight
from contracts.automation_run import AutomationEvent, StepAnswer, WorkflowResult
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, answer, once, read_body
from starters.api.runs import accepted
from starters.api.views import Accepted, AutomationList
from starters.client import WedSync
from starters.documents import parse_object

router = APIRouter(prefix="/v1/organizations/{organizationId}/automations", tags=["automations"])


@router.post("", status_code=202, response_model=Accepted, openapi_extra=body(WorkflowOrchestration))
async def start_automation(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Start an automation; one that cannot be carried out is refused with every place that is wrong."""

    async def act(wedsync: WedSync, asked: WorkflowOrchestration) -> Answer:
        return accepted(request, org, await wedsync.automations.start(asked))

    return await once(request, org, idempotency_key, WorkflowOrchestration, act)


@router.get("", response_model=AutomationList)
async def list_automations(org: Organization, wedsync: Facade) -> AutomationList:
    """List the saved automations, and the runs that have not ended."""
    saved, running = await wedsync.automations.saved(org), await wedsync.automations.running(org)
    return AutomationList(saved=saved, running=running)


@router.post("/checks", response_model=AutomationCheck, openapi_extra=body(WorkflowOrchestration))
async def check_automation(request: Request, org: Organization, wedsync: Facade) -> AutomationCheck:
    """Say everything that is wrong with an automation, without starting it."""
    return await wedsync.automations.check(org, parse_object(await read_body(request), WorkflowOrchestration))


@router.post("/definitions", response_model=AutomationDefinition, openapi_extra=body(AutomationDefinition))
async def save_automation(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Save an automation as its next version; what it is triggered by starts it from now on."""

    async def act(wedsync: WedSync, definition: AutomationDefinition) -> Answer:
        return answer(await wedsync.automations.save(definition))

    return await once(request, org, idempotency_key, AutomationDefinition, act)


@router.get("/{orchestration_id}", response_model=WorkflowResult)
async def show_automation(org: Organization, orchestration_id: str, wedsync: Facade) -> WorkflowResult:
    """Show every step of a run as it stands."""
    return await wedsync.automations.show(org, orchestration_id)


@router.get("/{orchestration_id}/explanation", response_model=AutomationInsight)
async def explain_automation(org: Organization, orchestration_id: str, wedsync: Facade) -> AutomationInsight:
    """Show where a run's time went."""
    return await wedsync.automations.explain(org, orchestration_id)


@router.post("/{orchestration_id}/answers", response_model=ActionAnswer, openapi_extra=body(StepAnswer))
async def answer_automation(
    request: Request, org: Organization, orchestration_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Approve or reject the step that waits for it."""

    async def act(wedsync: WedSync, given: StepAnswer) -> Answer:
        return answer(await wedsync.automations.answer(org, orchestration_id, given))

    return await once(request, org, idempotency_key, StepAnswer, act)


@router.post("/{orchestration_id}/events", response_model=ActionAnswer, openapi_extra=body(AutomationEvent))
async def tell_automation(
    request: Request, org: Organization, orchestration_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Tell a run of an event it may wait for."""

    async def act(wedsync: WedSync, event: AutomationEvent) -> Answer:
        return answer(await wedsync.automations.tell(org, orchestration_id, event))

    return await once(request, org, idempotency_key, AutomationEvent, act)


@router.delete("/{orchestration_id}", status_code=202, response_model=Accepted)
async def cancel_automation(request: Request, org: Organization, orchestration_id: str, wedsync: Facade) -> Response:
    """Ask a run to end; what its chains declare is compensated."""
    found = accepted(request, org, await wedsync.automations.cancel(org, orchestration_id))
    return Response(found.body, found.status, dict(found.headers), media_type="application/json")
