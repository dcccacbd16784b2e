"""The application: routes, errors, description, codec server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from contracts.errors import WedSyncError
from starters.api import (
    automations,
    conflicts,
    dead_letters,
    emergencies,
    health,
    hooks,
    integrations,
    notification_batches,
    notifications,
    oauth,
    recipients,
    runs,
    weddings,
)
from starters.api.description import describe
from starters.api.doors import gateway_of
from starters.api.gateway import Gateway
from starters.api.pages import DOCS
from starters.api.problems import install_problems
from starters.api.settings import ApiSettings
from starters.api.views import Readiness
from starters.codec_server import build_codec_app
from starters.failures import RETRY_AFTER_S
from starters.queues import is_polled
from workers.settings import Profile, Settings
from workers.temporal import data_converter

_LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"]


def create_app(settings: Settings, api_settings: ApiSettings) -> FastAPI:
    """Return the API on this installation.

    Args:
        settings: where Temporal and the store are.
        api_settings: where the API listens, and the Web UI's origin.
    """
    gateway = Gateway(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await gateway.aclose()

    app = FastAPI(
        title="WedSync orchestrator",
        version="1.0.0",
        description="Integrations, syncs, warehouse loads, notifications and weddings of WedSync's suppliers.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.gateway = gateway
    install_problems(app)
    for module in (
        runs,
        notification_batches,
        notifications,
        recipients,
        hooks,
        integrations,
        oauth,
        weddings,
        conflicts,
        dead_letters,
        emergencies,
        health,
        automations,
    ):
        app.include_router(module.router)
    _add_probes(app)
    _mount_codec(app, gateway, api_settings)
    describe(app)
    return app


def _add_probes(app: FastAPI) -> None:
    @app.get("/healthz", tags=["operations"])
    async def healthz() -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"], response_model=Readiness)
    async def readyz(request: Request, response: Response) -> Readiness:
        """Say whether Temporal, the store and a worker are there."""
        found = await _readiness(gateway_of(request))
        if not found.ready:
            response.status_code = 503
            response.headers["Retry-After"] = str(round(RETRY_AFTER_S))
        return found

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(DOCS)


async def _readiness(gateway: Gateway) -> Readiness:
    checks = {"store": "ok", "temporal": "ok", "worker": "ok"}
    try:
        await gateway.check_store()
    except WedSyncError as error:
        checks["store"] = error.detail.code
    try:
        wedsync = await gateway.wedsync()
        if not await is_polled(wedsync.client):
            checks["worker"] = "no_worker_polls"
    except WedSyncError as error:
        checks |= {"temporal": error.detail.code, "worker": "unknown"}
    return Readiness(ready=set(checks.values()) == {"ok"}, checks=checks)


def _mount_codec(app: FastAPI, gateway: Gateway, api_settings: ApiSettings) -> None:
    codec = data_converter(gateway.settings).payload_codec
    if codec is None:
        return
    open_to_this_machine = api_settings.on_loopback and gateway.settings.profile is Profile.EMBEDDED

    async def verify(token: str) -> bool:
        key = await gateway.keys.verify(token)
        return key is not None and key.organization_id is None

    origin = api_settings.ui_origin
    origins = [origin, origin.replace("127.0.0.1", "localhost")] if origin else []
    app.mount(
        "/codec",
        build_codec_app(
            codec,
            origins=origins,
            hosts=_LOOPBACK_NAMES if api_settings.on_loopback else ["*"],
            verify=None if open_to_this_machine else verify,
        ),
    )
