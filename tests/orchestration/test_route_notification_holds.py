"""RouteNotification and its recipients: who waits, who is asked again, and who never gets the same message twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities import timeline
from contracts.decisions import DecisionLog, HeldAction, HeldActionResult, Verdict
from contracts.digests import CollectForDigest, DigestEntry, DigestItem
from contracts.effects import Hold, PlanRouting, RoutingPlan
from contracts.identity import TemplateWords
from contracts.names import ORCHESTRATION_QUEUE, routing_workflow_id
from contracts.notification import CrossSystemRouting, OverallStatus, RoutingResult
from contracts.preferences import ContactPreferences
from contracts.wedding import WeddingState
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_route_notification import FakeNotify
from tests.support.emulators import Emulators
from tests.support.post_office import ANNA, BEN, ORGANIZATION, OTHER, QUEUE, PostOffice, contact, routing
from tests.support.temporal import polling, time_skipping
from workflows.route_notification import RouteNotification
from workflows.wedding_timeline import WeddingTimeline

EMULATED = ("smtp",)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


CONTACTS = ["a" * 32, "b" * 32]


class FakeHolds(FakeNotify):
    """Plans one target whose two recipients wait a day at first, and a third one whose digest takes the message."""

    def activities(self) -> list[Any]:
        return [*super().activities(), self.collect]

    @activity.defn(name="notify.plan")
    async def plan(self, request: PlanRouting) -> RoutingPlan:
        plans = [self._planned(request.routing, item) for item in request.routing.target_systems]
        if request.again is not None:
            return RoutingPlan(targets=[one for one in plans if one.target.system_id == request.again.system_id])
        hold = Hold(
            recipients=[ANNA, BEN], contacts=CONTACTS, not_before=request.occurred_at + DAY, reason="quiet_hours"
        )
        entry = DigestEntry(
            contact="c" * 32,
            target=plans[1].target,
            item=DigestItem(item_id="i", message="m", type="reminder", title="News", due_at=request.occurred_at + DAY),
        )
        plans[0] = plans[0].model_copy(update={"status": "held", "steps": [], "holds": [hold]})
        plans[1] = plans[1].model_copy(update={"collected": [entry]})
        return RoutingPlan(targets=plans)

    @activity.defn(name="digest.collect")
    async def collect(self, request: CollectForDigest) -> None:
        self.ledger[request.entries[0].item.item_id] += 1


async def decide(handle: WorkflowHandle[Any, RoutingResult], **action: Any) -> HeldActionResult:
    return await handle.execute_update(RouteNotification.decide_held, HeldAction.model_validate(action))


@pytest.fixture
async def office(emulators: Emulators, tmp_path: Path) -> AsyncIterator[PostOffice]:  # noqa: F811
    office = PostOffice(emulators, tmp_path)
    await office.open()
    yield office
    await office.aclose()


@asynccontextmanager
async def stage(office: PostOffice) -> AsyncIterator[WorkflowEnvironment]:
    async with (
        time_skipping() as environment,
        polling(environment.client, [RouteNotification], office.activities(), QUEUE),
    ):
        yield environment


async def start(environment: WorkflowEnvironment, wanted: CrossSystemRouting) -> WorkflowHandle[Any, RoutingResult]:
    return await environment.client.start_workflow(
        RouteNotification.run,
        wanted,
        id=routing_workflow_id(wanted.organization_id, wanted.routing_id),
        task_queue=ORCHESTRATION_QUEUE,
    )


async def night(environment: WorkflowEnvironment, lasts: timedelta = 8 * HOUR) -> tuple[dict[str, str], datetime]:
    """Return quiet hours that began an hour ago, and when they end."""
    now = (await environment.get_current_time()).replace(second=0, microsecond=0)
    ends = now + lasts
    return {"from": (now - HOUR).strftime("%H:%M"), "to": ends.strftime("%H:%M")}, ends.astimezone(UTC)


async def held(handle: WorkflowHandle[Any, RoutingResult], count: int = 1) -> DecisionLog:
    """Return the decisions once that many recipients wait."""
    while True:
        log = await handle.query(RouteNotification.decisions)
        if sum(one.verdict is Verdict.HOLD for one in log.decisions) >= count:
            return log


def codes(result: RoutingResult) -> list[str]:
    return [one.code for one in result.decisions if one.verdict is not Verdict.ALLOW]


async def test_a_message_at_night_is_held_until_morning_and_says_so(office: PostOffice):
    async with stage(office) as environment:
        quiet, morning = await night(environment)
        await office.prefer(ANNA, quietHours=quiet, timeZone="UTC")
        result = await (await start(environment, routing(ANNA))).result()
    [(to, at)] = office.arrivals()
    assert (to, result.overall_status, codes(result)) == (ANNA, "success", ["quiet_hours", "allowed"])
    assert morning <= at < morning + MINUTE


async def test_a_recipient_who_is_awake_does_not_wait_for_one_who_sleeps(office: PostOffice):
    async with stage(office) as environment:
        began = await environment.get_current_time()
        quiet, morning = await night(environment)
        await office.prefer(ANNA, quietHours=quiet, timeZone="UTC")
        result = await (await start(environment, routing(ANNA, BEN))).result()
    (first, early), (second, late) = office.arrivals()
    assert (first, second, result.system_results[0].success_count) == (BEN, ANNA, 2)
    assert early < began + HOUR
    assert late >= morning


async def test_f53_who_opts_out_while_the_message_waits_gets_nothing(office: PostOffice):
    async with stage(office) as environment:
        quiet, _ = await night(environment)
        await office.prefer(ANNA, quietHours=quiet, timeZone="UTC")
        handle = await start(environment, routing(ANNA))
        await held(handle)
        await office.prefer(ANNA, optedOut=True)
        result = await handle.result()
    assert (office.mails(), result.overall_status) == ([], OverallStatus.SKIPPED)
    assert result.system_results[0].reason == "opted_out"


async def test_f53_quiet_hours_set_while_the_message_waits_hold_it_again(office: PostOffice):
    async with stage(office) as environment:
        quiet, morning = await night(environment, lasts=4 * HOUR)
        await office.prefer(ANNA, quietHours=quiet, timeZone="UTC")
        handle = await start(environment, routing(ANNA))
        await held(handle)
        later = morning + 2 * HOUR
        longer = {"from": quiet["from"], "to": later.strftime("%H:%M")}
        await office.prefer(ANNA, quietHours=longer, timeZone="UTC")
        result = await handle.result()
    assert codes(result) == ["quiet_hours", "quiet_hours", "allowed"]
    [(_, at)] = office.arrivals()
    assert later <= at < later + MINUTE


async def test_f53_a_critical_message_waits_for_no_quiet_hours_and_the_override_is_told(office: PostOffice):
    async with stage(office) as environment:
        began = await environment.get_current_time()
        quiet, _ = await night(environment)
        await office.prefer(ANNA, quietHours=quiet, timeZone="UTC")
        result = await (await start(environment, routing(ANNA, priority="critical"))).result()
    [(_, at)] = office.arrivals()
    assert at < began + HOUR
    assert [one.verdict for one in result.decisions if one.code == "quiet_hours"] == ["override"]


async def test_nobody_is_written_to_during_the_ceremony(office: PostOffice):
    async with stage(office) as environment:
        now = await environment.get_current_time()
        begins = (now + 10 * MINUTE).replace(second=0, microsecond=0)
        await office.policy(blackoutBefore="PT30M", blackoutAfter="PT2H")
        wedding = {
            "weddingId": "wedding-1",
            "weddingDate": begins.date().isoformat(),
            "weddingTime": begins.time().isoformat(),
        }
        await (await start(environment, routing(ANNA, weddingContext=wedding))).result()
    [(_, at)] = office.arrivals()
    assert at >= begins + 2 * HOUR


async def test_somebody_may_call_off_or_send_what_waits_recipient_by_recipient(office: PostOffice):
    async with stage(office) as environment:
        began = await environment.get_current_time()
        quiet, _ = await night(environment)
        for address in (ANNA, BEN):
            await office.prefer(address, quietHours=quiet, timeZone="UTC")
        handle = await start(environment, routing(ANNA, BEN))
        await held(handle, 2)
        for answer, address in (("cancel", ANNA), ("release", BEN)):
            ended = await decide(handle, answer=answer, recipient=contact(address))
            assert ended == HeldActionResult(ended=1)
        result = await handle.result()
    [(to, at)] = office.arrivals()
    assert (to, at < began + HOUR) == (BEN, True)
    assert codes(result)[2:] == ["cancelled_while_held", "released", "quiet_hours", "allowed"]


async def test_a_released_message_still_respects_who_opted_out(office: PostOffice):
    async with stage(office) as environment:
        quiet, _ = await night(environment)
        await office.prefer(ANNA, quietHours=quiet, timeZone="UTC")
        handle = await start(environment, routing(ANNA))
        await held(handle)
        await office.prefer(ANNA, optedOut=True)
        await decide(handle, answer="release")
        await handle.result()
    assert office.mails() == []


async def test_the_same_message_by_two_routings_reaches_a_recipient_once(office: PostOffice):
    async with stage(office) as environment:
        await (await start(environment, routing(ANNA, BEN, number=1))).result()
        result = await (await start(environment, routing(ANNA, number=2))).result()
    assert sorted(to for to, _ in office.arrivals()) == [ANNA, BEN]
    assert result.system_results[0].reason == "duplicate"


async def test_two_messages_held_over_night_that_say_the_same_are_one_in_the_morning(office: PostOffice):
    async with stage(office) as environment:
        quiet, _ = await night(environment)
        await office.prefer(ANNA, quietHours=quiet, timeZone="UTC")
        handles = [await start(environment, routing(ANNA, number=number)) for number in (1, 2)]
        results = [await handle.result() for handle in handles]
    assert len(office.mails()) == 1
    assert sorted(result.overall_status for result in results) == ["skipped", "success"]


async def test_a_message_beyond_the_cap_waits_until_it_fits(office: PostOffice):
    async with stage(office) as environment:
        await office.policy(caps=[{"messages": 1, "per": "P1D"}])
        handles = [await start(environment, routing(ANNA, number=number, title=f"News {number}")) for number in (1, 2)]
        # On a busy machine the second may wait for its turn at the vendor as well.
        told = sorted([set(codes(await handle.result())) - {"throttled"} for handle in handles], key=len)
    first, second = sorted(at for _, at in office.arrivals())
    assert told == [{"allowed"}, {"cap:1/1d", "allowed"}]
    assert second >= first + DAY


async def test_a_message_that_would_wait_too_long_is_not_sent(office: PostOffice):
    async with stage(office) as environment:
        await office.policy(caps=[{"messages": 1, "per": "P7D"}])
        await (await start(environment, routing(ANNA, number=1))).result()
        result = await (await start(environment, routing(ANNA, number=2, title="More"))).result()
    assert (len(office.mails()), result.system_results[0].reason) == (1, "cap:1/7d:too_long")


async def test_a_delivery_that_failed_for_good_counts_for_nothing(office: PostOffice):
    office.emulators.fault("smtp", "status", path="/rcpt", status=550, count=1)
    await office.policy(caps=[{"messages": 1, "per": "P1D"}])
    async with stage(office) as environment:
        failed = await (await start(environment, routing(ANNA, number=1))).result()
        again = await (await start(environment, routing(ANNA, number=2))).result()
    assert (failed.overall_status, again.overall_status, len(office.mails())) == ("failed", "success", 1)


async def test_a_standby_for_people_is_judged_when_it_is_needed(office: PostOffice):
    office.emulators.fault("smtp", "status", path="/rcpt", status=550, count=1)
    await office.prefer(BEN, optedOut=True)
    first = {"systemId": "mail", "systemType": "email", "integrationId": "mail", "recipients": [ANNA]}
    second = {**first, "systemId": "standby", "recipients": [BEN, "carl@fisher.example"]}
    rest = {"targetSystems": [first, second], "errorHandling": {"failover": {"mail": ["standby"]}}}
    async with stage(office) as environment:
        result = await (await start(environment, routing(rest=rest))).result()
    assert [to for to, _ in office.arrivals()] == ["carl@fisher.example"]
    assert result.system_results[0].failed_over_to == "standby"


async def test_a_routing_keeps_the_template_it_began_with(office: PostOffice):
    words = TemplateWords(name="reminder", subject="{{ notification.title }} awaits", text="First words")
    await office.templates.save("lumen-studios", words)
    async with stage(office) as environment:
        quiet, _ = await night(environment)
        await office.prefer(ANNA, quietHours=quiet, timeZone="UTC")
        handle = await start(environment, routing(ANNA))
        await held(handle)
        await office.templates.save("lumen-studios", words.model_copy(update={"text": "Second words"}))
        await handle.result()
    [mail] = office.mails()
    assert (mail["subject"], mail["text"].strip()) == ("The tasting awaits", "First words")


async def test_another_organisations_preferences_and_words_count_for_nothing(office: PostOffice):
    await office.prefer(ANNA, OTHER, optedOut=True)
    await office.preferences.put(OTHER, contact(ANNA), ContactPreferences(opted_out=True))
    await office.policy(OTHER, identity={"fromName": "Harbour"})
    await office.templates.save(OTHER, TemplateWords(name="reminder", text="Harbour's words"))
    async with stage(office) as environment:
        await (await start(environment, routing(ANNA))).result()
    [mail] = office.mails()
    assert "Harbour" not in str(mail)


async def test_a_weddings_step_waits_for_those_who_sleep_and_reaches_each_participant_once(office: PostOffice):
    async with (
        time_skipping() as environment,
        polling(environment.client, [WeddingTimeline], [timeline.plan, *office.activities()], QUEUE),
    ):
        quiet, morning = await night(environment)
        people = [
            {"participantId": name, "email": address, "timeZone": "UTC", **rest}
            for name, address, rest in (("anna", ANNA, {"quietHours": quiet}), ("ben", BEN, {}))
        ]
        thanks = {
            "name": "thanks",
            "trigger": "property_change",
            "triggerProperty": "booking_status",
            "triggerValue": "booked",
            "actions": [{"type": "send_email", "template": "wedding_confirmation_template"}],
        }
        wedding = {
            "organizationId": ORGANIZATION,
            "weddingId": "wedding-1",
            "bookingStatus": "booked",
            "participants": people,
            "automations": [thanks],
        }
        handle = await environment.client.start_workflow(
            "WeddingTimeline", wedding, id="wedding-timeline/holds", task_queue=ORCHESTRATION_QUEUE
        )
        await environment.sleep(DAY)
        state = await handle.query("state", result_type=WeddingState)
        await handle.terminate()
    (first, early), (second, late) = office.arrivals()
    assert (first, second, [step.status for step in state.steps]) == (BEN, ANNA, ["sent"])
    assert early < morning <= late
