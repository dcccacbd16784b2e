"""RouteNotificationBatch over the emulated vendors: one effect each, one result each, few calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import SearchAttributeKey
from temporalio.testing import WorkflowEnvironment

from activities.batch import KIND, Batches
from activities.boundary import as_application_error
from activities.notify import Notify
from activities.ports.delivery import DeliveryConnector
from activities.storage.ledger import EffectLedger
from activities.sync_parts import Parts
from contracts.batch import (
    AppliedEffects,
    ApplyEffects,
    BatchCounts,
    BatchRun,
    BatchSummary,
    ClosePart,
    PartPlan,
    PartResult,
    PlanPart,
    SystemEffects,
)
from contracts.dataset import DatasetRef
from contracts.effects import PlanRouting, RoutingPlan
from contracts.errors import Permanent
from contracts.names import DATA_QUEUE, ORCHESTRATION_QUEUE, SearchAttribute, batch_workflow_id, system_queue
from contracts.notification import CrossSystemRouting, OverallStatus, RoutingResult
from starters.failures import detail_of
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_report_vendors import House
from tests.support.emulators import Emulators
from tests.support.hubspot_account import people
from tests.support.post_office import planner
from tests.support.temporal import polling, real_time, time_skipping
from workflows.route_notification import RouteNotification
from workflows.route_notification_batch import RouteNotificationBatch

EMULATED = ("hubspot", "salesforce", "slack", "wedsync")
ORGANIZATION = "lumen-studios"
QUEUES = [DATA_QUEUE, *(system_queue(name) for name in ("hubspot", "slack"))]
CRM = {
    "systemId": "crm",
    "systemType": "hubspot",
    "integrationId": "hubspot-main",
    "contacts": [{"crmContactId": "501"}],
}
CHAT = {
    "systemId": "chat",
    "systemType": "slack",
    "integrationId": "slack-main",
    "channels": [{"channelId": "C0WEDDINGS"}],
}
NOTES = "note.created"
REF = DatasetRef(key="lumen-studios/notification-batch/batch-1/part.ndjson", rows=1, size_bytes=1, sha256="0" * 64)


def routing(number: int, *targets: dict[str, Any], **rest: Any) -> CrossSystemRouting:
    return CrossSystemRouting.model_validate(
        {
            "routingId": f"route-{number}",
            "organizationId": ORGANIZATION,
            "sourceNotification": {
                "notificationId": f"notif-{number}",
                "type": "payment_received",
                "title": f"Payment {number}",
                "message": f"The payment {number} has arrived.",
                "priority": "normal",
            },
            "targetSystems": list(targets) or [CRM],
            **rest,
        }
    )


class Office:
    """The real activities of notifications over the emulators."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.ledger = EffectLedger(house.database)
        self.notify = Notify(house.access, house.connections, self.ledger, planner(house.database, house.access))
        self.batches = Batches(house.access, self.notify, self.ledger, house.staging)

    def activities(self) -> list[Any]:
        return [
            *(self.batches.plan, self.batches.apply, self.batches.close),
            *(self.notify.plan, self.notify.apply_effect),
        ]

    async def results(self, summary: BatchSummary) -> dict[str, RoutingResult]:
        parts = Parts(self.house.staging, ORGANIZATION, summary.batch_id, KIND)
        found = [result for ref in summary.results for result in await parts.read(ref, RoutingResult)]
        assert len(found) == len({result.routing_id for result in found}) == summary.counts.total
        return {result.routing_id: result for result in found}


class FakeBatches:
    """Parts that are planned, applied and closed without vendors."""

    def __init__(self) -> None:
        self.unplannable: set[int] = set()
        self.unclosable: set[int] = set()
        self.errors: dict[int, str] = {}

    def activities(self) -> list[Any]:
        return [self.plan, self.apply, self.close]

    @activity.defn(name="batch.plan")
    async def plan(self, request: PlanPart) -> PartPlan:
        if request.number in self.unplannable:
            raise as_application_error(Permanent("part_unreadable", "The part cannot be read."))
        effects = SystemEffects(system="slack", integration_id="slack-main", effects=REF)
        return PartPlan(plan=REF, systems=[effects, effects.model_copy(update={"integration_id": "slack-other"})])

    @activity.defn(name="batch.apply")
    async def apply(self, request: ApplyEffects) -> AppliedEffects:
        if request.integration_id == "slack-other":
            raise Permanent("integration_gone", "The integration refuses work.")
        return AppliedEffects(outcomes=REF, vendor_calls=1)

    @activity.defn(name="batch.close")
    async def close(self, request: ClosePart) -> PartResult:
        if request.number in self.unclosable:
            raise as_application_error(Permanent("store_gone", "The results cannot be written."))
        if request.error is not None:
            self.errors[request.number] = request.error.code
            return PartResult(results=REF, counts=BatchCounts(failed=len(request.routings)))
        assert set(request.refused) == {"slack-other"}
        return PartResult(results=REF, counts=BatchCounts(partial_failure=1))


