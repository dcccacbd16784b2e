"""Routes of integrations."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from activities.storage.idempotency import Answer
from contracts.errors import InvalidInput
from contracts.integration import ConnectionAction, ConnectionResult, IntegrationConfiguration
from contracts.limits import ConnectionLimits, OwnLimit
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, answer, gateway_of, once, read_body
from starters.api.views import IntegrationList, IntegrationSummary
from starters.client import WedSync
from starters.documents import parse

router = APIRouter(prefix="/v1/organizations/{organizationId}/integrations", tags=["integrations"])


@router.get("", response_model=IntegrationList)
async def list_integrations(org: Organization, wedsync: Facade) -> IntegrationList:
    """List the organisation's integrations."""
    stored = await wedsync.list_integrations(org)
    return IntegrationList(integrations=[IntegrationSummary.of(one) for one in stored])


@router.post("", status_code=201, response_model=ConnectionResult, openapi_extra=body(IntegrationConfiguration))
async def connect_integration(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Connect an integration, or connect it again; the credential goes no further than the credential store."""

    async def act(wedsync: WedSync, configuration: IntegrationConfiguration) -> Answer:
        result, _ = await wedsync.connect_integration(configuration)
        url = request.url_for("show_integration", organizationId=org, integration_id=result.integration_id)
        return answer(result, 201, Location=str(url))

    return await once(request, org, idempotency_key, IntegrationConfiguration, act)


@router.get("/{integration_id}", response_model=ConnectionResult)
async def show_integration(org: Organization, integration_id: str, wedsync: Facade) -> ConnectionResult:
    """Show an integration's state."""
    return await wedsync.show_integration(org, integration_id)


@router.get("/{integration_id}/limits", response_model=ConnectionLimits)
async def show_limits(request: Request, org: Organization, integration_id: str) -> ConnectionLimits:
    """Show how much of the vendor's limit is used, and whether the vendor is called at all."""
    return await gateway_of(request).limits.show(org, integration_id)


@router.put("/{integration_id}/limits", response_model=ConnectionLimits, openapi_extra=body(OwnLimit))
async def set_limits(request: Request, org: Organization, integration_id: str, wedsync: Facade) -> ConnectionLimits:
    """Set the account's own limit, or take it away."""
    wanted = parse(await read_body(request), OwnLimit, org)
    return await gateway_of(request).limits.set_own(wedsync.client, org, integration_id, wanted)


@router.post("/{integration_id}/actions", response_model=ConnectionResult, openapi_extra=body(ConnectionAction))
async def act_on_integration(
    request: Request, org: Organization, integration_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Test, provision, pause, resume or disconnect an integration."""

    async def act(wedsync: WedSync, wanted: ConnectionAction) -> Answer:
        return answer(await wedsync.act(org, integration_id, wanted.action, wanted.reason))

    return await once(request, org, idempotency_key, ConnectionAction, act)


@router.post(
    "/{integration_id}/credential", response_model=ConnectionResult, openapi_extra=body(IntegrationConfiguration)
)
async def rotate_credential(
    request: Request, org: Organization, integration_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Replace the credential by the body's, once the vendor has accepted it; nothing else of the body is taken over."""

    async def act(wedsync: WedSync, configuration: IntegrationConfiguration) -> Answer:
        if configuration.integration_id != integration_id:
            raise InvalidInput(
                "integration_mismatch",
                "integrationId in the body is not the integration of the address.",
                action="Send the credential to its own integration.",
            )
        result, _ = await wedsync.rotate_credential(configuration)
        return answer(result)

    return await once(request, org, idempotency_key, IntegrationConfiguration, act)
