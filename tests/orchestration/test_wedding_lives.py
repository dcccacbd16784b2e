"""WeddingTimeline on a skipped clock: 200 random lives side by side, judged by the slow model."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from temporalio import activity
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from activities import timeline
from contracts.alerts import Alert, AlertPlan
from contracts.effects import ActionRequest, EffectOutcome, EffectStep, RoutingPlan, TargetPlan
from contracts.names import ORCHESTRATION_QUEUE
from contracts.notification import DeliveryStatus
from contracts.wedding import WeddingState
from tests.orchestration.test_wedding_timeline import MAIL
from tests.support import slow_timeline as slow
from tests.support.lives import Life, event, lives, wedding
from tests.support.temporal import polling, time_skipping
from workflows.wedding_timeline import WeddingTimeline

LIVES = 200
SPAN_DAYS = 45
PAUSES = (37, 1_507, 4_327, 7_011)
"""Minutes; all of a life's news come before its timeline would end."""
APART = timedelta(minutes=4)
"""The server's clock goes on by real seconds while workers work: news and instants nearer than this are not ordered."""


class FakeDelivery:
    """One effect per step, with the instant at which it was made."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment
        self.sent: dict[tuple[str, str], list[datetime]] = defaultdict(list)

    @activity.defn(name="alerts.plan")
    async def alerts(self, alert: Alert) -> AlertPlan:
        return AlertPlan()

    @activity.defn(name="notify.plan_action")
    async def plan_action(self, request: ActionRequest) -> RoutingPlan:
        step = EffectStep(
            effect_id=request.step.step_id,
            organization_id=request.wedding.organization_id,
            integration_id="email-main",
            system="email",
            kind=request.step.automation,
            wedding_id=request.wedding.wedding_id,
        )
        return RoutingPlan(targets=[TargetPlan(target=MAIL, status=DeliveryStatus.SUCCESS, steps=[step])])

    @activity.defn(name="notify.apply_effect")
    async def apply_effect(self, step: EffectStep) -> EffectOutcome:
        now = await self._environment.get_current_time()
        self.sent[step.wedding_id or "", step.kind].append(now)
        return EffectOutcome()


def drawn(started: datetime, end: datetime) -> list[Life]:
    """Random lives whose news and instants lie apart."""
    found: list[Life] = []

    @settings(max_examples=3 * LIVES, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(life=lives(started, SPAN_DAYS, PAUSES))
    def draw(life: Life) -> None:
        begin, rules, happenings = life
        heard = [one.heard for one in happenings]
        dues = [
            due
            for number in range(len(happenings) + 1)
            for rule in rules
            if (due := slow.due(slow.replayed(begin, happenings[:number]), rule)) is not None
        ]
        if all(abs(due - at) > APART for due in dues for at in (*heard, *(one + timedelta(hours=-1) for one in heard))):
            found.append(life)

    draw()
    return found[:LIVES]


async def test_two_hundred_weddings_send_each_step_once_at_its_instant_or_say_why_not():
    async with time_skipping() as environment:
        fake = FakeDelivery(environment)
        verbs: list[Any] = [timeline.plan, fake.alerts, fake.plan_action, fake.apply_effect]
        async with polling(environment.client, [WeddingTimeline], verbs, "system.email"):
            now = await environment.get_current_time()
            started = datetime(now.year, now.month, now.day, 12, tzinfo=UTC) + timedelta(days=1)
            end = started + timedelta(days=SPAN_DAYS + 75)
            played = drawn(started, end)
            await environment.sleep(started - now)
            handles = [
                await environment.client.start_workflow(
                    WeddingTimeline.__name__,
                    {**wedding(begin, rules), "weddingId": f"w-{number}"},
                    id=f"wedding-{number}",
                    task_queue=ORCHESTRATION_QUEUE,
                    result_type=WeddingState,
                )
                for number, (begin, rules, _) in enumerate(played)
            ]
            news = [
                (one.heard, one.number, number)
                for number, (_, _, happenings) in enumerate(played)
                for one in happenings
            ]
            for heard, which, number in sorted(news):
                ahead = heard - await environment.get_current_time()
                if ahead > timedelta():
                    await environment.sleep(ahead)
                await handles[number].execute_update("apply_event", event(played[number][2][which]))
            await environment.sleep(end - await environment.get_current_time())
            states = [await handle.query("state", result_type=WeddingState) for handle in handles]
            for handle in handles:
                with suppress(RPCError):
                    await handle.terminate()
    assert len(played) == LIVES
    for number, (begin, rules, happenings) in enumerate(played):
        expected = slow.outcome(begin, rules, happenings, started, end)
        for name, slot in expected.items():
            sent = fake.sent[f"w-{number}", name]
            assert len(sent) == len(slot.sent), (number, name, played[number])
            assert all(
                at - timedelta(minutes=1) <= found <= at + APART for at, found in zip(slot.sent, sent, strict=True)
            )
        steps = {step.automation: step for step in states[number].steps}
        assert all(step.status == "sent" or step.reason or step.status == "pending" for step in steps.values())
        asked = {name for name, slot in expected.items() if slot.status == "asked"}
        assert {name for name, step in steps.items() if step.status == "asked"} == asked