@pytest.fixture
async def office(emulators: Emulators, tmp_path: Path) -> AsyncIterator[Office]:  # noqa: F811
    async with House.opened(emulators, tmp_path) as house:
        await house.connect("hubspot", {"accessToken": "sandbox-hubspot-token"})
        await house.connect("slack", {"botToken": "sandbox-slack-token"})
        await (await house.access.connector(ORGANIZATION, "hubspot-main", DeliveryConnector)).provision()
        yield Office(house)


@asynccontextmanager
async def stage(
    office: Office | FakeBatches, server: Callable[[], AbstractAsyncContextManager[WorkflowEnvironment]] = time_skipping
) -> AsyncIterator[Client]:
    async with (
        server() as environment,
        polling(environment.client, [RouteNotification, RouteNotificationBatch], office.activities(), *QUEUES),
    ):
        yield environment.client


async def start(
    client: Client, routings: list[CrossSystemRouting], batch_id: str = "batch-1"
) -> WorkflowHandle[Any, BatchSummary]:
    batch = BatchRun(batch_id=batch_id, organization_id=ORGANIZATION, routings=routings)
    return await client.start_workflow(
        RouteNotificationBatch.run,
        batch,
        id=batch_workflow_id(ORGANIZATION, batch_id),
        task_queue=ORCHESTRATION_QUEUE,
    )


async def routed(office: Office, routings: list[CrossSystemRouting]) -> BatchSummary:
    async with stage(office) as client:
        return await (await start(client, routings)).result()


def kinds(emulated: Emulators, system: str) -> Counter[str]:
    return Counter(effect["kind"] for effect in emulated.effects(system))


def crm(contact_id: str, **rest: Any) -> dict[str, Any]:
    return {**CRM, "contacts": [{"crmContactId": contact_id}], **rest}


def asked(emulated: Emulators, ending: str) -> int:
    return sum(request["path"].endswith(ending) for request in emulated.requests("hubspot"))


async def test_every_notification_stands_once_everywhere_with_a_result_of_its_own_and_few_calls(
    office: Office,
    emulators: Emulators,  # noqa: F811
):
    contacts = people(emulators, 100)
    summary = await routed(office, [routing(n, crm(contacts[n]), CHAT) for n in range(100)])

    results = await office.results(summary)
    posted = Counter(str(effect["body"]["text"]) for effect in emulators.effects("slack"))
    assert (summary.total, summary.counts) == (100, BatchCounts(success=100))
    assert {result.overall_status for result in results.values()} == {OverallStatus.SUCCESS}
    assert kinds(emulators, "hubspot")[NOTES] == 100
    assert len(posted) == 100
    assert set(posted.values()) == {1}
    assert (asked(emulators, "notes/batch/create"), asked(emulators, "contacts/batch/update")) == (1, 1)


async def test_what_was_routed_by_itself_before_is_not_repeated_in_a_batch(office: Office, emulators: Emulators):  # noqa: F811
    async with stage(office) as client:
        await client.execute_workflow(
            RouteNotification.run, routing(1, CHAT), id="route-1", task_queue=ORCHESTRATION_QUEUE
        )
        summary = await (await start(client, [routing(1, CHAT), routing(2, CHAT)])).result()

    [replayed, fresh] = (await office.results(summary)).values()
    assert [item.system_results[0].delivery_results[0].replayed for item in (replayed, fresh)] == [True, False]
    assert len(emulators.effects("slack")) == 2


async def test_f21_a_batch_call_whose_answer_was_lost_leaves_every_effect_once(office: Office, emulators: Emulators):  # noqa: F811
    contacts = people(emulators, 30)
    emulators.fault("hubspot", "drop_after_effect", path="notes/batch/create", count=1)
    emulators.fault("slack", "drop_after_effect", path="chat.postMessage", count=5)
    summary = await routed(office, [routing(n, crm(contacts[n]), CHAT) for n in range(30)])

    assert summary.counts == BatchCounts(success=30)
    assert kinds(emulators, "hubspot")[NOTES] == 30
    assert len(emulators.effects("slack")) == 30


async def test_f28_one_effect_that_the_vendor_refuses_leaves_the_others_of_its_batch_delivered(
    office: Office,
    emulators: Emulators,  # noqa: F811
):
    contacts = people(emulators, 40)
    contacts[17] = "999999"
    summary = await routed(office, [routing(n, crm(contacts[n])) for n in range(40)])

    results = await office.results(summary)
    assert summary.counts == BatchCounts(success=39, failed=1)
    assert [name for name, item in results.items() if item.overall_status is not OverallStatus.SUCCESS] == ["route-17"]


