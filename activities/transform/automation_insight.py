"""The critical path of an automation's run, and the suggestions that follow from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from contracts.automation import WorkflowOrchestration, WorkflowStep
from contracts.automation_insight import AutomationInsight, PathStep, Suggestion, SuggestionCode, TimeSpent
from contracts.automation_run import ActionRecord, ActionStatus, ChainResult, StepRecord, WaitedFor, WorkflowResult

_MANY_ATTEMPTS = 3


def insight(definition: WorkflowOrchestration, result: WorkflowResult, now: datetime) -> AutomationInsight:
    """Return where a run's time went, from its own record of steps.

    Args:
        definition: what the run carried out.
        result: every step as it stands.
        now: until when the time of a run that has not ended is counted.
    """
    ended = result.finished_at or now
    took_ms = _ms(result.started_at, ended)
    if not result.results:
        return AutomationInsight(orchestration_id=result.orchestration_id, status=result.status, took_ms=took_ms)
    last = max(result.results, key=lambda chain: (chain.finished_at or now, chain.workflow_id))
    path = [_path_step(record) for record in _in_order(last)]
    return AutomationInsight(
        orchestration_id=result.orchestration_id,
        status=result.status,
        took_ms=took_ms,
        chain_id=last.workflow_id,
        spent=_total([one.spent for one in path]),
        critical_path=path,
        suggestions=[*_side_by_side(definition, last), *_repeats(path)],
    )


def _in_order(chain: ChainResult) -> list[StepRecord]:
    begun = [(record.started_at, record) for record in chain.steps if record.started_at is not None]
    return [record for _, record in sorted(begun, key=lambda item: item[0])]


def _path_step(record: StepRecord) -> PathStep:
    """Runs of a loop add up; in each of them the longest action counts."""
    runs: dict[int, list[ActionRecord]] = defaultdict(list)
    for action in record.actions:
        runs[action.run].append(action)
    longest = [max(actions, key=_took) for actions in runs.values()]
    queue = sum(min(action.queued_ms, _took(action)) for action in longest)
    spent = TimeSpent(
        people_ms=record.waited_ms.get(WaitedFor.PEOPLE, 0),
        timer_ms=record.waited_ms.get(WaitedFor.TIMER, 0),
        event_ms=record.waited_ms.get(WaitedFor.EVENT, 0),
        queue_ms=queue,
        vendor_ms=sum(_took(action) for action in longest) - queue,
    )
    return PathStep(
        step_id=record.step_id,
        action_id=longest[-1].action_id if longest else None,
        runs=record.runs,
        attempts=max((action.attempts for action in longest), default=0),
        took_ms=sum(dict(spent).values()),
        spent=spent,
    )


def _side_by_side(definition: WorkflowOrchestration, chain: ChainResult) -> list[Suggestion]:
    """Neighbours that need nothing of one another and ask different systems."""
    steps = {step.step_id: step for one in definition.chains if one.chain_id == chain.workflow_id for step in one.steps}
    found = []
    for first, second in pairwise(record for record in _in_order(chain) if record.step_id in steps):
        if not _independent(steps[first.step_id], steps[second.step_id]) or not _all_done(first, second):
            continue
        saves = min(_took_by_actions(first), _took_by_actions(second))
        if saves > 0 and not _systems(first) & _systems(second):
            message = (
                f"{first.step_id} and {second.step_id} ask different systems, and neither reads what the other did: "
                f"as actions of one step they would take {saves} ms less."
            )
            names = [first.step_id, second.step_id]
            found.append(Suggestion(code=SuggestionCode.SIDE_BY_SIDE, steps=names, saves_ms=saves, message=message))
    return found


def _independent(first: WorkflowStep, second: WorkflowStep) -> bool:
    waits = second.wait is not None or second.approval_by or second.conditions
    follows = first.branch is None and first.next_step == second.step_id
    reads = second.actions is None or f"steps.{first.step_id}" in second.actions.model_dump_json()
    return follows and not waits and not reads and first.limit is None and second.limit is None


def _all_done(*records: StepRecord) -> bool:
    actions = [action for record in records for action in record.actions]
    return bool(actions) and all(action.status is ActionStatus.DONE for action in actions)


def _systems(record: StepRecord) -> set[str | None]:
    return {action.integration_id for action in record.actions}


def _repeats(path: Sequence[PathStep]) -> list[Suggestion]:
    return [
        Suggestion(
            code=SuggestionCode.REPEATED_REQUESTS,
            steps=[one.step_id],
            message=f"The system of {one.step_id} was asked {one.attempts} times before it took the action; "
            "`wedsync health` shows how it fares.",
        )
        for one in path
        if one.attempts >= _MANY_ATTEMPTS
    ]


def _took_by_actions(record: StepRecord) -> int:
    return max((_took(action) for action in record.actions), default=0)


def _took(action: ActionRecord) -> int:
    return _ms(action.started_at, action.finished_at)


def _total(parts: Sequence[TimeSpent]) -> TimeSpent:
    return TimeSpent(**{name: sum(getattr(part, name) for part in parts) for name in TimeSpent.model_fields})


def _ms(began: datetime | None, ended: datetime) -> int:
    return 0 if began is None else max(0, round((ended - began).total_seconds() * 1_000))
