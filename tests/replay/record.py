"""Record histories: `python -m tests.replay.record [NAME ...]`, after a change that old runs need not survive."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHandle

from contracts.integration import IntegrationState
from tests.orchestration import test_audit_escalation as audit
from tests.orchestration import test_coordination as coordination
from tests.orchestration import test_correct_notification as corrections
from tests.orchestration import test_deliver_digest as digests
from tests.orchestration import test_integration as integration
from tests.orchestration import test_integration_migration as moves
from tests.orchestration import test_integration_tokens as tokens
from tests.orchestration import test_monitor_health as health
from tests.orchestration import test_query_warehouse as queries
from tests.orchestration import test_raise_emergency as emergency
from tests.orchestration import test_recall_wedding as recalls
from tests.orchestration import test_reroute_undelivered as rerouting
from tests.orchestration import test_resolve_booking_conflict as conflict
from tests.orchestration import test_resource_day as days
from tests.orchestration import test_rotate_keys as keys
from tests.orchestration import test_route_notification as routing
from tests.orchestration import test_route_notification_batch as batch
from tests.orchestration import test_route_notification_holds as holds
from tests.orchestration import test_run_automation as automation
from tests.orchestration import test_run_warehouse_etl as etl
from tests.orchestration import test_sync_notification_states as states
from tests.orchestration import test_sync_removals as removals
from tests.orchestration import test_sync_report as sync
from tests.orchestration import test_transform_report as transform
from tests.orchestration import test_trigger_automations as triggers
from tests.orchestration import test_watch_weather as weather
from tests.orchestration import test_wedding_gap as gaps
from tests.orchestration import test_wedding_interleavings as interleavings
from tests.orchestration import test_wedding_timeline as wedding
from tests.support import bookings
from tests.support.vendors import Point

HISTORIES = Path(__file__).parent / "histories"


@asynccontextmanager
async def automation_approved_and_compensated() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    steps = [
        automation.step("reserve", automation.action("reserve"), automation.action("tell", "send_message")),
        {**automation.APPROVED, "approval": {"ask": automation.action("ask", "send_message")}},
        automation.step("fails", automation.action("fails"), on_failure="compensate"),
    ]
    async with automation.stage() as here:
        here.systems.refuses("fails")
        handle = await here.start(automation.orchestration(automation.chain(*steps)))
        await automation.until(handle, "order")
        await here.answer(handle, "approve", value="order")
        await handle.result()
        yield handle


@asynccontextmanager
async def automation_of_messages_cancelled() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with automation.stage() as here:
        sequences = [automation.SEQUENCE]
        handle = await here.start(
            automation.orchestration(automation.BRANCHED, sequences=sequences, **automation.LUXURY)
        )
        await here.environment.sleep(timedelta(days=2))
        await handle.cancel()
        await handle.result()
        yield handle


@asynccontextmanager
async def automations_triggered_and_told() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with automation.stage(triggers.TriggerAutomations) as here:
        slow = automation.step("slow", automation.action("slow"), wait={"duration": "P1D"})
        here.systems.definitions = [triggers.definition(automation.chain(slow, **triggers.CONFIRMED))]
        confirmed = {"booking_status": "confirmed"}
        [started] = (await triggers.trigger(here, triggers.happened(properties=confirmed))).started
        while not here.systems.running:
            await triggers.run_of(here, started).query("state")
        news = {"wedding": {"weddingId": "wed-1001"}, "status": "cancelled"}
        event = triggers.happened(eventId="e-2", name="cancelled", properties=confirmed, news=news)
        workflow_id = "trigger-recorded"
        await triggers.trigger(here, event, workflow_id)
        yield here.environment.client.get_workflow_handle(workflow_id)


@asynccontextmanager
async def integration_paused_and_resumed() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with integration.stage(integration.FakeConnect()) as environment:
        handle, _ = await integration.connect(environment)
        for action in ("pause", "resume", "disconnect"):
            await integration.act(handle, action)
        await handle.result()
        yield handle


@asynccontextmanager
async def integration_with_a_new_credential() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with integration.stage(integration.FakeConnect()) as environment:
        first = integration.configuration(credentialRef=integration.stored(1))
        handle, _ = await integration.connect(environment, first)
        await integration.act(handle, "rotate", credentialRef=integration.stored(2))
        await integration.act(handle, "disconnect")
        await handle.result()
        yield handle


@asynccontextmanager
async def integration_renewed_parked_and_granted_again() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = tokens.FakeOAuth()
    async with tokens.stage(fake) as (environment, handle):
        await environment.sleep(timedelta(minutes=30))
        fake.refused_grants = [tokens.REVOKED]
        await environment.sleep(timedelta(minutes=30))
        await tokens.becomes(handle, IntegrationState.RECONNECT_REQUIRED)
        wanted = integration.configuration(credentialRef=integration.stored(9))
        await integration.connect(environment, wanted, workflow_id=handle.id)
        await integration.act(handle, "reconfigure", configuration=wanted.model_dump(mode="json"))
        await integration.act(handle, "disconnect")
        await handle.result()
        yield handle


@asynccontextmanager
async def integration_moved_and_confirmed() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with moves.moving(moves.FakeMoves()) as handle:
        await integration.act(handle, "migrate", successorId="crm-new")
        await moves.settled(handle)
        await integration.act(handle, "confirm_migration")
        await handle.result()
        yield handle


@asynccontextmanager
async def conflict_decided_by_a_human() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with conflict.stage(bookings.FakeTown()) as environment:
        handle = await conflict.raised(environment)
        await conflict.decide(handle, "alternative-2")
        await handle.result()
        yield handle


@asynccontextmanager
async def conflict_decided_by_its_deadline() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with conflict.stage(bookings.FakeTown()) as environment:
        handle = await conflict.raised(environment)
        await handle.result()
        yield handle


@asynccontextmanager
async def conflict_called_off() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with conflict.stage(bookings.FakeTown()) as environment:
        handle = await conflict.raised(environment)
        await environment.sleep(timedelta(minutes=1))
        await handle.cancel()
        with suppress(WorkflowFailureError):
            await handle.result()
        yield handle


@asynccontextmanager
async def day_with_a_lapsed_hold_and_a_confirmation() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with days.stage(bookings.FakeTown()) as environment:
        await days.act(environment, "hold", "job-77", lasts=timedelta(hours=2))
        await days.act(environment, "confirm", "job-91")
        await days.until_shown(environment, "h-job-77")
        await environment.sleep(timedelta(hours=3))
        await days.until_shown(environment, "h-job-77")
        await days.act(environment, "confirm", "job-91")
        await days.until_shown(environment, "h-job-91")
        yield days.handle_of(environment)


@asynccontextmanager
async def health_of_two_pages() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = health.FakeHealth(12)
    fake.broken = {"slack-07"}
    async with health.stage(fake) as environment:
        handle = await health.monitor(environment)
        await handle.result()
        yield handle


@asynccontextmanager
async def health_of_a_shard() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = health.FakeHealth(12)
    fake.broken = {"slack-07"}
    async with health.stage(fake) as environment:
        handle = await health.monitor(environment, shard=0, shards=1, batch_size=5)
        await handle.result()
        yield handle


@asynccontextmanager
async def health_alerts_told() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = health.FakeHealth()
    fake.alerts = [health.alert("one"), health.alert("two")]
    async with health.stage(fake) as environment:
        handle = await health.monitor(environment, tell=True)
        await handle.result()
        yield handle


@asynccontextmanager
async def load_with_a_lost_part() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = etl.FakeEtl(corrupt=1)
    async with etl.server() as client, etl.workers(client, fake.activities()):
        handle = await client.start_workflow(
            etl.RunWarehouseEtl.run, etl.asked(), id="load-recorded", task_queue=etl.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def question_to_a_warehouse() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with queries.server() as client, queries.workers(client, queries.FakeAnalytics().activities()):
        handle = await client.start_workflow(
            queries.QueryWarehouse.run, queries.QUERY, id="query-recorded", task_queue=queries.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def transformation_of_a_file() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with transform.server() as client, transform.workers(client, transform.FakeTransformations().activities()):
        handle = await client.start_workflow(
            transform.TransformReport.run,
            transform.asked(),
            id="transformation-recorded",
            task_queue=transform.ORCHESTRATION_QUEUE,
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def load_with_steps_side_by_side() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = etl.FakeEtl()
    async with etl.server() as client, etl.workers(client, fake.activities()):
        handle = await client.start_workflow(
            etl.RunWarehouseEtl.run, etl.asked(), id="load-recorded", task_queue=etl.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def keys_rotated_in_two_passes() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with keys.stage(keys.FakeKeys(steps=2, left=[1, 0])) as environment:
        handle = await keys.rotation(environment)
        await handle.result()
        yield handle


@asynccontextmanager
async def batch_of_two_parts() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with batch.stage(batch.FakeBatches()) as client:
        handle = await batch.start(client, [batch.routing(number) for number in range(101)])
        await handle.result()
        yield handle


@asynccontextmanager
async def emergency_escalated_repeated_and_acknowledged() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    vendors = emergency.Vendors(dead={"ops"}, down={"oncall": 2}, calls={"oncall"}, correctable={"sms"})
    async with emergency.stage(vendors) as environment:
        handle = await emergency.raised(environment, *emergency.TWO_LEVELS, repeatEvery="PT100S")
        await environment.sleep(timedelta(seconds=200))
        await emergency.acknowledged(handle)
        await handle.result()
        yield handle


@asynccontextmanager
async def digest_sent_as_one() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    sent = digests.Sent()
    async with (
        digests.time_skipping() as environment,
        digests.polling(environment.client, digests.WORKFLOWS, sent.activities()),
    ):
        due = await digests.soon(environment)
        handle = await digests.signalled(environment, digests.item(1, due), digests.item(2, due))
        await handle.result()
        yield handle


@asynccontextmanager
async def routing_held_released_and_called_off() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = holds.FakeHolds()
    async with routing.stage(fake) as environment:
        handle = await routing.route(environment)
        await holds.decide(handle, answer="cancel", systemId="crm", recipient=holds.CONTACTS[0])
        await holds.decide(handle, answer="release", systemId="crm")
        await handle.result()
        yield handle


@asynccontextmanager
async def correction_with_a_refusal() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = corrections.FakeCorrections()
    fake.refusals = {"crm-0": "not_correctable"}
    async with corrections.stage(fake) as environment:
        handle = await corrections.correct(environment)
        await handle.result()
        yield handle


@asynccontextmanager
async def undelivered_and_told_together() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    with TemporaryDirectory() as folder:
        async with rerouting.played(Path(folder)) as scene:
            scene.vendor("mail").point = Point.BEFORE
            await scene.routed(rerouting.routing(["chat", "mail"]))
            await scene.bounced("chat")
            [effect] = await scene.effects("chat")
            workflow_id = rerouting.reroute_workflow_id(rerouting.ORGANIZATION, effect.effect_id)
            yield scene.client.get_workflow_handle(workflow_id)


@asynccontextmanager
async def states_carried() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with states.stage(states.FakeStates()) as client:
        handle = await states.carry(client, "recorded", states=[states.known("read", "mail")])
        await handle.result()
        yield handle


@asynccontextmanager
async def emergency_drilled() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with emergency.stage(emergency.Vendors()) as environment:
        handle = await emergency.raised(environment, *emergency.TWO_LEVELS, drill=True)
        await handle.result()
        yield handle


@asynccontextmanager
async def emergency_called_off() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with emergency.stage(emergency.Vendors()) as environment:
        handle = await emergency.raised(environment, *emergency.TWO_LEVELS)
        await environment.sleep(timedelta(seconds=70))
        await handle.cancel()
        await handle.result()
        yield handle


@asynccontextmanager
async def escalation_found_stopped() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with audit.stage(audit.FakeAudit(overdue=True)) as environment:
        handle = await audit.audited(environment)
        await handle.result()
        yield handle


@asynccontextmanager
async def routing_with_failover() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = routing.FakeNotify()
    fake.trouble = {"team-chat-0": [routing.refused()]}
    fake.decide("crm", routing.DeliveryStatus.SKIPPED, "standby")
    async with routing.stage(fake) as environment:
        handle = await routing.route(environment, errorHandling={"failover": {"team-chat": ["crm"]}})
        await handle.result()
        yield handle


@asynccontextmanager
async def routing_taken_back() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    points = {"mail": Point.NOWHERE, "chat": Point.NOWHERE, "book": Point.AFTER, "crm": Point.BEFORE}
    with TemporaryDirectory() as folder:
        async with coordination.played(Path(folder), **points) as scene:
            handle = await scene.begin(**coordination.ALL_OR_NOTHING)
            await handle.result()
            yield handle


@asynccontextmanager
async def routing_cancelled() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    with TemporaryDirectory() as folder:
        async with coordination.played(Path(folder), chat=Point.NOWHERE, book=Point.AWAY) as scene:
            handle = await scene.begin(errorHandling={"onPermanentFailure": "compensate"})
            await scene.vendors["chat"].did.wait()
            await scene.vendors["book"].asked.wait()
            await handle.cancel()
            await handle.result()
            yield handle


@asynccontextmanager
async def routing_to_a_quorum() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    quorum = {"deliveryCoordination": {"mode": "quorum", "quorum": 1}}
    with TemporaryDirectory() as folder:
        async with coordination.played(Path(folder), chat=Point.NOWHERE, book=Point.AWAY) as scene:
            handle = await scene.begin(**quorum)
            await handle.result()
            yield handle


@asynccontextmanager
async def routing_released_together() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    with TemporaryDirectory() as folder:
        async with coordination.played(Path(folder), skipping=True, chat=Point.NOWHERE, book=Point.NOWHERE) as scene:
            release_at = await scene.environment.get_current_time() + timedelta(days=3)
            released = {"mode": "same_moment", "releaseAt": release_at.isoformat()}
            handle = await scene.begin(deliveryCoordination=released)
            await handle.result()
            yield handle


@asynccontextmanager
async def routing_in_turn_tried_again() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    asked = {
        "deliveryCoordination": {"mode": "ordered"},
        "errorHandling": {"onPermanentFailure": "retry", "retries": 1},
    }
    with TemporaryDirectory() as folder:
        async with coordination.played(Path(folder), skipping=True, chat=Point.BEFORE, book=Point.NOWHERE) as scene:
            handle = await scene.begin(**asked)
            await handle.result()
            yield handle


@asynccontextmanager
async def sync_as_bulk_jobs() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = sync.FakeSync(parts=5)
    fake.bulk = {"bulkFrom": 20, "bulkSize": 25}
    async with sync.server() as client, sync.workers(client, fake.activities(), "hubspot"):
        handle = await client.start_workflow(
            sync.SyncReport.run, sync.asked(), id="sync-recorded", task_queue=sync.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def sync_of_two_parts() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = sync.FakeSync()
    async with sync.server() as client, sync.workers(client, fake.activities(), "hubspot"):
        handle = await client.start_workflow(
            sync.SyncReport.run, sync.asked(), id="sync-recorded", task_queue=sync.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def sync_of_a_plan_that_removes_once_approved() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = sync.FakeSync()
    fake.gone, fake.removals = 50, {"policy": "archive"}
    async with sync.server() as client, sync.workers(client, fake.activities(), "hubspot"):
        request = sync.asked(planHash=sync.hash_of([sync.hash_of(["0"]), sync.hash_of(["1"]), ""]))
        handle = await client.start_workflow(
            sync.SyncReport.run, request, id="sync-recorded", task_queue=sync.ORCHESTRATION_QUEUE
        )
        await interleavings.until(lambda: removals.waits(handle))
        await removals.answer(handle, approved=True)
        await handle.result()
        yield handle


@asynccontextmanager
async def sync_of_a_record_that_changed_again() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = sync.FakeSync()
    async with sync.server() as client:
        handle = await client.start_workflow(
            sync.SyncReport.run,
            sync.asked(syncType="real_time", recordIds=["wed-1001"]),
            id="sync-recorded",
            task_queue=sync.ORCHESTRATION_QUEUE,
            start_signal="record_changed",
        )
        fake.on_push = lambda: handle.signal("record_changed")
        async with sync.workers(client, fake.activities(), "hubspot"):
            await handle.result()
        yield handle


@asynccontextmanager
async def sync_only_planned() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with sync.server() as client, sync.workers(client, sync.FakeSync().activities(), "hubspot"):
        handle = await client.start_workflow(
            sync.SyncReport.run, sync.asked(dryRun=True), id="sync-recorded", task_queue=sync.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def weather_over_a_wedding() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = weather.FakeWeather()
    fake.sky = [weather.warning()]
    async with weather.stage(fake, cron="") as environment:
        handle = environment.client.get_workflow_handle(weather.WATCH)
        await handle.result()
        yield handle


@asynccontextmanager
async def wedding_moved_and_completed() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with wedding.stage() as (environment, _):
        handle = await wedding.planned(environment)
        await environment.sleep(timedelta(hours=25))
        await wedding.tell(handle, "moved", weddingDate="2031-05-01")
        await wedding.tell(handle, "completed")
        await handle.result()
        yield handle


@asynccontextmanager
async def wedding_asked_followed_and_reopened() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    followers = [{"systemId": "mail", "systemType": "email", "integrationId": "email-main"}]
    async with interleavings.stage() as (environment, _):
        handle, step_id = await interleavings.asked(environment, systems=followers)
        decision = interleavings.StepDecision.model_validate({"stepId": step_id, "answer": "approve"})
        await handle.execute_update("decide_step", decision)
        await environment.sleep(timedelta(minutes=1))
        await wedding.tell(handle, "moved", weddingDate="2031-05-01", venueName="Orangery")
        await environment.sleep(timedelta(minutes=1))
        await wedding.tell(handle, "cancelled")
        await environment.sleep(timedelta(days=3))
        await wedding.tell(handle, "reopened")
        notice = interleavings.RecallNotice(recall_id="r")
        await handle.execute_update("recall", notice)
        await handle.result()
        yield handle


@asynccontextmanager
async def wedding_that_lost_an_event() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with gaps.stage() as (environment, source):
        source.refusal = gaps.MISSING
        handle, _ = await gaps.gap(environment, source)
        await environment.sleep(gaps.PERIOD)
        source.refusal = None
        await environment.sleep(2 * gaps.PERIOD)
        await wedding.tell(handle, "cancelled")
        await handle.result()
        yield handle


@asynccontextmanager
async def recall_with_a_refusal() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    verbs = recalls.FakeVerbs().activities()
    async with (
        recalls.time_skipping() as environment,
        recalls.polling(environment.client, [recalls.RecallWedding], verbs, "system.slack"),
    ):
        handle = await recalls.recalled(environment.client)
        await handle.result()
        yield handle


PLAYS: dict[str, Callable[[], AbstractAsyncContextManager[WorkflowHandle[Any, Any]]]] = {
    play.__name__: play
    for play in (
        conflict_called_off,
        conflict_decided_by_a_human,
        conflict_decided_by_its_deadline,
        correction_with_a_refusal,
        day_with_a_lapsed_hold_and_a_confirmation,
        digest_sent_as_one,
        batch_of_two_parts,
        automation_approved_and_compensated,
        automation_of_messages_cancelled,
        automations_triggered_and_told,
        emergency_called_off,
        emergency_drilled,
        emergency_escalated_repeated_and_acknowledged,
        escalation_found_stopped,
        health_alerts_told,
        health_of_a_shard,
        health_of_two_pages,
        integration_moved_and_confirmed,
        integration_paused_and_resumed,
        integration_renewed_parked_and_granted_again,
        integration_with_a_new_credential,
        keys_rotated_in_two_passes,
        load_with_a_lost_part,
        question_to_a_warehouse,
        transformation_of_a_file,
        load_with_steps_side_by_side,
        recall_with_a_refusal,
        routing_cancelled,
        routing_in_turn_tried_again,
        routing_released_together,
        routing_taken_back,
        routing_to_a_quorum,
        routing_held_released_and_called_off,
        routing_with_failover,
        states_carried,
        sync_as_bulk_jobs,
        sync_of_a_plan_that_removes_once_approved,
        sync_of_a_record_that_changed_again,
        sync_of_two_parts,
        sync_only_planned,
        undelivered_and_told_together,
        weather_over_a_wedding,
        wedding_asked_followed_and_reopened,
        wedding_moved_and_completed,
        wedding_that_lost_an_event,
    )
}


def scrubbed(value: Any) -> Any:
    """Return a history without what tells of the machine it was recorded on."""
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: scrubbed(item) for name, item in value.items() if name not in {"stackTrace", "binaryChecksum"}}
    told = {"identity": "recorder"} if "identity" in kept else {}
    # A worker's own queue bears the name of its machine.
    return kept | told | ({"name": "recorder"} if kept.get("kind") == "TASK_QUEUE_KIND_STICKY" else {})


async def main() -> None:
    """Play every story and write its history."""
    HISTORIES.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or list(PLAYS)
    for name, play in ((name, PLAYS[name]) for name in wanted):
        async with play() as handle:
            history = scrubbed(json.loads((await handle.fetch_history()).to_json()))
        (HISTORIES / f"{name}.json").write_text(json.dumps(history, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
