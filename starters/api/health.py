"""Routes of health."""

from __future__ import annotations

from fastapi import APIRouter, Request

from contracts.alerts import AlertRoutes
from contracts.health import HealthBoard
from starters.api.description import body
from starters.api.doors import Organization, gateway_of, read_body
from starters.documents import parse

router = APIRouter(prefix="/v1/organizations/{organizationId}/health", tags=["health"])


@router.get("/board", response_model=HealthBoard)
async def show_board(request: Request, org: Organization) -> HealthBoard:
    """Show what the scheduled checks last found, worst first; no vendor is asked."""
    return await gateway_of(request).health.board(org)


@router.get("/routes", response_model=AlertRoutes)
async def show_alert_routes(request: Request, org: Organization) -> AlertRoutes:
    """Show where the organisation's alerts go."""
    return await gateway_of(request).health.routes(org)


@router.put("/routes", response_model=AlertRoutes, openapi_extra=body(AlertRoutes))
async def set_alert_routes(request: Request, org: Organization) -> AlertRoutes:
    """Replace where the organisation's alerts go."""
    routes = parse(await read_body(request), AlertRoutes, org)
    return await gateway_of(request).health.set_routes(routes)
