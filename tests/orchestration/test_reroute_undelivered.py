"""RerouteUndelivered: receipts over the real ledger and store, and vendors that deliver or do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from activities.storage.delivery_receipts import DeliveryReceiptStore
from activities.storage.lost_messages import SETTLES, LostMessages
from activities.undelivered import Undelivered
from contracts.alerts import Alert, AlertKind
from contracts.effects import StandingEffect
from contracts.errors import ErrorDetail, ErrorKind
from contracts.names import (
    ORCHESTRATION_QUEUE,
    WorkflowType,
    reroute_workflow_id,
    routing_workflow_id,
    system_queue,
)
from contracts.notification import CrossSystemRouting, RoutingResult
from contracts.recall import RecallRequest
from contracts.sync import SyncPriority
from contracts.undelivered import RerouteResult, UndeliveredEffect
from starters.receipts import Receipts
from starters.starting import start_or_join
from tests.support.temporal import polling, real_time, time_skipping
from tests.support.vendors import MAKES, House, Point, Vendor, house
from workflows.policies import RUN_TIMEOUT, priority
from workflows.reroute_undelivered import RerouteUndelivered
from workflows.route_notification import RouteNotification

ORGANIZATION, OTHER = "lumen-studios", "harbour-weddings"
AT = datetime(2027, 6, 1, 9, tzinfo=UTC)
ERROR = ErrorDetail(kind=ErrorKind.PERMANENT, code="not_delivered", message="The phone is off.")
QUEUES = tuple(system_queue(name) for name in MAKES)
WORKFLOWS = [RouteNotification, RerouteUndelivered]


def routing(*lines: Sequence[str], routing_id: str = "route-1", **notification: Any) -> CrossSystemRouting:
    """Return a routing with one line per target: the target, then those that stand by for it."""
    names = dict.fromkeys(name for line in lines for name in line)
    return CrossSystemRouting.model_validate(
        {
            "routingId": routing_id,
            "organizationId": ORGANIZATION,
            "sourceNotification": {
                "notificationId": f"notif-{routing_id}",
                "type": "timeline_change",
                "title": "Ceremony moved",
                "message": "The ceremony starts at 15:30.",
                **notification,
            },
            "targetSystems": [
                {"systemId": name, "systemType": name, "integrationId": f"{name}-main"} for name in names
            ],
            "errorHandling": {"failover": {first: list(rest) for first, *rest in lines if rest}},
        }
    )


@dataclass
class Scene:
    """An organisation's vendors, the runs of its messages, and the door that takes receipts."""

    client: Client
    house: House
    store: DeliveryReceiptStore
    lost: LostMessages
    waits: bool = True
    """Whether a receipt is taken only once its run has ended."""

    def vendor(self, system: str) -> Vendor:
        return self.house.vendors.known[ORGANIZATION, f"{system}-main"]

    def made(self) -> dict[str, int]:
        """Return how often each vendor made an effect."""
        return {system: n for system in MAKES if (n := sum(self.vendor(system).made.values()))}

    def receipts(self) -> Receipts:
        """Return the door's part for receipts, as a process that has just started has it."""
        return Receipts(self.client, self.store, self._reroute)

    async def _reroute(self, told: UndeliveredEffect) -> None:
        effect = told.effect
        run = await start_or_join(
            self.client,
            WorkflowType.REROUTE_UNDELIVERED,
            told,
            RerouteResult,
            reroute_workflow_id(effect.organization_id, effect.effect_id),
            priority(SyncPriority.HIGH, effect.organization_id),
            "not delivered",
            RUN_TIMEOUT,
        )
        if self.waits:
            await run.result()

    async def routed(self, wanted: CrossSystemRouting) -> RoutingResult:
        return await self.client.execute_workflow(
            RouteNotification.run,
            wanted,
            id=routing_workflow_id(ORGANIZATION, wanted.routing_id),
            task_queue=ORCHESTRATION_QUEUE,
        )

    async def effects(self, system: str, routing_id: str = "route-1") -> list[StandingEffect]:
        entries = await self.house.ledger.of_notification(ORGANIZATION, f"notif-{routing_id}")
        return [one.standing for one in entries if one.standing is not None and one.system == system]

    async def recalled(self, **about: str) -> None:
        """Have a recall of the wedding begin, and wait until it is listed."""
        recall = RecallRequest.model_validate(
            {"recallId": "r-1", "organizationId": ORGANIZATION, "weddingId": "wed-1", **about}
        )
        attributes = {"OrganizationId": ORGANIZATION, "WeddingId": "wed-1"}
        await self.client.start_workflow(
            WorkflowType.RECALL_WEDDING,
            recall,
            id="recall-wedding/1",
            task_queue="nobody-polls-it",
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in attributes.items()]
            ),
        )
        listed = "WorkflowType = 'RecallWedding' AND WeddingId = 'wed-1'"
        while (await self.client.count_workflows(listed)).count == 0:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.1)

    async def bounced(self, system: str, routing_id: str = "route-1", times: int = 1) -> None:
        """Have a vendor tell that it did not deliver what it took."""
        for effect in await self.effects(system, routing_id):
            for _ in range(times):
                await self.receipts().not_delivered(effect, ERROR, AT)

    async def told(self) -> list[Alert]:
        """Return the alerts that are due once everything has settled."""
        return [due.alert for due in await self.lost.collect(datetime.now(UTC) + SETTLES)]

    def activities(self) -> list[Any]:
        verbs = Undelivered(self.house.ledger, self.store, self.lost)
        return [*self.house.activities(), self.house.notify.give_back, verbs.find, verbs.note]

    def workers(self) -> Any:
        return polling(self.client, WORKFLOWS, self.activities(), *QUEUES)


