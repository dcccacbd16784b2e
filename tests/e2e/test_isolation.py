"""Connections that hang leave room for those that do not, on the session's stack."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from contracts.integration import ConnectionConfiguration, IntegrationConfiguration, IntegrationState
from contracts.notification import CrossSystemRouting, OverallStatus
from starters.client import Store, open_store, open_wedsync
from tests.e2e.conftest import ROOT, RunningStack
from tests.support.emulators import Emulators
from workers.settings import Settings

EXAMPLE: dict[str, Any] = json.loads((ROOT / "examples" / "route-notification.json").read_text())
EACH = 60
PATIENCE_S = 400
HANGING, WELL = "90001", "501"


async def accounts(store: Store, organization_id: str) -> list[str]:
    """Return the ids of sixty accounts of an organisation, connected without a test."""
    made = [f"crm-{number:02d}" for number in range(EACH)]
    for integration_id in made:
        ref = await store.secrets.put(organization_id, integration_id, {"accessToken": "sandbox-hubspot-token"})
        configuration = IntegrationConfiguration(
            integration_id=integration_id,
            organization_id=organization_id,
            platform="hubspot",
            connection_config=ConnectionConfiguration(credential_ref=ref),
        )
        await store.connections.put(configuration, IntegrationState.ACTIVE)
    return made


def routing(organization_id: str, integration_id: str, contact: str) -> CrossSystemRouting:
    """Return a notification about one contact."""
    target = {
        "systemId": "crm",
        "systemType": "hubspot",
        "integrationId": integration_id,
        "contacts": [{"crmContactId": contact}],
    }
    return CrossSystemRouting.model_validate(
        {
            **EXAMPLE,
            "routingId": f"isolation-{integration_id}",
            "organizationId": organization_id,
            "sourceNotification": {**EXAMPLE["sourceNotification"], "metadata": {}},
            "targetSystems": [target],
        }
    )


def asked(emulators: Emulators, since: int) -> int:
    """Return how many calls have met the fault, given up by now or not."""
    return sum(one["path"].endswith(f"/contacts/{HANGING}") for one in emulators.requests("hubspot", since))


async def test_f60_sixty_calls_that_hang_do_not_stop_sixty_that_do_not(
    connected: RunningStack, emulators: Emulators, fresh: str
) -> None:
    settings = Settings(data_dir=connected.data_dir).on_stack()
    store = open_store(settings)
    stuck, well = f"stuck-{fresh}", f"well-{fresh}"
    since = max((one["seq"] for one in emulators.requests("hubspot")), default=0)
    emulators.fault("hubspot", "hang", path=f"/contacts/{HANGING}", delayS=600)
    try:
        async with open_wedsync(settings) as wedsync:
            hanging = [
                await wedsync.start_notification(routing(stuck, name, HANGING)) for name in await accounts(store, stuck)
            ]
            async with asyncio.timeout(PATIENCE_S):
                while asked(emulators, since) < EACH:  # noqa: ASYNC110 - the vendor tells nobody
                    await asyncio.sleep(0.2)
            runs = [await wedsync.start_notification(routing(well, name, WELL)) for name in await accounts(store, well)]
            async with asyncio.timeout(PATIENCE_S):
                results = await asyncio.gather(*(run.result() for run in runs))
            states = [(await run.handle.describe()).status for run in hanging]
            for run in hanging:
                await run.handle.terminate("the test is over")
    finally:
        emulators.clear_faults("hubspot")
        await store.database.aclose()
    assert [one.overall_status for one in results] == [OverallStatus.SUCCESS] * EACH
    assert [state.name for state in states if state] == ["RUNNING"] * EACH
