"""SyncNotificationStates over the emulated vendors: the furthest state, shown once, never backwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle

from activities.ports.delivery import DeliveryConnector
from activities.states import States
from activities.storage.states import StateStore
from contracts.engagement import (
    CarriedStates,
    CarryStates,
    NotificationState,
    StateSyncDetail,
    StateSynchronization,
    StateSyncResult,
)
from contracts.errors import Permanent
from contracts.names import ORCHESTRATION_QUEUE, state_sync_workflow_id, system_queue
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_route_notification_batch import CHAT, CRM, EMULATED, ORGANIZATION, Office, routing
from tests.orchestration.test_sync_report_vendors import House
from tests.support.emulators import Emulators
from tests.support.temporal import polling, time_skipping
from workflows.route_notification import RouteNotification
from workflows.sync_notification_states import SyncNotificationStates

__all__ = ["EMULATED"]
AT = datetime(2027, 6, 1, 9, tzinfo=UTC)
QUEUES = [system_queue("hubspot"), system_queue("slack")]
TARGETS = [
    {"systemId": name, "systemType": system, "integrationId": f"{system}-main"}
    for name, system in (("crm", "hubspot"), ("chat", "slack"))
]


class Desk(Office):
    """The activities of states beside those of notifications."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.states = States(house.access, self.ledger, StateStore(house.database))

    def activities(self) -> list[Any]:
        return [*super().activities(), self.states.carry, self.states.track]


class FakeStates:
    """One system that shows everything, and one that refuses work."""

    def activities(self) -> list[Any]:
        return [self.carry]

    @activity.defn(name="states.carry")
    async def carry(self, request: CarryStates) -> CarriedStates:
        if request.target.system_id == "chat":
            raise Permanent("integration_gone", "The integration refuses work.")
        return CarriedStates(
            details=[
                StateSyncDetail(notification_id=one.notification_id, system_id="crm", state=one.state, changed=True)
                for one in request.states
            ]
        )


@pytest.fixture
async def desk(emulators: Emulators, tmp_path: Path) -> AsyncIterator[Desk]:  # noqa: F811
    async with House.opened(emulators, tmp_path) as house:
        await house.connect("hubspot", {"accessToken": "sandbox-hubspot-token"})
        await house.connect("slack", {"botToken": "sandbox-slack-token"})
        await (await house.access.connector(ORGANIZATION, "hubspot-main", DeliveryConnector)).provision()
        yield Desk(house)


@asynccontextmanager
async def stage(desk: Desk | FakeStates) -> AsyncIterator[Client]:
    workflows = [RouteNotification, SyncNotificationStates]
    async with time_skipping() as environment, polling(environment.client, workflows, desk.activities(), *QUEUES):
        yield environment.client


def known(state: str, by: str, minutes: int = 0) -> dict[str, Any]:
    return {"notificationId": "notif-1", "systemId": by, "state": state, "occurredAt": AT + timedelta(minutes=minutes)}


async def carry(client: Client, sync_id: str, **given: Any) -> WorkflowHandle[Any, StateSyncResult]:
    sync = StateSynchronization.model_validate(
        {"syncId": sync_id, "organizationId": ORGANIZATION, "targetSystems": TARGETS, **given}
    )
    return await client.start_workflow(
        SyncNotificationStates.run,
        sync,
        id=state_sync_workflow_id(ORGANIZATION, sync_id),
        task_queue=ORCHESTRATION_QUEUE,
    )


async def routed(client: Client) -> None:
    await client.execute_workflow(
        RouteNotification.run, routing(1, CRM, CHAT), id="route-1", task_queue=ORCHESTRATION_QUEUE
    )


def note_state(emulated: Emulators) -> str | None:
    [note] = emulated.objects("hubspot", "notes")
    found: str | None = note["properties"].get("wedsync_state")
    return found


async def test_the_furthest_of_several_states_is_shown_by_the_others_once(desk: Desk, emulators: Emulators):  # noqa: F811
    told = [known("read", "mail"), known("delivered", "mail", 5), known("read", "mail", 9)]
    async with stage(desk) as client:
        await routed(client)
        first = await (await carry(client, "one", states=told)).result()
        again = await (await carry(client, "two", states=told)).result()

    reactions = [effect["body"]["name"] for effect in emulators.effects("slack") if effect["kind"] == "reaction.added"]
    assert {(one.system_id, one.changed) for one in first.sync_details} == {("crm", True), ("chat", True)}
    assert {one.reason for one in again.sync_details} == {"known_already"}
    assert (note_state(emulators), reactions) == ("read", ["eyes"])


async def test_a_state_that_comes_late_takes_nothing_back(desk: Desk, emulators: Emulators):  # noqa: F811
    async with stage(desk) as client:
        await routed(client)
        await (await carry(client, "one", states=[known("acknowledged", "mail", 9)])).result()
        await (await carry(client, "two", states=[known("delivered", "mail")])).result()

    assert note_state(emulators) == NotificationState.ACKNOWLEDGED


async def test_a_system_is_not_told_what_it_told_itself(desk: Desk, emulators: Emulators):  # noqa: F811
    async with stage(desk) as client:
        await routed(client)
        result = await (await carry(client, "one", states=[known("read", "chat")])).result()

    assert [one.system_id for one in result.sync_details] == ["crm"]
    assert not [effect for effect in emulators.effects("slack") if effect["kind"] == "reaction.added"]


async def test_what_people_made_of_a_message_counts_as_its_having_been_read(desk: Desk, emulators: Emulators):  # noqa: F811
    async with stage(desk) as client:
        await routed(client)
        [message] = emulators.objects("slack", "messages")
        [entry] = [one for one in await desk.ledger.of_notification(ORGANIZATION, "notif-1") if one.system == "slack"]
        connector = await desk.house.access.connector(ORGANIZATION, "slack-main", DeliveryConnector)
        await connector.show_state(entry.standing, NotificationState.ACKNOWLEDGED)  # type: ignore[attr-defined]
        tracking = {"messageId": "m-1", "channelId": "C0WEDDINGS", "messageTimestamp": message["ts"]}
        source = {**TARGETS[1], "tracking": tracking}
        result = await (await carry(client, "one", engagement=[source])).result()

    [engagement] = result.engagement
    assert (engagement.reactions[0].name, engagement.engagement_score) == ("white_check_mark", 1)
    assert note_state(emulators) == NotificationState.READ


async def test_a_system_that_refuses_work_leaves_the_others_told():
    async with stage(FakeStates()) as client:
        result = await (await carry(client, "one", states=[known("read", "mail")])).result()

    assert (result.successful_syncs, result.failed_syncs) == (1, 1)
    assert {one.system_id: one.reason for one in result.sync_details} == {"crm": "", "chat": "integration_gone"}
