"""RotateKeys: rows step by step, another pass for what was written meanwhile, and retired only when none is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from contracts.keys import (
    KeysRetired,
    RetireKeys,
    RewrapRows,
    RotateKeysInput,
    RotateKeysResult,
    RotationBegun,
    RowCursor,
    RowsRewrapped,
)
from contracts.names import ORCHESTRATION_QUEUE
from tests.support.temporal import polling, time_skipping
from workflows.rotate_keys import RotateKeys
from workflows.visibility import detail_of

NEW, OLD = "aa" * 6, "bb" * 6


class FakeKeys:
    """A store of some steps of rows.

    Args:
        steps: how many steps a pass takes.
        left: how many rows each pass leaves behind; the last number stands for all further passes.
    """

    def __init__(self, steps: int = 3, left: Sequence[int] = (0,)) -> None:
        self.steps = steps
        self.left = list(left)
        self.begun = 0
        self.seen: list[int] = []
        self.retired: list[str] = []

    def activities(self) -> list[Any]:
        return [self.begin, self.rewrap, self.retire]

    @activity.defn(name="keys.begin")
    async def begin(self, request: RotateKeysInput) -> RotationBegun:
        self.begun += 1
        return RotationBegun(before=[OLD])

    @activity.defn(name="keys.rewrap")
    async def rewrap(self, step: RewrapRows) -> RowsRewrapped:
        at = int(step.cursor.key[0]) if step.cursor else 0
        self.seen.append(at)
        following = RowCursor(table="credentials", key=[at + 1]) if at + 1 < self.steps else None
        return RowsRewrapped(cursor=following, rewrapped=10)

    @activity.defn(name="keys.retire")
    async def retire(self, request: RetireKeys) -> KeysRetired:
        left = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if left == 0:
            self.retired += request.before
        return KeysRetired(records=30, left=left)


@asynccontextmanager
async def stage(fake: FakeKeys) -> AsyncIterator[WorkflowEnvironment]:
    async with time_skipping() as environment, polling(environment.client, [RotateKeys], fake.activities()):
        yield environment


async def rotation(environment: WorkflowEnvironment, **changes: Any) -> WorkflowHandle[RotateKeys, RotateKeysResult]:
    return await environment.client.start_workflow(
        RotateKeys.run,
        RotateKeysInput(key_id=NEW, **changes),
        id=f"rotate-{uuid4()}",
        task_queue=ORCHESTRATION_QUEUE,
    )


async def test_every_step_is_taken_once_and_the_old_key_retired():
    fake = FakeKeys()
    async with stage(fake) as environment:
        result = await (await rotation(environment)).result()
    assert (fake.seen, fake.retired) == ([0, 1, 2], [OLD])
    assert result == RotateKeysResult(key_id=NEW, records=30, rewrapped=30, retired=[OLD])


async def test_what_was_written_meanwhile_costs_another_pass():
    fake = FakeKeys(steps=1, left=[2, 1, 0])
    async with stage(fake) as environment:
        result = await (await rotation(environment)).result()
    assert (fake.seen, fake.retired, result.rewrapped) == ([0, 0, 0], [OLD], 30)


async def test_a_process_that_keeps_on_sealing_under_the_old_key_is_reported_and_nothing_retired():
    fake = FakeKeys(steps=1, left=[1])
    async with stage(fake) as environment:
        with pytest.raises(WorkflowFailureError) as caught:
            await (await rotation(environment)).result()
    assert detail_of(caught.value.cause).code == "old_master_key_in_use"
    assert fake.retired == []


async def test_a_run_that_continued_as_new_goes_on_where_it_stood():
    fake = FakeKeys()
    async with stage(fake) as environment:
        cursor = RowCursor(table="credentials", key=[2])
        result = await (await rotation(environment, cursor=cursor, rewrapped=20, before=[OLD])).result()
    assert (fake.begun, fake.seen, fake.retired, result.rewrapped) == (0, [2], [OLD], 30)
