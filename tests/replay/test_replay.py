"""Histories of earlier runs: the workflows must still decide what they decided then."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from contracts.names import WorkflowType
from tests.replay.forgetful import SleepsFirst
from tests.support.temporal import PLAIN
from workers.roster import WORKFLOWS
from workers.sandbox import workflow_runner

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def replayer(*workflows: type) -> Replayer:
    # The decisions are judged and not their speed, for which the SDK gives 2 s.
    return Replayer(workflows=workflows, data_converter=PLAIN, workflow_runner=workflow_runner(), debug_mode=True)


def history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_run_replays(path: Path):
    await replayer(*WORKFLOWS).replay_workflow(history(path))


async def test_a_change_that_breaks_running_workflows_is_caught():
    path = next(one for one in HISTORIES if one.stem.startswith("routing"))
    with pytest.raises(workflow.NondeterminismError):
        await replayer(SleepsFirst).replay_workflow(history(path))


def test_every_workflow_has_a_recorded_run():
    recorded = {
        history(path).events[0].workflow_execution_started_event_attributes.workflow_type.name for path in HISTORIES
    }
    assert {WorkflowType(name) for name in recorded} == set(WorkflowType)
