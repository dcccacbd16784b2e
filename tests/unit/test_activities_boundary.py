"""What leaves an activity is a typed failure that names whose job it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities import usage
from activities.boundary import BoundaryInterceptor
from activities.storage.connections import StoredConnection
from activities.usage import Watcher
from contracts.errors import InvalidInput, Transient, WedSyncError
from contracts.integration import IntegrationConfiguration, IntegrationState


class Answer(BaseModel):
    guests: int


@activity.defn
async def misreads_an_answer() -> None:
    Answer.model_validate({"guests": "canary"})


@activity.defn
async def refuses_its_input() -> None:
    raise InvalidInput("wrong", "It is wrong.", action="Mend it.")


@activity.defn
async def stumbles() -> None:
    raise LookupError("canary")


class Innermost(ActivityInboundInterceptor):
    def __init__(self) -> None:
        pass

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        return await input.fn(*input.args)


async def failure_of(fn: Any, watchers: Sequence[Watcher] = ()) -> tuple[ApplicationError, Any]:
    boundary = BoundaryInterceptor(watchers).intercept_activity(Innermost())
    given = ExecuteActivityInput(fn=fn, args=[], executor=None, headers={})
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(boundary.execute_activity, given)
    return caught.value, caught.value.details[0]


async def test_an_answer_that_does_not_fit_its_model_is_the_engineers_and_is_not_tried_again():
    failure, detail = await failure_of(misreads_an_answer)
    assert (detail.kind, detail.owner, detail.evidence) == ("Permanent", "engineer", {"fields": "guests"})
    assert failure.non_retryable
    assert "canary" not in str(failure)


async def test_wrong_input_is_the_tenants():
    failure, detail = await failure_of(refuses_its_input)
    assert (failure.type, detail.owner, failure.non_retryable) == ("InvalidInput", "tenant", True)


async def test_an_unforeseen_error_is_tried_again_and_tells_its_type_only():
    failure, detail = await failure_of(stumbles)
    assert (detail.code, detail.evidence, failure.non_retryable) == ("unclassified", {"type": "LookupError"}, False)
    assert "canary" not in str(failure)


class Listening:
    def __init__(self) -> None:
        self.heard: list[tuple[str, str | None]] = []

    async def ended(self, connection: StoredConnection, error: WedSyncError | None) -> WedSyncError | None:
        self.heard.append((connection.key.integration_id, error and error.detail.code))
        return Transient("replaced", "It passes.") if error else None


def stored(integration_id: str) -> StoredConnection:
    configuration = IntegrationConfiguration(integration_id=integration_id, organization_id="org", platform="slack")
    return StoredConnection(configuration, IntegrationState.ACTIVE, 1, datetime.now(UTC), None, None, None)


async def test_watchers_hear_once_about_each_connection_and_may_replace_the_error():
    @activity.defn
    async def uses_one_connection_twice_and_fails() -> None:
        usage.note(stored("one"))
        await asyncio.gather(asyncio.create_task(_note_again()), asyncio.create_task(_note_again()))
        raise InvalidInput("wrong", "It is wrong.")

    async def _note_again() -> None:
        usage.note(stored("one"))

    watcher = Listening()
    failure, detail = await failure_of(uses_one_connection_twice_and_fails, [watcher])
    assert watcher.heard == [("one", "wrong")]
    assert (detail.code, failure.non_retryable) == ("replaced", False)
