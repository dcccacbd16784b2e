"""Routes of emergencies and of the policies they follow."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from activities.storage.idempotency import Answer
from contracts.actions import ActionAnswer
from contracts.emergency import Acknowledgement, EmergencyAlert, EmergencyState
from contracts.errors import InvalidInput
from contracts.escalation import EscalationPolicy, PolicyCheck
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, answer, gateway_of, once, read_body
from starters.api.runs import accepted
from starters.api.views import Accepted
from starters.client import WedSync
from starters.documents import parse

router = APIRouter(prefix="/v1/organizations/{organizationId}", tags=["emergencies"])


@router.post("/emergencies", status_code=202, response_model=Accepted, openapi_extra=body(EmergencyAlert))
async def raise_emergency(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Alert people until one of them acknowledges; no emergency service is ever called."""

    async def act(wedsync: WedSync, alert: EmergencyAlert) -> Answer:
        if alert.policy_id is not None:
            await gateway_of(request).policies.get(org, alert.policy_id)
        return accepted(request, org, await wedsync.emergencies.start(alert))

    return await once(request, org, idempotency_key, EmergencyAlert, act)


@router.get("/emergencies/{alert_id}", response_model=EmergencyState)
async def show_emergency(org: Organization, alert_id: str, wedsync: Facade) -> EmergencyState:
    """Show an emergency: its level, whom it reached, who has it."""
    return await wedsync.emergencies.state(org, alert_id)


@router.post("/emergencies/{alert_id}/ack", response_model=ActionAnswer, openapi_extra=body(Acknowledgement))
async def acknowledge_emergency(
    request: Request, org: Organization, alert_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Acknowledge an emergency: everything stops, and everybody who was alerted is told."""

    async def act(wedsync: WedSync, given: Acknowledgement) -> Answer:
        return answer(await wedsync.emergencies.acknowledge(org, alert_id, given))

    return await once(request, org, idempotency_key, Acknowledgement, act)


@router.put("/emergency-policies/{policy_id}", response_model=EscalationPolicy, openapi_extra=body(EscalationPolicy))
async def save_policy(request: Request, org: Organization, policy_id: str) -> EscalationPolicy:
    """Save an escalation policy; one that would not reach everybody is refused, and all that is wrong with it named."""
    policy = parse(await read_body(request), EscalationPolicy, org)
    if policy.policy_id != policy_id:
        raise InvalidInput(
            "policy_mismatch",
            "policyId in the body is not the policy of the address.",
            action="Send it to its own address.",
        )
    return await gateway_of(request).policies.put(policy)


@router.get("/emergency-policies/{policy_id}", response_model=EscalationPolicy)
async def show_policy(request: Request, org: Organization, policy_id: str) -> EscalationPolicy:
    """Show an escalation policy."""
    return await gateway_of(request).policies.get(org, policy_id)


@router.get("/emergency-policies/{policy_id}/check", response_model=PolicyCheck)
async def check_policy(request: Request, org: Organization, policy_id: str) -> PolicyCheck:
    """Say everything that would keep the policy from reaching somebody now."""
    desk = gateway_of(request).policies
    return await desk.check(await desk.get(org, policy_id))
