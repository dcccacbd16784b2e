"""Routes of integrations."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from activities.storage.idempotency import Answer
from contracts.connection import ConnectionAction, ConnectionResult
from contracts.errors import InvalidInput
from contracts.integration import IntegrationConfiguration
from contracts.limits import ConnectionLimits, OwnLimit
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, answer, gateway_of, once, read_body
from starters.api.views import IntegrationList, IntegrationSummary
from starters.authorizations import Authorization
from starters.client import WedSync
from starters.documents import parse

router = APIRouter(prefix="/v1/organizations/{organizationId}/integrations", tags=["integrations"])


@router.get("", response_model=IntegrationList)
async def list_integrations(org: Organization, wedsync: Facade) -> IntegrationList:
    """List the organisation's integrations."""
    stored = await wedsync.integrations.of(org)
    return IntegrationList(integrations=[IntegrationSummary.of(one) for one in stored])


@router.post("", status_code=201, response_model=ConnectionResult, openapi_extra=body(IntegrationConfiguration))
async def connect_integration(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Connect an integration, or connect it again; the credential goes no further than the credential store."""

    async def act(wedsync: WedSync, configuration: IntegrationConfiguration) -> Answer:
        result, _ = await wedsync.integrations.connect(configuration)
        url = request.url_for("show_integration", organizationId=org, integration_id=result.integration_id)
        return answer(result, 201, Location=str(url))

    return await once(request, org, idempotency_key, IntegrationConfiguration, act)


@router.post(
    "/authorizations", status_code=201, response_model=Authorization, openapi_extra=body(IntegrationConfiguration)
)
async def begin_authorization(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Return where the tenant grants access by OAuth; the integration connects once that is done."""

    async def act(wedsync: WedSync, configuration: IntegrationConfiguration) -> Answer:
        return answer(await wedsync.authorizations.begin(configuration), 201)

    return await once(request, org, idempotency_key, IntegrationConfiguration, act)


@router.get("/{integration_id}", response_model=ConnectionResult)
async def show_integration(org: Organization, integration_id: str, wedsync: Facade) -> ConnectionResult:
    """Show an integration's state."""
    return await wedsync.integrations.show(org, integration_id)


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
    """Test, provision, pause, resume, disconnect an integration, or confirm or cancel its migration."""

    async def act(wedsync: WedSync, wanted: ConnectionAction) -> Answer:
        return answer(await wedsync.integrations.act(org, integration_id, wanted.action, wanted.reason))

    return await once(request, org, idempotency_key, ConnectionAction, act)


@router.post(
    "/{integration_id}/credential", response_model=ConnectionResult, openapi_extra=body(IntegrationConfiguration)
)
async def rotate_credential(
    request: Request, org: Organization, integration_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Replace the credential by the body's, once the vendor has accepted it; nothing else of the body is taken over."""

    async def act(wedsync: WedSync, configuration: IntegrationConfiguration) -> Answer:
        _refuse_another(configuration, integration_id)
        result, _ = await wedsync.integrations.rotate(configuration)
        return answer(result)

    return await once(request, org, idempotency_key, IntegrationConfiguration, act)


@router.put("/{integration_id}", response_model=ConnectionResult, openapi_extra=body(IntegrationConfiguration))
async def reconfigure_integration(
    request: Request, org: Organization, integration_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Give an integration other settings, mappings or schedules; the credential stays."""

    async def act(wedsync: WedSync, configuration: IntegrationConfiguration) -> Answer:
        _refuse_another(configuration, integration_id)
        return answer(await wedsync.integrations.reconfigure(configuration))

    return await once(request, org, idempotency_key, IntegrationConfiguration, act)


@router.post(
    "/{integration_id}/migration",
    status_code=202,
    response_model=ConnectionResult,
    openapi_extra=body(IntegrationConfiguration),
)
async def migrate_integration(
    request: Request, org: Organization, integration_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Connect the body's integration and move the work to it; confirm or cancel by the actions of those names."""

    async def act(wedsync: WedSync, successor: IntegrationConfiguration) -> Answer:
        return answer(await wedsync.integrations.migrate(org, integration_id, successor), 202)

    return await once(request, org, idempotency_key, IntegrationConfiguration, act)


def _refuse_another(configuration: IntegrationConfiguration, integration_id: str) -> None:
    if configuration.integration_id != integration_id:
        raise InvalidInput(
            "integration_mismatch",
            "integrationId in the body is not the integration of the address.",
            action="Send it to its own integration.",
        )
