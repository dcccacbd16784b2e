"""RaiseEmergency under random policies, failures and acknowledgements: nobody twice, nobody missed, nothing after."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.testing import WorkflowEnvironment

from activities.transform.escalation import chain_of
from contracts.actions import ActionAnswer
from contracts.emergency import Acknowledgement, EmergencyResult
from contracts.names import EMERGENCY_QUEUE, emergency_workflow_id
from contracts.notification import TargetSystem
from tests.support.emergencies import ORGANIZATION, Told, Vendors, level, raised, target
from tests.support.temporal import polling, time_skipping
from workflows.raise_emergency import RaiseEmergency

STORIES = 12
NAMES = "abcd"
SLACK = timedelta(seconds=8)
"""Answers after 3 s, retries, and what the test server's clock goes on by while workers work."""
REPEAT_S = 60.4
LEVEL_PAST_S, ACK_PAST_S = 0.4, 0.3
"""What a story's waits are past whole seconds, where retries are due: see `starters.skipped_clock` for the reason.

Sums of up to four waits and repetitions are never whole, and never meet an acknowledgement.
"""


@dataclass(frozen=True)
class Story:
    """One emergency.

    Args:
        levels: the seconds and the targets of each level.
        failover: target -> its stand-ins.
        dead: targets that refuse for good.
        down: targets that fail at first, and how often.
        ack_after_s: when somebody has it.
    """

    levels: list[tuple[float, list[str]]]
    failover: dict[str, list[str]]
    dead: set[str]
    down: dict[str, int]
    ack_after_s: float

    def wire(self) -> list[dict[str, Any]]:
        known = {name for _, names in self.levels for name in names}
        return [
            level(
                number,
                seconds,
                *(target(name, *(one for one in self.failover.get(name, []) if one in known)) for name in names),
            )
            for number, (seconds, names) in enumerate(self.levels, start=1)
        ]


def waits(least: int, most: int, past: float) -> st.SearchStrategy[float]:
    return st.integers(least, most).map(lambda whole: round(whole + past, 1))


names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
stories = st.builds(
    Story,
    levels=st.lists(st.tuples(waits(15, 90, LEVEL_PAST_S), names), min_size=1, max_size=3),
    failover=st.dictionaries(st.sampled_from(NAMES), names, max_size=4),
    dead=st.sets(st.sampled_from(NAMES), max_size=3),
    down=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 14), max_size=3),
    ack_after_s=waits(1, 400, ACK_PAST_S),
)


class _Ack:
    """Somebody who has it after a while, by a workflow's timer: the test's own clock would stop the server's."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment
        self.at: dict[str, datetime] = {}

    @activity.defn(name="tests.acknowledge")
    async def acknowledge(self, alert_id: str) -> None:
        handle = self._environment.client.get_workflow_handle(emergency_workflow_id(ORGANIZATION, alert_id))
        given = Acknowledgement(acknowledged_by="planner")
        answer = await handle.execute_update("acknowledge", given, result_type=ActionAnswer)
        assert answer.accepted
        self.at[alert_id] = await self._environment.get_current_time()


@workflow.defn(sandboxed=False)
class Answers:
    """Acknowledges every alert after its seconds."""

    @workflow.run
    async def run(self, after_s: dict[str, float]) -> None:
        async def answer(alert_id: str, seconds: float) -> None:
            await workflow.sleep(seconds)
            await workflow.execute_activity(
                "tests.acknowledge",
                alert_id,
                start_to_close_timeout=timedelta(minutes=1),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )

        await asyncio.gather(*(answer(alert_id, seconds) for alert_id, seconds in after_s.items()))


async def played(told: list[Story], environment: WorkflowEnvironment) -> list[EmergencyResult]:
    """Play all stories side by side; the clock runs ahead for one waiting caller at a time."""
    handles = [
        await raised(environment, *story.wire(), alert_id=f"alert-{number}", repeatEvery=f"PT{REPEAT_S}S")
        for number, story in enumerate(told)
    ]
    after_s = {f"alert-{number}": story.ack_after_s for number, story in enumerate(told)}
    await environment.client.execute_workflow("Answers", after_s, id="answers", task_queue=EMERGENCY_QUEUE)
    return [await handle.result() for handle in handles]


class _PerAlert(Vendors):
    """Vendors that behave as each alert's story says."""

    def __init__(self, told: list[Story]) -> None:
        super().__init__()
        self.dead = {f"alert-{number}/{name}" for number, story in enumerate(told) for name in story.dead}
        self.down = {
            f"alert-{number}/{name}": times for number, story in enumerate(told) for name, times in story.down.items()
        }

    def key(self, alert_id: str, name: str) -> str:
        return f"{alert_id}/{name}"


@settings(max_examples=6, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(stories, min_size=STORIES, max_size=STORIES))
def test_nobody_is_alerted_twice_in_a_repetition_nobody_is_missed_and_nothing_follows_the_acknowledgement(
    told: list[Story],
):
    vendors = _PerAlert(told)

    async def all_stories() -> tuple[list[EmergencyResult], dict[str, datetime]]:
        async with time_skipping() as environment:
            ack = _Ack(environment)
            activities = [*vendors.activities(), ack.acknowledge]
            async with polling(environment.client, [RaiseEmergency, Answers], activities, EMERGENCY_QUEUE):
                return await played(told, environment), ack.at

    results, acknowledged = asyncio.run(all_stories())
    for number, (story, result) in enumerate(zip(told, results, strict=True)):
        mine = [one for one in vendors.told if one.alert_id == f"alert-{number}"]
        assert_nobody_twice(mine)
        assert_nothing_stale(mine)
        assert_nothing_after(mine, acknowledged[f"alert-{number}"])
        assert_nobody_missed(story, mine, result)


def assert_nobody_twice(told: list[Told]) -> None:
    assert set(Counter((one.repetition, one.system_id) for one in told).values()) <= {1}


def assert_nothing_stale(told: list[Told]) -> None:
    """Once everybody is alerted again, what the time before could not deliver stays away."""
    for name in {one.system_id for one in told}:
        mine = [one.repetition for one in sorted(told, key=lambda one: one.at) if one.system_id == name]
        assert mine == sorted(mine)


def assert_nothing_after(told: list[Told], acknowledged: datetime) -> None:
    assert [one for one in told if one.at > acknowledged] == []


def assert_nobody_missed(story: Story, told: list[Told], result: EmergencyResult) -> None:
    """At every due moment that had time to pass, every target that works, or a stand-in, had its alert."""
    assert result.acknowledged_at is not None
    began = result.acknowledged_at - timedelta(seconds=story.ack_after_s)
    due, reachable = began, set()
    known = {
        one["systemId"]: TargetSystem.model_validate(one) for step in reversed(story.wire()) for one in step["targets"]
    }
    for seconds, names in story.levels:
        reachable |= {name for name in names if name not in story.dead and name not in story.down}
        if due + SLACK < result.acknowledged_at:
            first = {one.system_id for one in told if one.repetition == 1 and one.at <= due + SLACK}
            assert reachable <= first
            for name in story.dead.intersection(names):
                stand_ins = {one for one in chain_of(name, known) if one not in story.dead and one not in story.down}
                assert not stand_ins or stand_ins & first
        due += timedelta(seconds=seconds)
    repetition = 2
    while due + SLACK < result.acknowledged_at:
        assert reachable <= {one.system_id for one in told if one.repetition == repetition}
        due, repetition = due + timedelta(seconds=REPEAT_S) + SLACK, repetition + 1
