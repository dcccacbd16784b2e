"""RecallWedding with the real activities, ledger and connectors, against the emulated vendors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle

from activities import timeline
from activities.boundary import as_application_error
from activities.recall_wedding import WeddingRecall
from contracts.effects import EffectStep, RetractOutcome, RetractStatus, StandingEffect
from contracts.errors import Permanent
from contracts.names import ORCHESTRATION_QUEUE, recall_workflow_id, routing_workflow_id, wedding_workflow_id
from contracts.notification import CrossSystemRouting, RoutingResult
from contracts.recall import (
    AccountEntry,
    RecallAccount,
    RecallOutcome,
    RecallReport,
    RecallRequest,
    StoppedDeliveries,
)
from contracts.wedding import WeddingState
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_wedding_interleavings import until
from tests.support.desk import ORGANIZATION, Desk, open_desk
from tests.support.emulators import Emulators
from tests.support.temporal import polling, real_server, time_skipping
from workflows.recall_wedding import RecallWedding
from workflows.route_notification import RouteNotification
from workflows.wedding_timeline import WeddingTimeline

EMULATED = ("hubspot", "slack", "smtp", "tave")
SYSTEMS = ("hubspot", "slack", "email", "tave")
EXAMPLES = Path(__file__).parents[2] / "examples"
ROUTING = json.loads((EXAMPLES / "route-notification.json").read_text())
WEDDING = json.loads((EXAMPLES / "wedding-timeline.json").read_text())
WEDDING_ID = WEDDING["weddingId"]
AWAKE = [{**person, "quietHours": None} for person in WEDDING["participants"]]
"""Participants who are written to whatever the hour of the test."""
NOW = datetime(2027, 1, 1, tzinfo=UTC)
WORKFLOWS = [RecallWedding, RouteNotification, WeddingTimeline]
TASK = {
    "name": "Welcome",
    "trigger": "property_change",
    "triggerProperty": "booking_status",
    "triggerValue": "confirmed",
    "actions": [{"type": "create_task", "taskType": "welcome_call"}],
}


class House:
    """A desk, a server, and workers that can be stopped and started."""

    def __init__(self, client: Client, desk: Desk, emulated: Emulators) -> None:
        self.client, self.desk, self.emulated = client, desk, emulated

    def workers(self) -> AbstractAsyncContextManager[None]:
        desk = self.desk
        recall = WeddingRecall(desk.access, desk.ledger)
        verbs = [
            *(timeline.plan, desk.notify.plan, desk.notify.plan_action, desk.notify.apply_effect),
            *(desk.recall.retract, desk.recall.correct, desk.recall.look_for_effect),
            *(desk.notify.check_effect, desk.notify.give_back),
            *(recall.stop, recall.account, recall.replan),
        ]
        return polling(self.client, WORKFLOWS, verbs, *(f"system.{name}" for name in SYSTEMS))

    async def wedding(self) -> WorkflowHandle[Any, WeddingState]:
        """Start the example's wedding and wait until all that is due at once was sent."""
        handle = await self.client.start_workflow(
            WeddingTimeline.__name__,
            {
                **WEDDING,
                "weddingDate": "2099-06-12",
                "participants": AWAKE,
                "automations": [*WEDDING["automations"], TASK],
            },
            id=wedding_workflow_id(ORGANIZATION, WEDDING_ID),
            task_queue=ORCHESTRATION_QUEUE,
            result_type=WeddingState,
        )

        async def is_sent() -> bool:
            state = await handle.query("state", result_type=WeddingState)
            return Counter(step.status for step in state.steps)["sent"] == 2

        await until(is_sent)
        return handle

    async def routed(self, routing_id: str, **changes: Any) -> WorkflowHandle[Any, RoutingResult]:
        given = {**ROUTING, "routingId": routing_id, **changes}
        given["sourceNotification"] = {**ROUTING["sourceNotification"], "notificationId": f"n-{routing_id}"}
        return await self.client.start_workflow(
            RouteNotification.run,
            CrossSystemRouting.model_validate(given),
            id=routing_workflow_id(ORGANIZATION, routing_id),
            task_queue=ORCHESTRATION_QUEUE,
        )

    async def recall(self, recall_id: str, **changes: Any) -> WorkflowHandle[Any, RecallReport]:
        given = {"organizationId": ORGANIZATION, "weddingId": WEDDING_ID, "recallId": recall_id, **changes}
        return await self.client.start_workflow(
            RecallWedding.run,
            RecallRequest.model_validate(given),
            id=recall_workflow_id(ORGANIZATION, WEDDING_ID, recall_id),
            task_queue=ORCHESTRATION_QUEUE,
        )

    async def told(self) -> list[str]:
        """The ids of everything the ledger has about the wedding."""
        return [entry.effect_id for entry in await self.desk.ledger.of_wedding(ORGANIZATION, WEDDING_ID)]


