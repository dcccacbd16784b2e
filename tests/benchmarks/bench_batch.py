"""1,000 notifications to three systems each: `python -m tests.benchmarks.bench_batch` prints JSON.

Ours is one `RouteNotificationBatch` on the whole stack: decided, sealed, accounted for in the ledger, one result each.
The bare path is a plain asyncio script that makes one HTTP call per notification and system to the same stand-ins,
fifty at a time, and keeps nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from contracts.integration import IntegrationConfiguration
from contracts.limits import CallLimit, OwnLimit
from contracts.names import batch_workflow_id
from contracts.notification import CrossSystemRouting
from starters.client import WedSync, open_wedsync
from starters.limits import Limits, open_limits
from tests.benchmarks.bench_notify import example
from tests.e2e.conftest import RunningStack
from tests.e2e.documents import ORGANIZATION, SALESFORCE
from workers.settings import Settings

ITEMS = 1_000
AT_ONCE = 50
PLENTY = CallLimit(requests=100_000, per_s=1.0)
"""So that no vendor's limit is what is measured."""
TOKENS = {"hubspot": "sandbox-hubspot-token", "salesforce": "sandbox-salesforce-token", "slack": "sandbox-slack-token"}


def routing(number: int, kind: str, contact_id: str) -> CrossSystemRouting:
    """Return a notification to a CRM contact, an activity of another CRM, and a chat channel."""
    systems: list[dict[str, Any]] = [
        {"systemId": "crm", "systemType": "hubspot", "contacts": [{"crmContactId": contact_id}]},
        {"systemId": "sales", "systemType": "salesforce", "contacts": [{"crmContactId": "0035e00000A1a1QAAR"}]},
        {"systemId": "chat", "systemType": "slack", "channels": [{"channelId": "C0WEDDINGS"}]},
    ]
    return CrossSystemRouting.model_validate(
        {
            "routingId": f"{kind}-{number}",
            "organizationId": ORGANIZATION,
            "sourceNotification": {
                "notificationId": f"{kind}-n-{number}",
                "type": "payment_received",
                "title": f"Payment {number} received",
                "message": "The second instalment has arrived.",
                "weddingContext": {"weddingId": f"wed-{number}", "weddingDate": "2027-06-12"},
            },
            "targetSystems": [{**one, "integrationId": f"{one['systemType']}-main"} for one in systems],
            "routingRules": [
                {"ruleId": "known", "systemIds": ["chat"], "condition": "notification.type == 'payment_received'"}
            ],
            "transformationMaps": [
                {"systemId": "chat", "template": "{{ notification.title }}: {{ wedding.weddingDate }}"}
            ],
        }
    )


class Vendors:
    """The stand-ins, as a plain script meets them."""

    def __init__(self, stack: RunningStack, client: httpx.AsyncClient) -> None:
        self._client = client
        self._root = stack.ready["emulators"]
        self._base: dict[str, str] = {}

    async def find(self) -> None:
        """Learn where every system is."""
        systems = (await self._client.get(f"{self._root}/_emulators")).json()["systems"]
        self._base = {name: str(systems[name]["baseUrl"]) for name in TOKENS}

    async def people(self, count: int) -> list[str]:
        """Put contacts into the first CRM and return their ids."""
        ids: list[str] = []
        for start in range(0, count, 100):
            inputs = [{"properties": {"email": f"guest-{number}@example.com"}} for number in range(start, start + 100)]
            answer = await self.call("hubspot", "POST", "/crm/v3/objects/contacts/batch/create", {"inputs": inputs})
            ids += [item["id"] for item in answer["results"]]
        return ids

    async def call(self, system: str, method: str, path: str, body: Any) -> Any:
        """Make one call and return its JSON."""
        headers = {"Authorization": f"Bearer {TOKENS[system]}"}
        answer = await self._client.request(
            method, f"{self._base[system].rstrip('/')}{path}", json=body, headers=headers
        )
        answer.raise_for_status()
        return answer.json()

    async def deliver(self, run: int, number: int, contact_id: str) -> None:
        """Tell three systems of one payment, one call each."""
        link = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}
        note = {
            "properties": {"hs_timestamp": "2027-06-01T09:30:00Z", "hs_note_body": f"Payment {number} received"},
            "associations": [{"to": {"id": contact_id}, "types": [link]}],
        }
        task = {"Subject": f"Payment {number} received", "Status": "Completed", "WhoId": "0035e00000A1a1QAAR"}
        message = {"channel": "C0WEDDINGS", "text": f"Payment {number} received"}
        field = "WedSync_Effect_Id__c"
        await asyncio.gather(
            self.call("hubspot", "POST", "/crm/v3/objects/notes", note),
            self.call("salesforce", "PATCH", f"/services/data/v67.0/sobjects/Task/{field}/bare-{run}-{number}", task),
            self.call("slack", "POST", "/chat.postMessage", message),
        )