async def test_a_paused_vendor_is_asked_again_later_and_only_for_what_is_missing(office: Office, emulators: Emulators):  # noqa: F811
    emulators.fault("slack", "status", path="chat.postMessage", status=503, count=7)
    summary = await routed(office, [routing(n, CHAT) for n in range(40)])

    assert summary.counts == BatchCounts(success=40)
    assert len(emulators.effects("slack")) == 40


async def test_a_routing_that_needs_another_systems_help_is_run_apart_and_is_counted_with_the_rest(
    office: Office,
    emulators: Emulators,  # noqa: F811
):
    lost = {**CHAT, "channels": [{"channelId": "C0NOWHERE"}], "failover": ["crm"]}
    summary = await routed(office, [routing(1, CHAT), routing(2, lost, CRM)])

    results = await office.results(summary)
    assert summary.counts == BatchCounts(success=2)
    assert results["route-2"].system_results[0].failed_over_to == "crm"


async def test_a_rule_skips_a_target_within_a_batch(office: Office, emulators: Emulators):  # noqa: F811
    rule = {"ruleId": "urgent", "systemIds": ["chat"], "condition": "notification.priority == 'critical'"}
    summary = await routed(office, [routing(1, CHAT, routingRules=[rule]), routing(2, CHAT)])

    results = await office.results(summary)
    assert summary.counts == BatchCounts(success=1, skipped=1)
    assert results["route-1"].system_results[0].reason == "rule:urgent"
    assert len(emulators.effects("slack")) == 1


async def test_a_batch_that_is_called_off_says_of_every_notification_whether_it_was_sent(
    office: Office,
    emulators: Emulators,  # noqa: F811
):
    emulators.fault("slack", "latency", path="chat.postMessage", delayS=0.05)
    async with stage(office, real_time) as client:
        handle = await start(client, [routing(n, CHAT) for n in range(500)])
        while not emulators.effects("slack"):  # noqa: ASYNC110 - the ledger is another process's
            await asyncio.sleep(0.05)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        sent = len(emulators.effects("slack"))
        summary = await handle.query(RouteNotificationBatch.summary)

    results = await office.results(summary)
    told = Counter(item.system_results[0].reason for item in results.values())
    assert len(results) == summary.total == 500
    assert 0 < sent < 500
    assert told == {"": sent, "batch_cancelled": 500 - sent}
    assert len(emulators.effects("slack")) == sent


async def ended_badly(fake: FakeBatches | Office, count: int) -> tuple[str, str, BatchSummary]:
    """Run a batch that fails; return its error's code, its outcome, and its summary."""
    async with stage(fake, real_time) as client:
        handle = await start(client, [routing(number, CHAT) for number in range(count)])
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        found = (await handle.describe()).typed_search_attributes
        outcome = found.get(SearchAttributeKey.for_keyword(SearchAttribute.OUTCOME))
        return detail_of(failed.value).code, str(outcome), await handle.query(RouteNotificationBatch.summary)


async def test_a_part_that_cannot_be_planned_fails_the_batch_with_its_reason_and_every_notification_is_counted():
    fake = FakeBatches()
    fake.unplannable = {0}
    code, outcome, summary = await ended_badly(fake, 100)
    assert (code, outcome, fake.errors) == ("part_unreadable", "failed", {0: "part_unreadable"})
    assert (summary.counts, len(summary.results)) == (BatchCounts(failed=100), 1)


async def test_a_part_that_cannot_be_closed_fails_the_batch_with_its_reason_and_every_notification_is_counted():
    fake = FakeBatches()
    fake.unclosable = {0}
    code, outcome, summary = await ended_badly(fake, 100)
    assert (code, outcome) == ("store_gone", "failed")
    assert (summary.counts, summary.results) == (BatchCounts(failed=100), [])


async def test_what_a_batch_did_not_come_to_after_a_part_failed_has_results_of_its_own(
    office: Office,
    emulators: Emulators,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    async def plan(request: PlanRouting) -> RoutingPlan:
        if request.routing.routing_id == "route-3":
            raise Permanent("part_unreadable", "The part cannot be read.")
        return await office.notify.plan(request)

    notify = SimpleNamespace(plan=plan, give_back=office.notify.give_back)
    monkeypatch.setattr(office.batches, "_notify", notify)
    code, outcome, summary = await ended_badly(office, 500)
    results = await office.results(summary)
    first = {results[f"route-{number}"].system_results[0].reason for number in range(100)}
    sent = sum(item.overall_status is OverallStatus.SUCCESS for item in results.values())
    assert (code, outcome, first) == ("part_unreadable", "failed", {"part_unreadable"})
    assert (len(results), summary.counts.total) == (500, 500)
    assert len(emulators.effects("slack")) == sent


async def test_a_history_holds_less_than_half_an_event_per_notification_and_target(office: Office):
    async with stage(office) as client:
        handle = await start(client, [routing(n, CHAT, CRM) for n in range(200)])
        await handle.result()
        events = len((await handle.fetch_history()).events)

    assert events / 400 < 0.5