@asynccontextmanager
async def house(emulated: Emulators, folder: Path) -> AsyncIterator[House]:
    post = emulated.details("smtp")

    def place(system: str) -> str:
        return f"smtp://{post['host']}:{post['port']}" if system == "email" else emulated.base_url(system)

    async with open_desk(folder, place) as desk, real_server() as client:
        for system in SYSTEMS:
            await desk.connect(system)
        await (await desk.connector("hubspot")).provision()
        yield House(client, desk, emulated)


def foreign(effect_id: str) -> EffectStep:
    """An effect of another organisation about a wedding of the same id."""
    return EffectStep(
        effect_id=effect_id,
        organization_id="another",
        integration_id="slack-main",
        system="slack",
        kind="message.post",
        object_id="C0WEDDINGS",
        wedding_id=WEDDING_ID,
    )


async def tried(stage: House, notification_id: str) -> bool:
    return bool(await stage.desk.ledger.of_notification(ORGANIZATION, notification_id))


def by_kind(report: RecallReport) -> dict[str, set[RecallOutcome]]:
    found: dict[str, set[RecallOutcome]] = {}
    for entry in report.entries:
        found.setdefault(f"{entry.system} {entry.kind}", set()).add(entry.outcome)
    return found


def kinds(emulated: Emulators, system: str) -> Counter[str]:
    return Counter(one["kind"] for one in emulated.effects(system))


class FakeVerbs:
    """A delivery that ends when it is looked at again, and two effects of which one cannot be taken back."""

    def __init__(self) -> None:
        self.running = ["route-notification/lumen-studios/r"]

    def activities(self) -> list[Any]:
        return [self.stop, self.account, self.retract]

    @activity.defn(name="recall.stop")
    async def stop(self, request: RecallRequest) -> StoppedDeliveries:
        return StoppedDeliveries(stopped_steps=1, running=[self.running.pop()] if self.running else [])

    @activity.defn(name="recall.account")
    async def account(self, request: RecallRequest) -> RecallAccount:
        found = [foreign(letter * 32) for letter in "ab"]
        standing = [
            StandingEffect(**dict(one.model_dump(exclude={"payload", "reversible"})), workflow_id="w", applied_at=NOW)
            for one in found
        ]
        return RecallAccount(
            entries=[
                AccountEntry(**one.model_dump(include=set(AccountEntry.model_fields)), standing=one) for one in standing
            ]
        )

    @activity.defn(name="notify.retract")
    async def retract(self, effect: StandingEffect) -> RetractOutcome:
        if effect.effect_id.startswith("a"):
            raise as_application_error(Permanent("channel_gone", "The channel is gone."))
        return RetractOutcome(status=RetractStatus.RETRACTED)


async def recalled(client: Client) -> WorkflowHandle[Any, RecallReport]:
    request = RecallRequest(organization_id=ORGANIZATION, wedding_id=WEDDING_ID, recall_id="r")
    return await client.start_workflow(RecallWedding.run, request, id="recall", task_queue=ORCHESTRATION_QUEUE)


async def test_an_effect_that_the_vendor_will_not_take_back_is_in_the_report_with_its_error():
    async with (
        time_skipping() as environment,
        polling(environment.client, [RecallWedding], FakeVerbs().activities(), "system.slack"),
    ):
        report = await (await recalled(environment.client)).result()
    [failed, done] = sorted(report.entries, key=lambda entry: entry.effect_id)
    assert (failed.outcome, failed.error.code if failed.error else "") == ("failed", "channel_gone")
    assert (done.outcome, report.status, report.counts) == ("retracted", "partial", {"failed": 1, "retracted": 1})