@asynccontextmanager
async def scene(folder: Path, server: Callable[[], Any] = time_skipping) -> AsyncIterator[Scene]:
    """Yield a scene whose workers do not run yet."""
    async with house(folder) as standing, server() as environment:
        for system in MAKES:
            standing.vendors.connect(ORGANIZATION, f"{system}-main", system, Point.NOWHERE)
        database = standing.ledger._database
        yield Scene(environment.client, standing, DeliveryReceiptStore(database), LostMessages(database))


@asynccontextmanager
async def played(folder: Path) -> AsyncIterator[Scene]:
    async with scene(folder) as here, here.workers():
        yield here


async def test_the_next_of_the_line_gets_what_was_not_delivered_once_however_often_the_receipt_comes(tmp_path: Path):
    async with played(tmp_path) as here:
        await here.routed(routing(["chat", "mail", "book"]))
        await here.bounced("chat", times=3)
        assert await here.told() == []
    assert here.made() == {"chat": 1, "mail": 1}


async def test_a_receipt_that_comes_again_after_everything_was_started_anew_sends_nothing_again(tmp_path: Path):
    async with scene(tmp_path) as here:
        async with here.workers():
            await here.routed(routing(["chat", "mail"]))
        async with here.workers():
            await here.bounced("chat")
        async with here.workers():
            await here.bounced("chat")
    assert here.made() == {"chat": 1, "mail": 1}


async def test_a_line_is_followed_to_its_end_and_then_the_organisation_is_told_once(tmp_path: Path):
    async with played(tmp_path) as here:
        await here.routed(routing(["chat", "mail", "book"]))
        for system in ("chat", "mail", "book"):
            await here.bounced(system, times=2)
        [alert] = await here.told()
    assert here.made() == {"chat": 1, "mail": 1, "book": 1}
    assert (alert.kind, alert.integration_ids) == (AlertKind.MESSAGE_UNDELIVERED, ["book-main"])
    assert alert.sentence.startswith(
        "book did not deliver a message, and nobody is left to stand in: The phone is off."
    )
    assert "explain notif-route-1" in alert.action


async def test_a_message_without_a_line_is_told_to_the_organisation_as_one_whatever_its_effects(tmp_path: Path):
    async with played(tmp_path) as here:
        await here.routed(routing(["crm"]))
        await here.bounced("crm", times=2)
        assert len(await here.effects("crm")) == 2
        [alert] = await here.told()
    assert "2 parts of a message" in alert.sentence
    assert here.made() == {"crm": 2}


async def test_a_line_whose_rest_fails_by_itself_is_told_to_the_organisation(tmp_path: Path):
    async with played(tmp_path) as here:
        here.vendor("mail").point = Point.BEFORE
        await here.routed(routing(["chat", "mail"]))
        await here.bounced("chat")
        [alert] = await here.told()
    assert "notif-route-1" in alert.action


async def test_two_targets_with_one_stand_in_reach_it_once(tmp_path: Path):
    async with played(tmp_path) as here:
        await here.routed(routing(["chat", "mail"], ["book", "mail"]))
        for system in ("chat", "book"):
            await here.bounced(system)
        assert await here.told() == []
    assert here.made() == {"chat": 1, "book": 1, "mail": 1}


