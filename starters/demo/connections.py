"""The scenario of a connection's life: granted, expired, renewed, revoked, parked, granted again."""

from __future__ import annotations

import asyncio

from contracts.alerts import AlertKind, AlertRoute, AlertRoutes
from contracts.connection import ConnectionResult
from contracts.integration import IntegrationConfiguration, IntegrationInstance, IntegrationState
from contracts.notification import CommunicationChannel, CrossSystemRouting
from contracts.sync import DataSynchronizationRequest, SynchronizationResult
from starters.demo.stage import ORGANIZATION, Check, Stage, example
from starters.health_desk import open_desk

_WEDDINGS = 300
_SHORT_LIFE_S = 4.0
_USUAL_LIFE_S = 1_800.0
_CRM = "hubspot-oauth"
_CHAT = AlertRoute(
    integration_id="slack-main",
    kinds=[AlertKind.RECONNECT_REQUIRED],
    channels=[CommunicationChannel(channel_id="C0WEDDINGS")],
)


async def connections(stage: Stage) -> list[Check]:
    """A connection expires, is renewed, revoked, parked and granted again, and no work is lost."""
    before = await stage.vendors.token_requests("hubspot")
    await stage.wedsync.integrations.connect(IntegrationConfiguration.model_validate(example("integration-slack")))
    await _tell(stage, _CHAT)
    await stage.vendors.weddings(ORGANIZATION, _WEDDINGS)
    await stage.vendors.oauth_rules("hubspot", rotate=True, revokeOnReuse=True, lifetimeS=_SHORT_LIFE_S)
    granted = await _grant(stage)
    await asyncio.sleep(2 * _SHORT_LIFE_S)
    first = await _sync(stage, "demo-connection-renewed")
    renewed = (await stage.vendors.token_requests("hubspot"))["refresh_token"] - before["refresh_token"]
    await stage.vendors.oauth_rules("hubspot", lifetimeS=_USUAL_LIFE_S)
    await stage.vendors.revoke("hubspot")
    since = await stage.vendors.last_effect("hubspot")
    since_chat = await stage.vendors.last_effect("slack")
    await stage.vendors.weddings(ORGANIZATION, 2 * _WEDDINGS)
    waiting = asyncio.gather(_sync(stage, "demo-connection-parked"), _notify(stage))
    parked = await _until(stage, IntegrationState.RECONNECT_REQUIRED)
    still_waiting = not waiting.done()
    again = await _grant(stage)
    second, notified = await waiting
    effects = await stage.vendors.effects("hubspot", since)
    # The vendor ended every grant, and the alerts about the owner's other connections are not this one's.
    told = sum(_CRM in str(post) for post in await stage.vendors.posts(since_chat))
    await _tell(stage)
    reuse = (await stage.vendors.token_requests("hubspot"))["reuse"] - before["reuse"]
    return [
        Check("connected by consent", "active", granted.state.value),
        Check("renewed while it was short-lived", expected=True, found=renewed > 1),
        Check("synced on a renewed token", (_WEDDINGS, True), (first.successful_syncs, first.books.closed)),
        Check("parked after the grant was revoked", "reconnect_required", parked.state.value),
        Check("the reason given to the tenant", "grant_refused", parked.error.code if parked.error else None),
        Check("messages to the owner about it", 1, told),
        Check("work waits meanwhile", expected=True, found=still_waiting),
        Check("connected again", "active", again.state.value),
        Check(
            "the sync that waited",
            (_WEDDINGS, _WEDDINGS, True),
            (second.successful_syncs - second.books.unchanged, second.books.unchanged, second.books.closed),
        ),
        Check("the notification that waited", "success", notified),
        Check("notes HubSpot shows of it", 1, effects["note.created"]),
        Check("spent refresh tokens used again", 0, reuse),
    ]


async def _grant(stage: Stage) -> ConnectionResult:
    document = {**example("integration-hubspot"), "integrationId": _CRM, "connectionConfig": {}}
    consent = await stage.wedsync.authorizations.begin(IntegrationConfiguration.model_validate(document))
    await stage.vendors.consent(consent.url)
    return await _until(stage, IntegrationState.ACTIVE)


async def _tell(stage: Stage, *routes: AlertRoute) -> None:
    """Have the organisation's alerts take these routes."""
    async with open_desk(stage.settings) as desk:
        await desk.set_routes(AlertRoutes(organization_id=ORGANIZATION, routes=list(routes)))


async def _until(stage: Stage, state: IntegrationState) -> ConnectionResult:
    while True:
        found = await stage.wedsync.integrations.show(ORGANIZATION, _CRM)
        if found.state is state:
            return found
        await asyncio.sleep(0.2)


async def _sync(stage: Stage, sync_id: str) -> SynchronizationResult:
    request = DataSynchronizationRequest.model_validate(
        {**example("sync-report"), "dataFilters": [], "syncId": sync_id}
    ).model_copy(update={"target_integration": IntegrationInstance(integration_id=_CRM)})
    return await (await stage.wedsync.start_sync(request)).result()


async def _notify(stage: Stage) -> str:
    document = example("route-notification")
    targets = [
        {**target, "integrationId": _CRM} for target in document["targetSystems"] if target["systemType"] == "hubspot"
    ]
    # Without its effect on the deal, which another scenario is to find as it was.
    notification = {**document["sourceNotification"], "metadata": {}}
    routing = {
        **document,
        "routingId": "demo-connection-parked",
        "sourceNotification": notification,
        "targetSystems": targets,
    }
    run = await stage.wedsync.start_notification(CrossSystemRouting.model_validate(routing))
    return str((await run.result()).overall_status)