async def ours(wedsync: WedSync, kind: str, contacts: list[str]) -> dict[str, float]:
    """Return the seconds of a batch from its start to its result, and what its history holds."""
    routings = [routing(number, kind, contact) for number, contact in enumerate(contacts)]
    started = time.perf_counter()
    summary = await (await wedsync.batches.start_many(ORGANIZATION, kind, routings)).result()
    seconds = time.perf_counter() - started
    if summary.counts.success != len(contacts):
        message = f"the batch ended {summary.counts}"
        raise RuntimeError(message)
    handle = wedsync.client.get_workflow_handle(batch_workflow_id(ORGANIZATION, kind))
    described = await handle.describe()
    events = described.raw_description.workflow_execution_info.history_length
    return {"seconds": seconds, "events": events, "calls": summary.vendor_calls}


async def bare(vendors: Vendors, run: int, contacts: list[str]) -> float:
    """Return the seconds of the plain script."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, contact: str) -> None:
        async with turn:
            await vendors.deliver(run, number, contact)

    started = time.perf_counter()
    await asyncio.gather(*(one(number, contact) for number, contact in enumerate(contacts)))
    return time.perf_counter() - started


async def connect(wedsync: WedSync, limits: Limits) -> None:
    """Connect the three accounts, and lift their limits."""
    for given in (example("integration-hubspot"), SALESFORCE, example("integration-slack")):
        configuration = IntegrationConfiguration.model_validate(given)
        await wedsync.integrations.connect(configuration)
        await limits.set_own(wedsync.client, ORGANIZATION, configuration.integration_id, OwnLimit(limit=PLENTY))


async def measure(stack: RunningStack, items: int) -> dict[str, Any]:
    """Return both paths' figures, the middle of three runs each."""
    settings = Settings(data_dir=stack.data_dir).on_stack()
    async with open_wedsync(settings) as wedsync, open_limits(settings) as limits, httpx.AsyncClient() as client:
        await connect(wedsync, limits)
        vendors = Vendors(stack, client)
        await vendors.find()
        contacts = await vendors.people(items)
        await ours(wedsync, "warm", contacts[:100])
        runs, plain = [], []
        for number in range(3):
            runs.append(await ours(wedsync, f"batch-{number}", contacts))
            plain.append(await bare(vendors, number, contacts))
    middle, script = sorted(runs, key=lambda run: run["seconds"])[1], sorted(plain)[1]
    return {
        "items": items,
        "ours_s": middle["seconds"],
        "bare_s": script,
        "ratio": middle["seconds"] / script,
        "events_per_delivery": middle["events"] / (3 * items),
        "vendor_calls": middle["calls"],
    }


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    items = parser.parse_args().items
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder) / "data")
        stack.start({"WEDSYNC_EMULATOR_RATE_LIMITS": "off"})
        try:
            figures = asyncio.run(measure(stack, items))
        finally:
            stack.stop()
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))  # noqa: T201 - the benchmark's result


if __name__ == "__main__":
    main()
