"""A day that was changed in a booking system, on its way to the wedding and to the other systems."""

from __future__ import annotations

from datetime import timedelta

from temporalio.testing import ActivityEnvironment

from activities.booking_news import News, tell
from contracts.names import ORCHESTRATION_QUEUE, wedding_workflow_id
from contracts.wedding import WeddingEvent, WeddingState
from tests.orchestration.test_wedding_interleavings import shown, stage, until
from workflows.wedding_timeline import WeddingTimeline

SYSTEMS = [
    {"systemId": name, "systemType": "email", "integrationId": f"{name}-main"} for name in ("crm", "studio", "chat")
]


async def test_f45_a_day_changed_in_the_booking_system_is_written_once_to_the_others_and_never_back():
    async with stage() as (environment, fake):
        handle = await environment.client.start_workflow(
            WeddingTimeline.__name__,
            {"organizationId": "o", "weddingId": "w", "weddingDate": "2099-06-12", "systems": SYSTEMS},
            id=wedding_workflow_id("o", "w"),
            task_queue=ORCHESTRATION_QUEUE,
            result_type=WeddingState,
        )
        inside = ActivityEnvironment(client=environment.client)
        now = await environment.get_current_time()

        async def read_in(integration: str, at: timedelta) -> None:
            given = {"type": "moved", "weddingDate": "2099-07-03", "occurredAt": now + at, "isRead": True}
            given |= {"eventId": f"{integration}-{at.seconds}", "origin": integration, "atOnce": "newest"}
            await inside.run(tell, News("o", "w", WeddingEvent.model_validate(given)))

        async def all_told() -> bool:
            state = await shown(handle)
            return state.taken > 0 and not any(one.behind for one in state.followers)

        await read_in("studio-main", timedelta())
        await until(all_told)
        for later in (timedelta(seconds=90), timedelta(hours=1)):
            await environment.sleep(later)
            for system in SYSTEMS:
                await read_in(system["integrationId"], later)
        await environment.sleep(timedelta(minutes=1))
        state = await shown(handle)
        await handle.terminate()
    assert str(state.wedding.wedding_date) == "2099-07-03"
    assert dict(fake.sent) == {"crm.1": 1, "chat.1": 1}
    assert state.taken == 7


async def test_news_for_a_wedding_that_is_not_there_is_nobodys():
    async with stage() as (environment, _):
        event = WeddingEvent.model_validate({"eventId": "e", "type": "moved", "weddingDate": "2099-07-03"})
        await ActivityEnvironment(client=environment.client).run(tell, News("o", "nobody", event))