async def test_a_recalled_wedding_is_silent_and_every_effect_is_accounted_for_once(
    emulators: Emulators,  # noqa: F811 - the fixture
    tmp_path: Path,
):
    async with house(emulators, tmp_path) as stage, stage.workers():
        timeline_ = await stage.wedding()
        await (await stage.routed("route-0001")).result()
        stranger = foreign("f" * 32)
        await stage.desk.ledger.claim(stranger, "route-notification/another/r/run", timedelta())
        await stage.desk.ledger.receipt(stranger, "1.1")
        lost = stranger.model_copy(update={"effect_id": "e" * 32, "organization_id": ORGANIZATION})
        await stage.desk.ledger.claim(lost, "route-notification/lumen-studios/gone/run", timedelta())
        emulators.fault("slack", "status", path="chat.postMessage", status=503)
        waiting = await stage.routed("route-0002", targetSystems=ROUTING["targetSystems"][2:])
        await until(lambda: tried(stage, "n-route-0002"))
        told = await stage.told()

        report = await (await stage.recall("first")).result()
        emulators.clear_faults("slack")
        again = await (await stage.recall("second")).result()
        state = await timeline_.query("state", result_type=WeddingState)
        left = await stage.told()
        theirs = await stage.desk.ledger.entry("another", stranger.effect_id)
        ended = (await waiting.describe()).status

    reported = [entry.effect_id for entry in report.entries]
    assert len(reported) == len(set(reported))
    # The delivery that was called off may have found out by itself that nothing of it stands.
    assert set(left) <= set(reported) <= set(told)
    assert {kind: found - {RecallOutcome.NEVER_APPLIED} for kind, found in by_kind(report).items()} == {
        "email message.send": {RecallOutcome.NOT_REVERSIBLE},
        "hubspot contact.update": {RecallOutcome.NOT_REVERSIBLE},
        "hubspot deal.update": {RecallOutcome.NOT_REVERSIBLE},
        "hubspot note.create": {RecallOutcome.RETRACTED},
        "hubspot task.create": {RecallOutcome.RETRACTED},
        "slack message.post": {RecallOutcome.RETRACTED, RecallOutcome.UNKNOWN},
        "tave event.update": {RecallOutcome.NOT_REVERSIBLE},
        "tave job.update": {RecallOutcome.NOT_REVERSIBLE},
    }
    assert all(entry.action for entry in report.entries if entry.outcome in {"not_reversible", "unknown"})
    assert (report.status, report.stopped_steps) == ("partial", 2)
    assert report.stopped_runs == ["route-notification/lumen-studios/route-0002"]
    assert ended is not None
    assert ended.name != "RUNNING"
    assert {step.status for step in state.steps} == {"sent", "cancelled"}
    assert kinds(emulators, "slack") == {"message.posted": 1, "message.deleted": 1}
    assert {one.outcome for one in again.entries if one.kind in {"note.create", "task.create"}} == {"gone_already"}
    assert theirs is not None
    assert theirs.retracted_at is None


async def test_a_recall_with_better_words_sets_right_what_can_be_changed(
    emulators: Emulators,  # noqa: F811 - the fixture
    tmp_path: Path,
):
    words = {"title": "Ceremony at 16:00", "message": "Please note: the ceremony starts at 16:00."}
    async with house(emulators, tmp_path) as stage, stage.workers():
        await (await stage.routed("route-0001")).result()
        report = await (await stage.recall("first", correction=words)).result()
    assert by_kind(report)["slack message.post"] == {RecallOutcome.CORRECTED}
    assert by_kind(report)["hubspot note.create"] == {RecallOutcome.CORRECTED}
    [message] = emulators.objects("slack", "messages")
    assert "16:00" in json.dumps(message)
    assert kinds(emulators, "slack") == {"message.posted": 1, "message.updated": 1}


async def test_only_the_notification_that_is_named_is_taken_back(
    emulators: Emulators,  # noqa: F811 - the fixture
    tmp_path: Path,
):
    async with house(emulators, tmp_path) as stage, stage.workers():
        timeline_ = await stage.wedding()
        for number in (1, 2):
            await (await stage.routed(f"route-{number}")).result()
        report = await (await stage.recall("first", notificationId="n-route-1")).result()
        state = await timeline_.query("state", result_type=WeddingState)
    assert {entry.notification_id for entry in report.entries} == {"n-route-1"}
    assert kinds(emulators, "slack") == {"message.posted": 2, "message.deleted": 1}
    assert state.status == "planned"


async def test_a_recall_whose_worker_is_lost_goes_on_where_it_was(
    emulators: Emulators,  # noqa: F811 - the fixture
    tmp_path: Path,
):
    async with house(emulators, tmp_path) as stage:
        async with stage.workers():
            await (await stage.routed("route-0001")).result()
            emulators.fault("slack", "status", path="chat.delete", status=503)
            recall = await stage.recall("first")

            async def is_far() -> bool:
                report = await recall.query("progress", result_type=RecallReport)
                return 0 < len(report.entries) == report.found - 1

            await until(is_far)
        emulators.clear_faults("slack")
        async with stage.workers():
            report = await recall.result()
        told = await stage.told()
    assert sorted(entry.effect_id for entry in report.entries) == sorted(told)
    assert kinds(emulators, "slack") == {"message.posted": 1, "message.deleted": 1}
    assert kinds(emulators, "hubspot")["note.archived"] <= 1
