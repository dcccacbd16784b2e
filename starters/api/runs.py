"""Routes that start runs and show them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from activities.storage.idempotency import Answer
from contracts.analytics import AnalyticsQuery
from contracts.engagement import StateSynchronization
from contracts.etl import EtlRequest
from contracts.health import MonitorHealthResult
from contracts.notification import CrossSystemRouting
from contracts.sync import DataSynchronizationRequest, RemovalAnswer, RemovalApproval
from contracts.transformation import DataTransformation
from starters.api.description import body
from starters.api.doors import Facade, IdempotencyKey, Organization, answer, once
from starters.api.views import Accepted
from starters.client import WedSync
from starters.runs import Run, RunView

router = APIRouter(prefix="/v1/organizations/{organizationId}", tags=["runs"])


def accepted(request: Request, organization_id: str, run: Run[Any]) -> Answer:
    """Return 202 with the place where the run can be watched."""
    url = str(request.url_for("show_run", organizationId=organization_id, run_id=run.run_id))
    return answer(Accepted(run_id=run.run_id, url=url), 202, Location=url)


@router.post("/notifications", status_code=202, response_model=Accepted, openapi_extra=body(CrossSystemRouting))
async def start_notification(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Route a notification to its target systems."""

    async def act(wedsync: WedSync, routing: CrossSystemRouting) -> Answer:
        return accepted(request, org, await wedsync.start_notification(routing))

    return await once(request, org, idempotency_key, CrossSystemRouting, act)


@router.post("/syncs", status_code=202, response_model=Accepted, openapi_extra=body(DataSynchronizationRequest))
async def start_sync(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Sync a report into an integration."""

    async def act(wedsync: WedSync, wanted: DataSynchronizationRequest) -> Answer:
        return accepted(request, org, await wedsync.start_sync(wanted))

    return await once(request, org, idempotency_key, DataSynchronizationRequest, act)


@router.post("/runs/{run_id}/approval", response_model=RemovalAnswer, openapi_extra=body(RemovalApproval))
async def approve_removals(
    request: Request, org: Organization, run_id: str, idempotency_key: IdempotencyKey = None
) -> Response:
    """Say whether a sync may remove the records that are gone from its report."""

    async def act(wedsync: WedSync, approval: RemovalApproval) -> Answer:
        return answer(await wedsync.approve_removals(run_id, approval))

    return await once(request, org, idempotency_key, RemovalApproval, act)


@router.post("/etl-runs", status_code=202, response_model=Accepted, openapi_extra=body(EtlRequest))
async def start_etl(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Load a source into a data warehouse."""

    async def act(wedsync: WedSync, wanted: EtlRequest) -> Answer:
        return accepted(request, org, await wedsync.start_etl(wanted))

    return await once(request, org, idempotency_key, EtlRequest, act)


@router.post("/transformations", status_code=202, response_model=Accepted, openapi_extra=body(DataTransformation))
async def start_transformation(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Filter, check and map the records of a source."""

    async def act(wedsync: WedSync, wanted: DataTransformation) -> Answer:
        return accepted(request, org, await wedsync.start_transformation(wanted))

    return await once(request, org, idempotency_key, DataTransformation, act)


@router.post("/queries", status_code=202, response_model=Accepted, openapi_extra=body(AnalyticsQuery))
async def start_query(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Put a read-only question to a data warehouse."""

    async def act(wedsync: WedSync, wanted: AnalyticsQuery) -> Answer:
        return accepted(request, org, await wedsync.start_query(wanted))

    return await once(request, org, idempotency_key, AnalyticsQuery, act)


@router.post("/notification-states", status_code=202, response_model=Accepted, openapi_extra=body(StateSynchronization))
async def sync_states(request: Request, org: Organization, idempotency_key: IdempotencyKey = None) -> Response:
    """Carry how far notifications came to the systems that show it."""

    async def act(wedsync: WedSync, sync: StateSynchronization) -> Answer:
        return accepted(request, org, await wedsync.start_state_sync(sync))

    return await once(request, org, idempotency_key, StateSynchronization, act)


@router.get("/runs/{run_id}", response_model=RunView)
async def show_run(org: Organization, run_id: str, wedsync: Facade) -> RunView:
    """Show a run's state, and its result or error once it has ended."""
    return await wedsync.run(org, run_id)


@router.get("/health", response_model=MonitorHealthResult, tags=["integrations"])
async def health(org: Organization, wedsync: Facade) -> MonitorHealthResult:
    """Probe the organisation's integrations now."""
    return await wedsync.health(org)
