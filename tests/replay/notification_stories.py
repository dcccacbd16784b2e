"""Stories of what surrounds a notification: batches, corrections, digests, states."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from temporalio.client import WorkflowHandle

from tests.orchestration import test_correct_notification as corrections
from tests.orchestration import test_deliver_digest as digests
from tests.orchestration import test_reroute_undelivered as rerouting
from tests.orchestration import test_route_notification_batch as batch
from tests.orchestration import test_sync_notification_states as states
from tests.support.vendors import Point


@asynccontextmanager
async def batch_of_two_parts() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with batch.stage(batch.FakeBatches()) as client:
        handle = await batch.start(client, [batch.routing(number) for number in range(101)])
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


PLAYS = (
    batch_of_two_parts,
    digest_sent_as_one,
    correction_with_a_refusal,
    undelivered_and_told_together,
    states_carried,
)