@pytest.mark.parametrize("first", ["delivered", "not_delivered"])
async def test_what_is_told_as_delivered_before_anything_was_begun_is_not_rerouted(tmp_path: Path, first: str):
    async with scene(tmp_path) as here:
        async with here.workers():
            await here.routed(routing(["chat", "mail"]))
        [effect] = await here.effects("chat")
        if first == "not_delivered":
            await here.store.undelivered(effect, ERROR.code, AT)
        await here.receipts().delivered(effect, AT)
        async with here.workers():
            await here.receipts().not_delivered(effect, ERROR, AT)
    assert here.made() == {"chat": 1}


async def test_what_is_told_as_delivered_while_its_rerouting_waits_for_a_worker_is_not_rerouted(tmp_path: Path):
    async with scene(tmp_path) as here:
        async with here.workers():
            await here.routed(routing(["chat", "mail"]))
        [effect] = await here.effects("chat")
        here.waits = False
        await here.receipts().not_delivered(effect, ERROR, AT)
        await here.receipts().delivered(effect, AT)
        async with here.workers():
            workflow_id = reroute_workflow_id(ORGANIZATION, effect.effect_id)
            result: RerouteResult = await here.client.get_workflow_handle(
                workflow_id, result_type=RerouteResult
            ).result()
    assert (result.outcome, here.made()) == ("settled", {"chat": 1})


async def test_a_message_that_was_taken_back_is_not_rerouted(tmp_path: Path):
    async with played(tmp_path) as here:
        await here.routed(routing(["chat", "mail"]))
        [effect] = await here.effects("chat")
        await here.house.ledger.retracted(ORGANIZATION, effect.effect_id)
        await here.bounced("chat")
        assert (here.made(), await here.told()) == ({"chat": 1}, [])


@pytest.mark.parametrize(
    ("about", "made"),
    [
        ({}, {"chat": 1}),
        ({"notificationId": "notif-route-1"}, {"chat": 1}),
        ({"notificationId": "another"}, {"chat": 1, "mail": 1}),
    ],
    ids=["the wedding", "the message", "another message"],
)
async def test_a_message_that_was_recalled_since_is_not_rerouted(
    tmp_path: Path, about: dict[str, str], made: dict[str, int]
):
    async with scene(tmp_path, real_time) as here, here.workers():
        await here.routed(routing(["chat", "mail"], weddingContext={"weddingId": "wed-1"}))
        await here.recalled(**about)
        await here.bounced("chat")
    assert here.made() == made


async def test_somebody_whom_a_text_did_not_reach_is_not_taken_for_reached_by_another_system(tmp_path: Path):
    async with played(tmp_path) as here:
        wanted = routing(["chat", "mail"])
        targets = [one.model_copy(update={"recipients": ["+447700900101"]}) for one in wanted.target_systems]
        await here.routed(wanted.model_copy(update={"target_systems": targets}))
        await here.bounced("chat")
    assert here.made() == {"chat": 1, "mail": 1}


async def test_a_message_whose_run_nobody_knows_any_more_is_told_to_the_organisation(tmp_path: Path):
    async with played(tmp_path) as here:
        await here.routed(routing(["chat", "mail"]))
        [effect] = await here.effects("chat")
        gone = effect.model_copy(update={"workflow_id": "route-notification-batch/lumen-studios/b-1"})
        await here.receipts().not_delivered(gone, ERROR, AT)
        [alert] = await here.told()
    assert (here.made(), alert.integration_ids) == ({"chat": 1}, ["chat-main"])


async def test_the_word_that_a_message_did_not_arrive_is_not_followed_by_another_such_word(tmp_path: Path):
    async with played(tmp_path) as here:
        await here.routed(routing(["chat"], type=AlertKind.MESSAGE_UNDELIVERED.value))
        await here.bounced("chat")
        assert await here.told() == []


async def test_f70_a_receipt_names_nothing_of_another_organisation(tmp_path: Path):
    async with played(tmp_path) as here:
        await here.routed(routing(["chat", "mail"]))
        [effect] = await here.effects("chat")
        await here.receipts().not_delivered(effect.model_copy(update={"organization_id": OTHER}), ERROR, AT)
        mine = await here.store.of_notification(ORGANIZATION, "notif-route-1")
        assert (here.made(), await here.told(), mine) == ({"chat": 1}, [], [])
