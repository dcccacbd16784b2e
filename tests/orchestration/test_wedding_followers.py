"""WeddingTimeline with the real activities: the systems that follow a wedding, against the emulated vendors."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from activities import timeline
from activities.followers import Followers
from contracts.names import ORCHESTRATION_QUEUE
from contracts.wedding import WeddingEvent, WeddingState
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_wedding_interleavings import until
from tests.support.desk import ORGANIZATION, Desk, open_desk
from tests.support.emulators import Emulators
from tests.support.temporal import polling, real_server
from workflows.wedding_timeline import WeddingTimeline

EMULATED = ("hubspot", "slack", "tave")
ROUTING = json.loads((Path(__file__).parents[2] / "examples" / "route-notification.json").read_text())
SYSTEMS = [
    {
        **{name: target[name] for name in ("systemId", "systemType", "contacts", "channels") if name in target},
        "integrationId": f"{target['systemType']}-main",
        "settings": {"taveJobId": "job-77"},
    }
    for target in ROUTING["targetSystems"]
]
NEWEST = "2027-10-02"
TELLING = {"contact.updated", "job.updated", "message.posted"}
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def house(emulated: Emulators, folder: Path) -> AsyncIterator[tuple[Client, Desk]]:
    async with open_desk(folder, emulated.base_url) as desk, real_server() as client:
        for system in EMULATED:
            await desk.connect(system)
        await (await desk.connector("hubspot")).provision()
        verbs = [timeline.plan, Followers(desk.access).plan, desk.notify.plan_action, desk.notify.apply_effect]
        async with polling(client, [WeddingTimeline], verbs, *(f"system.{name}" for name in EMULATED)):
            yield client, desk


async def begun(client: Client, wedding_id: str, **changes: Any) -> WorkflowHandle[Any, WeddingState]:
    given = {"organizationId": ORGANIZATION, "weddingId": wedding_id, "weddingDate": "2027-06-12", **changes}
    return await client.start_workflow(
        WeddingTimeline.__name__,
        {"timeZone": "Europe/London", "systems": SYSTEMS, **given},
        id=f"wedding-timeline/{ORGANIZATION}/{wedding_id}",
        task_queue=ORCHESTRATION_QUEUE,
        result_type=WeddingState,
    )


def moved(number: int, day: str, **fields: Any) -> WeddingEvent:
    occurred = (LONG_AGO + timedelta(hours=number)).isoformat()
    given = {"eventId": f"e-{number}", "type": "moved", "occurredAt": occurred, "weddingDate": day, **fields}
    return WeddingEvent.model_validate(given)


async def shown(handle: WorkflowHandle[Any, WeddingState]) -> WeddingState:
    return await handle.query("state", result_type=WeddingState)


async def caught_up(handle: WorkflowHandle[Any, WeddingState]) -> WeddingState:
    async def is_told() -> bool:
        return not any(one.behind for one in (await shown(handle)).followers)

    await until(is_told)
    return await shown(handle)


async def posted(emulated: Emulators, day: str) -> None:
    async def is_posted() -> bool:
        return emulated.messages(day) > 0

    await until(is_posted)


def days_held(emulated: Emulators) -> tuple[str, str, str]:
    """The day that the job, the contact and the latest message tell."""
    [job] = [one for one in emulated.objects("tave", "jobs") if one["id"] == "job-77"]
    contacts = {one["id"]: one["properties"] for one in emulated.objects("hubspot", "contacts")}
    told = contacts[SYSTEMS[0]["contacts"][0]["crmContactId"]]["wedding_date"]
    messages = [one for one in emulated.effects("slack") if one["kind"] == "message.posted"]
    day = re.search(r"Day: (\S{10})", json.dumps(messages[-1]["body"]))
    return job["eventDate"], told, day[1] if day else ""


async def test_f43_three_systems_end_on_the_newest_day_in_every_order_of_four_events(
    emulators: Emulators,  # noqa: F811 - the fixture
    tmp_path: Path,
):
    events = [moved(number, day) for number, day in enumerate(("2027-07-01", "2027-08-01", "2027-09-01", NEWEST))]
    async with house(emulators, tmp_path) as (client, _):
        for number, order in enumerate(permutations(events)):
            handle = await begun(client, f"wed-{number}")
            for event in order:
                await handle.signal("event", event)
                await asyncio.sleep(0.01 * (number % 3))
            state = await caught_up(handle)
            assert [one.error for one in state.followers] == [None] * 3
            assert days_held(emulators) == (NEWEST,) * 3, [event.event_id for event in order]
            await handle.terminate()


async def test_a_system_that_is_away_holds_up_no_other_and_gets_the_newest_day_only(
    emulators: Emulators,  # noqa: F811 - the fixture
    tmp_path: Path,
):
    async with house(emulators, tmp_path) as (client, _):
        handle = await begun(client, "wed-away")
        fault = emulators.fault("tave", "status", status=503)
        assert fault
        await handle.signal("event", moved(1, "2027-07-01"))
        await posted(emulators, "2027-07-01")
        await handle.signal("event", moved(2, NEWEST))
        await posted(emulators, NEWEST)
        emulators.clear_faults("tave")
        await caught_up(handle)
        await handle.terminate()
    written = [one["body"]["eventDate"] for one in emulators.effects("tave") if one["kind"] == "job.updated"]
    assert written == [NEWEST]


@pytest.mark.parametrize("origin", ["crm", "booking"])
async def test_f45_the_system_that_a_change_was_made_in_is_not_written_to(
    emulators: Emulators,  # noqa: F811 - the fixture
    tmp_path: Path,
    origin: str,
):
    async with house(emulators, tmp_path) as (client, _):
        handle = await begun(client, f"wed-{origin}")
        await handle.signal("event", moved(1, NEWEST, origin=origin))
        await caught_up(handle)
        await handle.terminate()
    told = {one["kind"] for system in EMULATED for one in emulators.effects(system)} & TELLING
    assert told == TELLING - {"contact.updated" if origin == "crm" else "job.updated"}
