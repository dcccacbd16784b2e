"""Where an automation's time went, from its own record, and only the suggestions that follow from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from activities.transform.automation_insight import insight
from contracts.automation_insight import AutomationInsight
from contracts.automation_run import WorkflowResult
from tests.support.automations import action, chain, orchestration, step

BEGAN = datetime(2031, 5, 1, 9, tzinfo=UTC)


def at(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).isoformat()


def did(name: str, start: float, end: float, **fields: Any) -> dict[str, Any]:
    given = {"actionId": name, "status": "done", "notificationId": name, "integrationId": f"{name}-main"}
    return {**given, "startedAt": at(start), "finishedAt": at(end), "attempts": 1, **fields}


def took(name: str, start: float, end: float, *actions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "stepId": name,
        "status": "done",
        "runs": 1,
        "startedAt": at(start),
        "finishedAt": at(end),
        "actions": list(actions),
        **fields,
    }


def found(chains: list[dict[str, Any]], records: dict[str, list[dict[str, Any]]], end: float) -> AutomationInsight:
    result = {
        "orchestrationId": "a-1",
        "status": "success",
        "totalWorkflows": len(chains),
        "triggeredSuccessfully": len(chains),
        "failed": 0,
        "startedAt": at(0),
        "finishedAt": at(end),
        "results": [
            {"workflowId": name, "status": "completed", "finishedAt": steps[-1]["finishedAt"], "steps": steps}
            for name, steps in records.items()
        ],
    }
    return insight(orchestration(*chains), WorkflowResult.model_validate(result), BEGAN)


ONE, TWO = step("one", action("a")), step("two", action("b"))


def test_the_chain_that_ended_last_is_the_critical_path_and_of_actions_side_by_side_the_longest():
    records = {
        "chain": [took("one", 0, 9, did("a", 0, 2), did("b", 0, 9, queuedMs=4_000))],
        "side": [took("x", 0, 3, did("c", 0, 3))],
    }
    seen = found([chain(ONE)], records, 9)
    [path] = seen.critical_path
    assert (seen.chain_id, path.action_id, seen.took_ms) == ("chain", "b", 9_000)
    assert (seen.spent.queue_ms, seen.spent.vendor_ms) == (4_000, 5_000)


def test_waiting_for_people_timers_and_events_is_told_apart_from_vendors():
    waited = {"people": 60_000, "timer": 5_000, "event": 1_000}
    seen = found([chain(ONE)], {"chain": [took("one", 0, 70, did("a", 66, 70), waitedMs=waited)]}, 70)
    spent = seen.spent
    assert (spent.people_ms, spent.timer_ms, spent.event_ms, spent.vendor_ms) == (60_000, 5_000, 1_000, 4_000)


def test_neighbours_that_need_nothing_of_one_another_could_run_side_by_side():
    records = {"chain": [took("one", 0, 4, did("a", 0, 4)), took("two", 4, 7, did("b", 4, 7))]}
    [suggestion] = found([chain(ONE, TWO)], records, 7).suggestions
    assert (suggestion.code, suggestion.steps, suggestion.saves_ms) == ("side_by_side", ["one", "two"], 3_000)


def test_nothing_is_suggested_where_a_step_needs_the_one_before_it_or_asks_the_same_system():
    both = {"chain": [took("one", 0, 4, did("a", 0, 4)), took("two", 4, 7, did("b", 4, 7))]}
    reads = step("two", action("b", parameters={"message": "{{ steps.one.status }}"}))
    same = [took("one", 0, 4, did("a", 0, 4)), took("two", 4, 7, did("b", 4, 7, integrationId="a-main"))]
    for second in (reads, {**TWO, "conditions": ["steps.one.status == 'done'"]}, {**TWO, "approvalBy": ["planner"]}):
        assert found([chain(ONE, second)], both, 7).suggestions == []
    assert found([chain(ONE, TWO)], {"chain": same}, 7).suggestions == []


def test_a_system_that_had_to_be_asked_often_is_named():
    records = {"chain": [took("one", 0, 4, did("a", 0, 4, attempts=5))]}
    [suggestion] = found([chain(ONE)], records, 4).suggestions
    assert (suggestion.code, suggestion.steps) == ("repeated_requests", ["one"])


def test_runs_of_a_loop_add_up():
    record = took("one", 0, 100, did("a", 0, 2), did("a", 50, 53, run=2), runs=2)
    assert found([chain(ONE)], {"chain": [record]}, 100).critical_path[0].took_ms == 5_000
